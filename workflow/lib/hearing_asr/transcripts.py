"""Files with a row per test clip: transcripts (what a model wrote) and predictions (scored).

Both are Parquet and carry what they were made with in their metadata. Importing this module is
cheap.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hearing_asr.errors import InputError

METADATA_KEY = b"hearing_asr"
REMEDY = "Delete the file, so that it is made again."

TRANSCRIPT_COLUMNS = (
    "path",
    "client_id",
    "duration",  # s
    "reference",
    "hypothesis",
    "tokens",
    "mean_logprob",
    "entropy",  # nats
    "language",
    "language_probability",
    "loudest_mel",  # log10 of the power in the loudest log-Mel cell; a full-scale sine has about 2
)
MAY_BE_EMPTY = ("language", "language_probability")  # of English-only models


def read_rows(path: str | Path, columns: Iterable[str]) -> pd.DataFrame:
    """Read `columns` of a file of either kind, one row per clip.

    Raises:
        InputError: the file cannot be read, lacks columns or values, has no clip, or one twice.
    """
    columns = list(columns)
    try:
        with pq.ParquetFile(path) as file:
            missing = [name for name in columns if name not in file.schema_arrow.names]
            if missing:
                raise InputError(f"{path}: columns missing: {', '.join(missing)}. {REMEDY}")
            rows = file.read(columns=columns).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error}). {REMEDY}") from error
    if rows.empty:
        raise InputError(f"{path}: no clips in it. {REMEDY}")
    for name in columns:
        empty = rows[name].isna()
        if empty.any() and name not in MAY_BE_EMPTY:
            clips = some(rows.loc[empty, "path"])
            raise InputError(f"{path}: no value in column {name!r} for clips {clips}. {REMEDY}")
    twice = rows["path"].duplicated()
    if twice.any():
        raise InputError(f"{path}: clips more than once: {some(rows.loc[twice, 'path'])}. {REMEDY}")
    return rows


def read_provenance(path: str | Path) -> dict:
    """What a file was made with: model, decoding, precision, versions; a scored one, normalizer.

    Raises:
        InputError: the file cannot be read or does not say.
    """
    try:
        return json.loads((pq.read_schema(path).metadata or {})[METADATA_KEY])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(
            f"{path}: does not say what it was made with ({error}). {REMEDY}"
        ) from None


def some(clips: Sequence[str] | pd.Series | pd.Index, limit: int = 5) -> str:
    """The first names of `clips`, and how many more there are."""
    if len(clips) == 0:
        return "none"
    names = ", ".join(str(clip) for clip in clips[:limit])
    return names if len(clips) <= limit else f"{names} and {len(clips) - limit} more"
