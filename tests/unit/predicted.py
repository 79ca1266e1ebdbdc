"""Prediction files as the workflow writes them, from sentences that a test makes up."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hearing_asr.predictions import write_predictions
from hearing_asr.transcripts import METADATA_KEY, TRANSCRIPT_COLUMNS

PROVENANCE = {
    "model": "toy",
    "decoding": {"language": "en", "task": "transcribe", "num_beams": 1, "temperature": 0.0},
    "precision": "float32",
    "versions": {"torch": "2"},
}


def transcripts(
    path: Path,
    references: Sequence[str],
    hypotheses: Sequence[str],
    speakers: Sequence[str] | str = "someone",
    **columns,
) -> Path:
    """A file of transcripts; `columns` replace what it says of the clips."""
    count = len(references)
    table = pd.DataFrame(
        {
            "path": [f"{clip}.mp3" for clip in range(count)],
            "client_id": speakers,
            "duration": 2.0,
            "reference": references,
            "hypothesis": hypotheses,
            "tokens": 5,
            "mean_logprob": -0.1,
            "entropy": 0.2,
            "language": "en",
            "language_probability": 0.9,
            "loudest_mel": 1.0,
        }
    ).assign(**columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrow = pa.Table.from_pandas(table[list(TRANSCRIPT_COLUMNS)], preserve_index=False)
    pq.write_table(arrow.replace_schema_metadata({METADATA_KEY: json.dumps(PROVENANCE)}), path)
    return path


def predictions(path: Path, *texts, normalizer: str = "simple", **columns) -> Path:
    """A prediction file; arguments as those of `transcripts`."""
    write_predictions(transcripts(path.with_suffix(".raw"), *texts, **columns), path, normalizer)
    return path


def rewritten(path: Path, change) -> Path:
    """A prediction file after `change` of its table, with the metadata that it had."""
    metadata = pq.read_schema(path).metadata
    table = pa.Table.from_pandas(change(pd.read_parquet(path)), preserve_index=False)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: metadata[METADATA_KEY]}), path)
    return path
