"""Whether a model knows when it is wrong: its confidence against its errors."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from hearing_asr.predictions import read_predictions
from hearing_asr.score_tables import write_csv

BINS = 10  # with as many clips each
NEEDED = (
    "path",
    "mean_logprob",
    *(f"word_{outcome}" for outcome in ("hits", "substitutions", "deletions", "insertions")),
)


def write_calibration(
    files: Mapping[tuple[str, str], str | Path], bins_csv: str | Path, summary_csv: str | Path
) -> None:
    """Compare confidence and errors of all models on all variants.

    The confidence of a clip is exp(mean_logprob), the geometric mean of the probabilities of its
    tokens. Clips with an empty normalized reference are left out.

    Args:
        files: (model, variant) -> prediction file.
        bins_csv: model, variant, bin (from the least confident), clips, confidence (mean over its
            clips), wer (of its clips together).
        summary_csv: model, variant, clips, confidence (mean), wer; calibration_error, the mean
            over bins, by their clips, of |1 - confidence - min(wer, 1)| (the expected calibration
            error of Guo et al. 2017, with words for decisions); rank_correlation, Spearman's, of
            confidence and word error rate over clips, empty where one of them never changes.

    Raises:
        InputError: as `predictions.read_predictions`.
    """
    bins, summary = [], []
    for (model, variant), path in files.items():
        clips = _clips(path)
        names = {"model": model, "variant": variant}
        table = bin_table(clips)
        bins.append(pd.DataFrame({**names, **table}))
        gap = (1 - table["confidence"] - table["wer"].clip(upper=1)).abs()
        summary.append(
            names
            | {
                "clips": len(clips),
                "confidence": clips["confidence"].mean(),
                "wer": clips["errors"].sum() / clips["words"].sum(),
                "calibration_error": np.average(gap, weights=table["clips"]),
                "rank_correlation": _rank_correlation(clips),
            }
        )
    write_csv(pd.concat(bins), bins_csv)
    write_csv(pd.DataFrame(summary), summary_csv)


def _clips(path: str | Path) -> pd.DataFrame:
    clips = read_predictions(path, NEEDED)
    words = clips["word_hits"] + clips["word_substitutions"] + clips["word_deletions"]
    errors = clips["word_substitutions"] + clips["word_deletions"] + clips["word_insertions"]
    told = {"confidence": np.exp(clips["mean_logprob"].astype(float)), "words": words}
    return pd.DataFrame({**told, "errors": errors})[words > 0]


def bin_table(clips: pd.DataFrame) -> pd.DataFrame:
    """Sort clips by confidence into at most BINS of as many clips each.

    Args:
        clips: confidence, words and errors, a row per clip.

    Returns:
        bin, clips, confidence, wer.
    """
    ordered = clips.sort_values("confidence", kind="stable")
    parts = np.array_split(np.arange(len(ordered)), min(BINS, len(ordered)))
    rows = []
    for number, part in enumerate(parts):
        of = ordered.iloc[part]
        wer = of["errors"].sum() / of["words"].sum()
        rows.append((number, len(of), of["confidence"].mean(), wer))
    return pd.DataFrame(rows, columns=["bin", "clips", "confidence", "wer"])


def _rank_correlation(clips: pd.DataFrame) -> float:
    rates = clips["errors"] / clips["words"]
    if clips["confidence"].nunique() < 2 or rates.nunique() < 2:
        return np.nan
    return float(stats.spearmanr(clips["confidence"], rates).statistic)
