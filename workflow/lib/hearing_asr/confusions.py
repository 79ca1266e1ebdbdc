"""Which words are heard as which others: the confusions behind a word error rate."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from rapidfuzz.distance import Levenshtein

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.predictions import read_predictions

KINDS = ("substitution", "deletion", "insertion")
TEXTS = ("reference_normalized", "hypothesis_normalized")
COLUMNS = ("model", "variant", "kind", "reference", "hypothesis", "count", "share")


def count_confusions(references: Sequence[str], hypotheses: Sequence[str]) -> pd.DataFrame:
    """Align every hypothesis with its reference word by word and count what was confused.

    The alignment is the one that `scoring.score_clips` counts, and jiwer's. Texts are taken as
    they are, normalize them before; white space of any kind and length separates words. Clips
    with an empty reference are left out, as in all rates.

    Returns:
        reference, hypothesis (words) and count, for each pair of different words that occurs: the
        most frequent first, then by the alphabet. Without a hypothesis ("") the word was deleted,
        without a reference ("") it was inserted.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        expected, heard = reference.split(), hypothesis.split()
        if expected and expected != heard:
            counts.update(_confusions(expected, heard))
    rows = [(*pair, count) for pair, count in counts.items()]
    rows.sort(key=lambda row: (-row[2], row[0], row[1]))
    return pd.DataFrame(rows, columns=["reference", "hypothesis", "count"])


def _confusions(expected: Sequence[str], heard: Sequence[str]) -> list[tuple[str, str]]:
    return [
        (
            "" if edit.tag == "insert" else expected[edit.src_pos],
            "" if edit.tag == "delete" else heard[edit.dest_pos],
        )
        for edit in Levenshtein.editops(expected, heard)
    ]


def write_confusions(
    files: Mapping[tuple[str, str], str | Path], output_csv: str | Path, limit: int = 100
) -> None:
    """Write the most frequent confusions of all models on all variants.

    The table has COLUMNS; `kind` is one of KINDS. `share` is a ratio: of the occurrences of the
    reference word, for insertions of all words of the references (it can exceed 1). Read it with
    `keep_default_na=False`: words are called "null" or "nan" too.

    Args:
        files: (model, variant) -> prediction file.
        output_csv: rows in the order of `files`, then of KINDS, then as `count_confusions` sorts.
        limit: number of confusions of each kind that are kept of each file.

    Raises:
        InputError: there is no file; or a file cannot be read, lacks columns or values, has no
            clip, or one twice.
    """
    if not files:
        raise InputError("no prediction files to compare; name at least one model and one variant.")
    cells = [
        _cell(path, limit).assign(model=model, variant=variant)
        for (model, variant), path in files.items()
    ]
    with atomic_path(output_csv) as temporary:
        pd.concat(cells)[list(COLUMNS)].to_csv(temporary, index=False)


def _cell(path: str | Path, limit: int) -> pd.DataFrame:
    predictions = read_predictions(path, ("path", *TEXTS))
    references = predictions["reference_normalized"]
    confusions = count_confusions(references, predictions["hypothesis_normalized"])
    inserted, deleted = confusions["reference"] == "", confusions["hypothesis"] == ""
    kind = np.select([inserted, deleted], ["insertion", "deletion"], "substitution")
    confusions["kind"] = pd.Categorical(kind, KINDS)
    words = Counter(chain.from_iterable(map(str.split, references)))
    occurrences = confusions["reference"].map(words).where(~inserted, words.total())
    confusions["share"] = confusions["count"] / occurrences
    first = confusions.groupby("kind", observed=True, sort=False).head(limit)
    return first.sort_values("kind", kind="stable")
