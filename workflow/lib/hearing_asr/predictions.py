"""Predictions: transcripts with normalized texts, counts and flags, one row per clip."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hearing_asr import normalizers
from hearing_asr.errors import InputError
from hearing_asr.failures import FLAGS, failure_flags
from hearing_asr.files import atomic_path
from hearing_asr.scoring import COUNT_COLUMNS, RAW, score_clips
from hearing_asr.transcripts import (
    METADATA_KEY,
    TRANSCRIPT_COLUMNS,
    read_provenance,
    read_rows,
    some,
)

RAW_COLUMNS = tuple(f"{RAW}{name}" for name in COUNT_COLUMNS)
PREDICTION_COLUMNS = (
    *TRANSCRIPT_COLUMNS,
    "reference_normalized",
    "hypothesis_normalized",
    *COUNT_COLUMNS,
    *RAW_COLUMNS,
    "compression_ratio",
    *FLAGS,
)


def write_predictions(transcripts: str | Path, output: str | Path, normalizer: str) -> None:
    """Score the transcripts of one model on one variant, clip by clip.

    Args:
        transcripts: Parquet file of `transcribe.transcribe`.
        output: Parquet file with the PREDICTION_COLUMNS, rows in the same order. Its metadata is
            that of the transcripts, and the normalizer with its version.
        normalizer: a name that `normalizers.normalizer` knows.

    Raises:
        InputError: unknown normalizer, the file is not one of transcripts, or a number in it is
            not finite.
    """
    normalize = normalizers.normalizer(normalizer)
    clips = read_rows(transcripts, TRANSCRIPT_COLUMNS)
    _check_finite(transcripts, clips)
    provenance = read_provenance(transcripts)
    texts = {name: clips[name].tolist() for name in ("reference", "hypothesis")}
    once = {text: normalize(text) for text in {*texts["reference"], *texts["hypothesis"]}}
    normalized = {name: [once[text] for text in values] for name, values in texts.items()}
    for name, values in normalized.items():
        clips[f"{name}_normalized"] = values
    for name, counts in score_clips(*normalized.values()).items():
        clips[name] = counts
    for name, counts in score_clips(*texts.values()).items():
        clips[f"{RAW}{name}"] = counts
    language = provenance["decoding"].get("language")
    for name, values in failure_flags(clips, language).items():
        clips[name] = values
    provenance["normalizer"] = normalizers.describe(normalizer)
    provenance["versions"] |= {"rapidfuzz": version("rapidfuzz")}
    table = pa.Table.from_pandas(clips[list(PREDICTION_COLUMNS)], preserve_index=False)
    table = table.replace_schema_metadata({METADATA_KEY: json.dumps(provenance)})
    with atomic_path(output) as temporary:
        pq.write_table(table, temporary)


def _check_finite(path: str | Path, clips: pd.DataFrame) -> None:
    for name in ("duration", "mean_logprob", "entropy"):
        wrong = clips.loc[~np.isfinite(clips[name]), "path"]
        if len(wrong):
            raise InputError(
                f"{path}: {name} is not a finite number for clips {some(wrong)}. Has the training "
                "of the model diverged? See its learning curves."
            )


def read_predictions(path: str | Path, columns: Sequence[str] = PREDICTION_COLUMNS) -> pd.DataFrame:
    """Read `columns` of a prediction file, one row per clip, as `transcripts.read_rows`."""
    return read_rows(path, columns)
