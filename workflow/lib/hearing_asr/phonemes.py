"""Which sounds of speech are lost: errors per phoneme and per class of phonemes, English only.

Sentences become phonemes as the dictionary pronounces their words, which is not always how they
were said in the clip. Reference and hypothesis are then aligned over the whole sentence, so that
"ice cream" heard as "I scream" has no errors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.names import ZERO_SHOT
from hearing_asr.predictions import read_predictions
from hearing_asr.pronunciation import coverage, pronounce, spoken_words
from hearing_asr.uncertainty import ratio_intervals, resampled_blocks

# Class -> ARPAbet phonemes, in the order of the figures. Consonants by manner of articulation as in
# the phone table of CMUdict (cmudict.phones), with one change: HH, its "aspirate", is a fricative
# as in the chart of the IPA. CMUdict knows just "vowel": places after Ladefoged & Johnson (2011),
# "A Course in Phonetics", 6th ed., chapter 4; EY and OW, diphthongs that
# move little, are counted with the vowels that they start from; ER, r-coloured, is central.
PHONEME_CLASSES: Mapping[str, tuple[str, ...]] = {
    "front vowels": ("IY", "IH", "EY", "EH", "AE"),
    "central vowels": ("AH", "ER"),
    "back vowels": ("AA", "AO", "OW", "UH", "UW"),
    "diphthongs": ("AY", "AW", "OY"),
    "glides": ("W", "Y"),
    "liquids": ("L", "R"),
    "nasals": ("M", "N", "NG"),
    "stops": ("P", "B", "T", "D", "K", "G"),
    "affricates": ("CH", "JH"),
    "fricatives": ("F", "V", "TH", "DH", "S", "Z", "SH", "ZH", "HH"),
}
CLASS_OF = {phoneme: name for name, members in PHONEME_CLASSES.items() for phoneme in members}
PHONEMES = tuple(CLASS_OF)

COLUMNS = ("path", "client_id", "reference", "hypothesis", "reference_normalized")

# What a phoneme of the reference became: the number of a phoneme, or
DELETED = len(PHONEMES)
UNKNOWN = DELETED + 1  # part of a word that the dictionary lacks
OUTCOMES = UNKNOWN + 1

# Code points of words that the dictionary lacks: far from phonemes, and from surrogates.
_unknown_words = count(0x10000)


def _symbols(text: str) -> str:
    """The phonemes of a sentence, one character each; an unknown word is a character of its own."""
    return "".join(map(_word_symbols, spoken_words(text)))


@cache
def _word_symbols(word: str) -> str:
    phones = pronounce(word)
    if phones is None:
        return chr(next(_unknown_words))
    return "".join(chr(PHONEMES.index(phone)) for phone in phones)


@dataclass(frozen=True)
class PhonemeCounts:
    """What became of the phonemes of the references; columns and rows are PHONEMES.

    Attributes:
        occurrences: int64 (clips, phonemes).
        errors: int64 (clips, phonemes), substitutions and deletions.
        outcomes: int64 (phonemes, OUTCOMES), in all clips: as which phoneme each one was wrongly
            heard, DELETED, or UNKNOWN. The diagonal is 0.
    """

    occurrences: np.ndarray
    errors: np.ndarray
    outcomes: np.ndarray

    @property
    def hits(self) -> np.ndarray:
        """int64 (phonemes,)."""
        return self.occurrences.sum(axis=0) - self.errors.sum(axis=0)

    @property
    def deletions(self) -> np.ndarray:
        """int64 (phonemes,)."""
        return self.outcomes[:, DELETED]

    @property
    def substitutions(self) -> np.ndarray:
        """int64 (phonemes,), those by words that the dictionary lacks among them."""
        return self.errors.sum(axis=0) - self.deletions

    @property
    def most_confused_with(self) -> list[str]:
        """The most frequent substitute of each phoneme, "" if there is none."""
        substitutes = self.outcomes[:, :DELETED]
        names = np.array(PHONEMES)[substitutes.argmax(axis=1)]
        return np.where(substitutes.any(axis=1), names, "").tolist()


def align_phonemes(references: Sequence[str], hypotheses: Sequence[str]) -> PhonemeCounts:
    """Align every hypothesis with its reference phoneme by phoneme and count the outcomes.

    Minimum edit distance over whole sentences (substitution, deletion and insertion cost 1 each),
    whatever the boundaries of words. A word that the dictionary lacks is one symbol that equals
    only itself; in the reference it is not counted. Insertions belong to no phoneme and are not
    counted either.

    Args:
        references, hypotheses: raw texts, not normalized; one pair per clip.
    """
    symbols, clips, cells = [], [], []
    for clip, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        symbols.append(_symbols(reference))
        errors = () if reference == hypothesis else _errors(symbols[-1], _symbols(hypothesis))
        clips += [clip] * len(errors)
        cells += errors
    confused = np.asarray(cells, dtype=np.int64)
    owner = np.asarray(clips, dtype=np.int64)
    codes = np.frombuffer("".join(symbols).encode("utf-32-le"), dtype=np.uint32)
    lengths = np.fromiter(map(len, symbols), np.int64, len(symbols))
    owners = np.repeat(np.arange(len(symbols)), lengths)
    known = codes < DELETED
    return PhonemeCounts(
        occurrences=_per_clip(owners[known], codes[known], len(symbols)),
        errors=_per_clip(owner, confused // OUTCOMES, len(symbols)),
        outcomes=np.bincount(confused, minlength=DELETED * OUTCOMES).reshape(DELETED, OUTCOMES),
    )


@lru_cache(maxsize=1 << 16)
def _errors(reference: str, hypothesis: str) -> tuple[int, ...]:
    """Substitutions and deletions of phonemes: phoneme * OUTCOMES + what it became."""
    cells = []
    for tag, source, target in Levenshtein.editops(reference, hypothesis).as_list():
        if tag != "insert" and ord(reference[source]) < DELETED:
            heard = min(ord(hypothesis[target]), UNKNOWN) if tag == "replace" else DELETED
            cells.append(ord(reference[source]) * OUTCOMES + heard)
    return tuple(cells)


def _per_clip(clips: np.ndarray, phonemes: np.ndarray, total: int) -> np.ndarray:
    cells = clips * DELETED + phonemes
    return np.bincount(cells, minlength=total * DELETED).reshape(total, DELETED)


def write_phonemes(
    files: Mapping[tuple[str, str], str | Path],
    phonemes_csv: str | Path,
    classes_csv: str | Path,
    losses_csv: str | Path,
    *,
    reference: str,
    replicates: int,
    seed: int,
) -> None:
    """Write the errors per phoneme and per class of all models on all variants.

    Clips without words after normalization are left out, as in all rates. Rates are
    substitutions and deletions over occurrences (ratios), empty where nothing occurs. Read the
    tables with the names as text: a variant may be called "null".

    Args:
        files: (model, variant) -> prediction file.
        phonemes_csv: model, variant, phoneme (ARPAbet), class, occurrences, errors, error_rate,
            deletions, most_confused_with (a phoneme); 39 rows per file.
        classes_csv: model, variant, class, occurrences, errors, error_rate, low, high (95 %
            interval by bootstrap over speakers), speakers (with at least one occurrence; clips
            without client_id are a speaker each), coverage (of the words of all references by
            the dictionary, a ratio).
        losses_csv: what each variant costs the zero-shot model against `reference`, on the same
            clips: variant, kind (all, class, phoneme), name, occurrences, increase of the error
            rate, low, high (95 % interval of the increase, likewise).
        reference: the variant that losses are measured against.
        replicates: draws of the bootstrap.
        seed: the same seed gives the same intervals.

    Raises:
        InputError: there is no file; or a file cannot be read, lacks columns or values, has no
            clip, one twice, or no reference with a word of the dictionary.
    """
    if not files:
        raise InputError("no prediction files to compare; name at least one model and one variant.")
    phonemes, classes = [], []
    heard: dict[str, tuple[pd.DataFrame, PhonemeCounts]] = {}
    for (model, variant), path in files.items():
        predictions = read_predictions(path, COLUMNS).sort_values("path", ignore_index=True)
        clips = predictions[predictions["reference_normalized"].str.strip() != ""]
        counts = align_phonemes(clips["reference"], clips["hypothesis"])
        if not counts.occurrences.any():
            raise InputError(
                f"{path}: no reference has a word of the CMU Pronouncing Dictionary. Phonemes are "
                "for English only; is this another language?"
            )
        if model == ZERO_SHOT:
            heard[variant] = clips, counts
        cell = {"model": model, "variant": variant}
        phonemes.append(pd.DataFrame({**cell, **_phoneme_columns(counts)}))
        _, speakers = resampled_blocks(clips["client_id"].tolist())
        columns = _class_columns(counts, speakers, replicates=replicates, seed=seed)
        columns["coverage"] = coverage(clips["reference"])
        classes.append(pd.DataFrame({**cell, **columns}))
    losses = _losses(heard, reference, replicates, seed)
    for output, tables in ((phonemes_csv, phonemes), (classes_csv, classes), (losses_csv, losses)):
        with atomic_path(output) as temporary:
            pd.concat(tables).to_csv(temporary, index=False)


def _phoneme_columns(counts: PhonemeCounts) -> dict[str, Sequence]:
    return {
        "phoneme": PHONEMES,
        "class": [CLASS_OF[phoneme] for phoneme in PHONEMES],
        **_rates(counts.occurrences.sum(axis=0), counts.errors.sum(axis=0)),
        "deletions": counts.deletions,
        "most_confused_with": counts.most_confused_with,
    }


def _class_columns(
    counts: PhonemeCounts, speakers: np.ndarray, *, replicates: int, seed: int
) -> dict[str, Sequence]:
    member = np.array(
        [[CLASS_OF[phoneme] == name for name in PHONEME_CLASSES] for phoneme in PHONEMES]
    )
    occurrences, errors = counts.occurrences @ member, counts.errors @ member
    ends = np.full((2, len(PHONEME_CLASSES)), np.nan)
    there = occurrences.any(axis=0)
    ends[:, there] = ratio_intervals(
        errors[:, there], occurrences[:, there], speakers, replicates=replicates, seed=seed
    )
    return {
        "class": list(PHONEME_CLASSES),
        **_rates(occurrences.sum(axis=0), errors.sum(axis=0)),
        "low": ends[0],
        "high": ends[1],
        "speakers": [len(np.unique(speakers[clips > 0])) for clips in occurrences.T],
    }


def _losses(
    heard: Mapping[str, tuple[pd.DataFrame, PhonemeCounts]],
    reference: str,
    replicates: int,
    seed: int,
) -> list[pd.DataFrame]:
    """A table per variant but the reference, all of the same clips; and an empty one."""
    columns = "variant kind name occurrences increase low high".split()
    tables = [pd.DataFrame(columns=columns)]
    if reference not in heard:
        return tables
    clips, before = heard[reference]
    _, blocks = resampled_blocks(clips["client_id"].tolist())
    names = [("all", "all phonemes"), *(("class", name) for name in PHONEME_CLASSES)]
    names += [("phoneme", phoneme) for phoneme in PHONEMES]
    members = {"all": PHONEMES} | PHONEME_CLASSES | {phoneme: (phoneme,) for phoneme in PHONEMES}
    member = np.array([[phoneme in of for of in members.values()] for phoneme in PHONEMES])
    occurrences = before.occurrences @ member
    there = occurrences.any(axis=0)
    for variant, (_, counts) in heard.items():
        if variant == reference:
            continue
        more = ((counts.errors - before.errors) @ member)[:, there]
        of = occurrences[:, there]
        low, high = ratio_intervals(more, of, blocks, replicates=replicates, seed=seed)
        kept = [name for name, known in zip(names, there, strict=True) if known]
        numbers = zip(of.sum(axis=0), more.sum(axis=0) / of.sum(axis=0), low, high, strict=True)
        rows = [(variant, *name, *row) for name, row in zip(kept, numbers, strict=True)]
        tables.append(pd.DataFrame(rows, columns=columns))
    return tables[1:] or tables


def _rates(occurrences: np.ndarray, errors: np.ndarray) -> dict[str, np.ndarray]:
    rate = np.divide(errors, occurrences, out=np.full(len(errors), np.nan), where=occurrences > 0)
    return {"occurrences": occurrences, "errors": errors, "error_rate": rate}
