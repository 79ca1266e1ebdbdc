"""What was recognised: counts per clip, and the rates of a corpus.

The counts are those of jiwer's `process_words` and `process_characters` with their default
transforms: spaces between words are characters too. They are taken from RapidFuzz, which does the
alignment in jiwer as well: jiwer builds an object for every piece of every alignment on top, and
takes 6 to 9 times as long (4 to 10 us a clip here, so a million clips need 10 s or less).
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import jiwer
import numpy as np
from rapidfuzz.distance import Levenshtein

from hearing_asr.errors import InputError
from hearing_asr.normalizers import normalizer

UNITS = ("word", "char")
OUTCOMES = ("hits", "substitutions", "deletions", "insertions")
COUNT_COLUMNS = tuple(f"{unit}_{outcome}" for unit in UNITS for outcome in OUTCOMES)
RAW = "raw_"  # in front of counts and rates of texts as they are, not normalized
RATES = ("wer", "mer", "wil", "cer", "ser", "raw_wer", "raw_cer")


def score_clips(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, np.ndarray]:
    """Align every hypothesis with its reference and count what happened to words and characters.

    Returns one int32 array of shape (clips,) for each of COUNT_COLUMNS. Texts are taken as they
    are, normalize them before; white space of any kind and length counts as one space. Hits,
    substitutions and deletions add up to the length of the reference; where that is empty, all
    that was heard is an insertion.
    """
    counts = np.zeros((len(references), len(COUNT_COLUMNS)), dtype=np.int32)
    for row, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        reference_words, hypothesis_words = reference.split(), hypothesis.split()
        counts[row] = _outcomes(reference_words, hypothesis_words) + _outcomes(
            " ".join(reference_words), " ".join(hypothesis_words)
        )
    return dict(zip(COUNT_COLUMNS, counts.T.copy(), strict=True))


def _outcomes(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[int, int, int, int]:
    if reference == hypothesis:
        return len(reference), 0, 0, 0
    edits = Counter(edit.tag for edit in Levenshtein.editops(reference, hypothesis))
    substitutions, deletions = edits["replace"], edits["delete"]
    return len(reference) - substitutions - deletions, substitutions, deletions, edits["insert"]


def compute_wer(
    references: Sequence[str], hypotheses: Sequence[str], normalizer_name: str
) -> float:
    """Corpus word error rate (a ratio) after normalizing both sides; the metric of a training.

    Clips whose reference becomes empty are left out, as in `corpus_scores`. Computed by jiwer, so
    that what is seen during training and what is reported check each other.

    Raises:
        InputError: no such normalizer, or no reference keeps a word.
    """
    normalize = normalizer(normalizer_name)
    pairs = zip(map(normalize, references), map(normalize, hypotheses), strict=True)
    scored = [(reference, hypothesis) for reference, hypothesis in pairs if reference.strip()]
    if not scored:
        raise InputError(
            f"none of {len(references)} clips has a reference with words after normalization "
            f"({normalizer_name})"
        )
    return float(jiwer.wer(*map(list, zip(*scored, strict=True))))


def corpus_rates(totals: Mapping[str, np.ndarray | float]) -> dict[str, np.ndarray | float]:
    """The rates of a corpus, from counts summed over its clips.

    With hits H, substitutions S, deletions D and insertions I of all clips together, so that long
    clips weigh more:

    wer: (S + D + I) / (H + S + D), over words; can exceed 1.
    mer: match error rate, (S + D + I) / (H + S + D + I).
    wil: word information lost, 1 - H^2 / ((H + S + D) (H + S + I)). Both after Morris, Maier &
        Green 2004, "From WER and RIL to MER and WIL".
    cer: as wer, over characters, spaces included.
    ser: sentence error rate, the share of clips with any word wrong.
    raw_wer, raw_cer: as wer and cer, of texts that were not normalized.

    Args:
        totals: COUNT_COLUMNS, the same with RAW in front, `wrong_clips` and `clips`; numbers or
            arrays of one shape.

    Returns:
        RATES, ratios; NaN or infinite where there is nothing to divide by.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        hits, substitutions, deletions, insertions = (
            np.asarray(totals[f"word_{outcome}"], dtype=float) for outcome in OUTCOMES
        )
        errors, said = substitutions + deletions + insertions, hits + substitutions + deletions
        written = hits + substitutions + insertions
        kept = np.where((written == 0) & (said > 0), 0.0, hits**2 / (said * written))
        return {
            "wer": errors / said,
            "mer": errors / (hits + errors),
            "wil": 1.0 - kept,
            "cer": _error_rate(totals, "char"),
            "ser": np.asarray(totals["wrong_clips"], dtype=float) / totals["clips"],
            "raw_wer": _error_rate(totals, f"{RAW}word"),
            "raw_cer": _error_rate(totals, f"{RAW}char"),
        }


def _error_rate(totals: Mapping[str, np.ndarray | float], unit: str) -> np.ndarray:
    hits, substitutions, deletions, insertions = (
        np.asarray(totals[f"{unit}_{outcome}"], dtype=float) for outcome in OUTCOMES
    )
    return (substitutions + deletions + insertions) / (hits + substitutions + deletions)
