"""Tables of every prediction file: rates, and how the models failed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hearing_asr.cells import SUMMED, Cells, Key, load_cells, order_models, rates_of
from hearing_asr.failures import FLAGS, count_flags
from hearing_asr.files import atomic_path
from hearing_asr.predictions import read_predictions
from hearing_asr.transcripts import read_provenance

FAILURE_COLUMNS = (
    "path",
    "hypothesis",
    "language",
    "language_probability",
    "mean_logprob",
    "entropy",
    *FLAGS,
)


def write_scores(
    files: Mapping[Key, str | Path],
    scores_csv: str | Path,
    matrix_csv: str | Path,
    failures_csv: str | Path,
) -> None:
    """Score the prediction files of all models on all variants.

    Args:
        files: (model, variant, seed) -> prediction file.
        scores_csv: a row per file, see `score_table`.
        matrix_csv: WER with models as rows and variants as columns, means over seeds.
        failures_csv: a row per file, see `failure_table`.

    Raises:
        InputError: as `cells.load_cells` does.
    """
    cells = load_cells(files)
    tables = {
        scores_csv: score_table(cells),
        matrix_csv: wer_matrix(cells).rename_axis("model").reset_index(),
        failures_csv: failure_table(files),
    }
    for path, table in tables.items():
        write_csv(table, path)


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table without its index, whole or not at all."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def score_table(cells: Cells) -> pd.DataFrame:
    """A row per prediction file.

    Columns: model, variant, seed (empty for a model that was not trained here), clips (scored),
    excluded (clips with an empty normalized reference), words, chars (of normalized references),
    the summed counts of `cells.SUMMED` and the `scoring.RATES`.
    """
    rows = []
    for (model, variant, seed), totals in cells.by_seed.items():
        counts = dict(zip(SUMMED, totals.astype(int).tolist(), strict=True))
        lengths = {
            f"{unit}s": sum(
                counts[f"{unit}_{outcome}"] for outcome in ("hits", "substitutions", "deletions")
            )
            for unit in ("word", "char")
        }
        rates = {name: float(rate) for name, rate in rates_of(totals).items()}
        clips = {"clips": counts.pop("clips"), "excluded": cells.excluded}
        row = {"model": model, "variant": variant, "seed": seed}
        rows.append(row | clips | lengths | counts | rates)
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def wer_matrix(cells: Cells) -> pd.DataFrame:
    """WER of every cell, models as rows and variants as columns; a pair that is not there is NaN.

    Models come in the order of `cells.order_models`, variants as they first appear.
    """
    rates = rates_of(cells.counts.sum(axis=0))["wer"]
    models = order_models(cells.models, cells.variants)
    matrix = pd.DataFrame(np.nan, index=models, columns=cells.variants)
    for (model, variant), rate in zip(cells.names, rates, strict=True):
        matrix.loc[model, variant] = rate
    return matrix


def failure_table(files: Mapping[Key, str | Path]) -> pd.DataFrame:
    """A row per prediction file.

    Columns: model, variant, seed, clips; how many clips have each of `failures.FLAGS`; the means
    over clips of mean_logprob, entropy (nats) and language_probability (of the language that was
    asked for); `other_language`, the one most often taken for likelier, and in how many clips.
    """
    rows = []
    for (model, variant, seed), path in files.items():
        clips = read_predictions(path, FAILURE_COLUMNS)
        means = clips[["mean_logprob", "entropy", "language_probability"]].mean()
        asked = read_provenance(path)["decoding"].get("language")
        others = clips.loc[clips["language"].notna() & (clips["language"] != asked), "language"]
        most = others.value_counts()
        rows.append(
            {"model": model, "variant": variant, "seed": seed, "clips": len(clips)}
            | count_flags(clips)
            | means.to_dict()
            | {
                "other_language": most.index[0] if len(most) else "",
                "other_language_clips": int(most.iloc[0]) if len(most) else 0,
            }
        )
    return pd.DataFrame(rows).astype({"seed": "Int64"})
