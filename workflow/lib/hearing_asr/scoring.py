"""Word and character error rates: counts per clip, corpus rates, the table of all models.

The counts are those of jiwer's `process_words` and `process_characters` with their default
transforms: spaces between words are characters too. They are taken from RapidFuzz, which does the
alignment in jiwer as well: jiwer builds an object for every piece of every alignment on top, and
takes 6 to 9 times as long (4 to 10 us a clip here, so a million clips need 10 s or less).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rapidfuzz.distance import Levenshtein

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.normalizers import normalizer

UNITS = ("word", "char")
OUTCOMES = ("hits", "substitutions", "deletions", "insertions")
COUNT_COLUMNS = tuple(f"{unit}_{outcome}" for unit in UNITS for outcome in OUTCOMES)
RATES = {"word": "wer", "char": "cer"}

TEXT_COLUMNS = ("reference", "hypothesis", "reference_normalized", "hypothesis_normalized")
SCORED_COLUMNS = ("path", *TEXT_COLUMNS, *COUNT_COLUMNS)


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


def corpus_scores(predictions: pd.DataFrame) -> dict[str, int | float]:
    """Sum the counts of all clips and form the corpus rates.

    WER = (S + D + I) / (H + S + D), over all clips together, so that long clips weigh more; CER
    is the same over characters. Both are ratios and can exceed 1. Clips with an empty normalized
    reference are left out of all counts and rates and counted in `excluded`; `clips` counts
    those that were scored.

    Args:
        predictions: at least the COUNT_COLUMNS, one row per clip.

    Returns:
        clips, excluded, words, word_hits, ..., wer, chars, char_hits, ..., cer.

    Raises:
        InputError: there is no clip, or none with a reference.
    """
    if predictions.empty:
        raise InputError("there is not a single clip to score.")
    length = predictions["word_hits"] + predictions["word_substitutions"]
    scored = predictions[length + predictions["word_deletions"] > 0]
    if scored.empty:
        raise InputError(
            f"none of {len(predictions)} clips has a reference with words after normalization; "
            "choose another evaluation.normalizer."
        )
    scores: dict[str, int | float] = {
        "clips": len(scored),
        "excluded": len(predictions) - len(scored),
    }
    for unit in UNITS:
        totals = {outcome: int(scored[f"{unit}_{outcome}"].sum()) for outcome in OUTCOMES}
        length = totals["hits"] + totals["substitutions"] + totals["deletions"]
        scores[f"{unit}s"] = length
        scores |= {f"{unit}_{outcome}": total for outcome, total in totals.items()}
        errors = totals["substitutions"] + totals["deletions"] + totals["insertions"]
        scores[RATES[unit]] = errors / length
    return scores


def score_table(files: Mapping[tuple[str, str], str | Path]) -> pd.DataFrame:
    """Score the prediction files of all models on all variants.

    Args:
        files: (model, variant) -> prediction file.

    Returns:
        One row per file in the order given: model, variant and what `corpus_scores` returns.

    Raises:
        InputError: a file cannot be read, lacks columns or values, has no clip or one twice, or
            does not hold the same clips and references as the first one.
    """
    rows = []
    first: tuple[Path, pd.Series] | None = None
    for (model, variant), file in files.items():
        path = Path(file)
        predictions = read_predictions(path)
        references = predictions.set_index("path")["reference_normalized"]
        if first is None:
            first = path, references
        _check_same_clips(path, references, *first)
        try:
            scores = corpus_scores(predictions)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        rows.append({"model": model, "variant": variant, **scores})
    if not rows:
        raise InputError("no prediction files to score; name at least one model and one variant.")
    return pd.DataFrame(rows)


def wer_matrix(scores: pd.DataFrame) -> pd.DataFrame:
    """Turn the table of `score_table` into WER with models as rows and variants as columns.

    Both keep the order in which they first appear in `scores`; a pair that is not there is NaN.
    """
    matrix = scores.pivot(index="model", columns="variant", values="wer")
    return matrix.loc[scores["model"].unique(), scores["variant"].unique()]


def write_scores(
    files: Mapping[tuple[str, str], str | Path], scores_csv: str | Path, matrix_csv: str | Path
) -> None:
    """Write `score_table` of `files` and its `wer_matrix` as CSV. Raises like `score_table`."""
    scores = score_table(files)
    with atomic_path(scores_csv) as temporary:
        scores.to_csv(temporary, index=False)
    with atomic_path(matrix_csv) as temporary:
        wer_matrix(scores).to_csv(temporary)


def read_predictions(path: str | Path) -> pd.DataFrame:
    """Read the SCORED_COLUMNS of a prediction file, one row per clip.

    Raises:
        InputError: the file cannot be read, lacks columns or values, has no clip, or one twice.
    """
    remedy = "Delete the file, so that it is predicted again."
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in SCORED_COLUMNS if name not in file.schema_arrow.names]
            if missing:
                raise InputError(f"{path}: columns missing: {', '.join(missing)}. {remedy}")
            predictions = file.read(columns=list(SCORED_COLUMNS)).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}). {remedy}") from error
    if predictions.empty:
        raise InputError(f"{path}: no clips in it. {remedy}")
    for name in SCORED_COLUMNS:
        empty = predictions[name].isna()
        if empty.any():
            clips = _some(predictions.loc[empty, "path"])
            raise InputError(f"{path}: no value in column {name!r} for clips {clips}. {remedy}")
    twice = predictions["path"].duplicated()
    if twice.any():
        clips = _some(predictions.loc[twice, "path"])
        raise InputError(f"{path}: clips more than once: {clips}. {remedy}")
    return predictions


def _check_same_clips(
    path: Path, references: pd.Series, first_path: Path, first_references: pd.Series
) -> None:
    missing = first_references.index.difference(references.index, sort=False)
    extra = references.index.difference(first_references.index, sort=False)
    if len(missing) or len(extra):
        raise InputError(
            f"{path}: not the clips of {first_path}; missing: {_some(missing)}; extra: "
            f"{_some(extra)}. Delete the file with the wrong clips, so that it is predicted again."
        )
    other = references[references != first_references.reindex(references.index)]
    if len(other):
        raise InputError(
            f"{path}: normalized references differ from {first_path}: {_some(other.index)}. Was "
            "one file written with another normalizer? Delete it, so that it is predicted again."
        )


def _some(clips: Sequence[str] | pd.Series | pd.Index, limit: int = 5) -> str:
    if len(clips) == 0:
        return "none"
    names = ", ".join(str(clip) for clip in clips[:limit])
    return names if len(clips) <= limit else f"{names} and {len(clips) - limit} more"
