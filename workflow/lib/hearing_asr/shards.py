"""Shards: the Arrow files of a dataset, written by parallel jobs, read back as a stream.

A dataset folder holds one folder per split, a split `data-00000-of-00004.arrow` and so on. Once
`gather` has added its JSON files, `datasets.load_from_disk` opens the folder; nothing is copied.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import DatasetInfo, Features

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path

END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"  # of Arrow's streaming format
# Rows that a reader or writer holds in memory: a few MB of audio. With more, the memory of each
# batch comes anew from the system, which takes longer than writing it.
ROWS_PER_BATCH = 25
ROWS_PER_MAPPING = 10  # rows that are read at random before the file is mapped anew


def shard_name(shard: int, shards: int) -> str:
    """File name of a shard, as Hugging Face datasets name theirs."""
    return f"data-{shard:05d}-of-{shards:05d}.arrow"


def write_shard(path: str | Path, features: Features, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write `rows` to a shard, a few at a time, and return their number.

    The file appears under its name only when it is complete. Lists of numbers are given as NumPy
    arrays, audio as `{"bytes": ..., "path": ...}`.

    Raises:
        InputError: the disk is full or the folder cannot be written.
    """
    schema = features.arrow_schema
    count = 0
    with (
        atomic_path(path) as temporary,
        pa.OSFile(str(temporary), "wb") as file,
        pa.ipc.new_stream(file, schema) as stream,
    ):
        batch: list[Mapping[str, Any]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == ROWS_PER_BATCH:
                stream.write_batch(_record_batch(batch, schema))
                count += len(batch)
                batch = []
        if batch:
            stream.write_batch(_record_batch(batch, schema))
            count += len(batch)
    return count


def read_shard(path: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard, one after the other, in bounded memory (no memory map).

    Raises:
        InputError: the file is not a complete shard.
    """
    check_complete(path)
    with _explained(path), open(path, "rb") as file, pa.ipc.open_stream(file) as stream:
        for batch in stream:
            yield from batch.to_pylist()


def read_rows(path: str | Path, order: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows of a shard in another order, in bounded memory.

    The file is mapped anew every few rows, because pages once touched (and up to 2 MB around
    them) stay in a process' resident memory until they are unmapped.

    Raises:
        InputError: the file is not a complete shard.
    """
    check_complete(path)
    for begin in range(0, len(order), ROWS_PER_MAPPING):
        with _explained(path), _mapped(path) as stream:
            table = stream.read_all()
            for index in order[begin : begin + ROWS_PER_MAPPING]:
                yield from table.slice(index, 1).to_pylist()
            del table


def shard_features(path: str | Path) -> Features:
    """The columns of a shard."""
    with _explained(path), open(path, "rb") as file, pa.ipc.open_stream(file) as stream:
        return Features.from_arrow_schema(stream.schema)


def count_rows(path: str | Path) -> int:
    """Number of rows of a shard; only its framing is read."""
    check_complete(path)
    with _explained(path), _mapped(path) as stream:
        return sum(batch.num_rows for batch in stream)


def clip_paths(path: str | Path) -> list[str]:
    """The column `path` of a shard."""
    check_complete(path)
    with _explained(path), _mapped(path) as stream:
        return [clip for batch in stream for clip in batch.column("path").to_pylist()]


def check_complete(path: str | Path) -> None:
    """Refuse a shard whose end is missing, even where it was cut between two batches.

    Raises:
        InputError: the file does not end as an Arrow stream does.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(END_OF_STREAM)))
        if file.read() != END_OF_STREAM:
            raise InputError(_damaged(path, "its end is missing"))


@contextmanager
def _mapped(path: str | Path) -> Iterator[pa.RecordBatchReader]:
    with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as stream:
        yield stream


@contextmanager
def _explained(path: str | Path) -> Iterator[None]:
    """Turn what Arrow says of a damaged file into what to do about it."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(_damaged(path, str(error))) from error


def _damaged(path: str | Path, reason: str) -> str:
    return f"{path}: not a complete shard ({reason}). Delete it and run the workflow again."


def gather(folder: str | Path, splits: Mapping[str, Sequence[str | Path]]) -> dict[str, int]:
    """Make a dataset of shards that lie in `folder/{split}/` and return the rows per split.

    Raises:
        InputError: as `gather_split`.
    """
    folder = Path(folder)
    rows = {split: gather_split(folder / split, shards) for split, shards in splits.items()}
    write_dataset_dict(folder, list(splits))
    return rows


def gather_split(folder: str | Path, shards: Sequence[str | Path]) -> int:
    """Make a dataset of the shards in `folder` (state.json, dataset_info.json); return its rows.

    Raises:
        InputError: no rows, a shard that is not complete, or shards that differ in their columns.
    """
    folder, paths = Path(folder), [Path(shard) for shard in shards]
    features = shard_features(paths[0])
    counts = []
    for path in paths:
        if shard_features(path) != features:
            raise InputError(
                f"{path}: its columns differ from those of {paths[0].name}. Delete both and run "
                "the workflow again."
            )
        counts.append(count_rows(path))
    if not sum(counts):
        raise InputError(f"{folder}: the split has no clips left; see the tables rejected-*.tsv")
    info = DatasetInfo(features=features)
    info.write_to_directory(str(folder))
    state = {
        "_data_files": [{"filename": path.name} for path in paths],
        "_fingerprint": _fingerprint(paths, counts),
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }
    _write_json(folder / "state.json", state)
    return sum(counts)


def write_dataset_dict(folder: str | Path, splits: Sequence[str]) -> None:
    """Make one dataset of the splits in `folder`, for `datasets.load_from_disk`."""
    _write_json(Path(folder) / "dataset_dict.json", {"splits": list(splits)})


def _fingerprint(paths: Sequence[Path], counts: Sequence[int]) -> str:
    """A name for the data as it lies there: it changes whenever a shard is written again."""
    digest = hashlib.blake2b(digest_size=8)
    for path, count in zip(paths, counts, strict=True):
        stat = path.stat()
        digest.update(f"{path.name} {count} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _record_batch(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in schema:
        values = [row[field.name] for row in rows]
        if pa.types.is_list(field.type):
            offsets = np.concatenate([[0], np.cumsum([len(value) for value in values])])
            flat = pa.array(np.concatenate(values), type=field.type.value_type)
            columns.append(
                pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=field.type)
            )
        elif pa.types.is_struct(field.type):
            columns.append(_audio(values, field.type))
        else:
            columns.append(pa.array(values, type=field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _audio(values: Sequence[Mapping[str, Any]], audio: pa.StructType) -> pa.StructArray:
    """A column of encoded audio, copied once: Arrow's own way copies it again and again."""
    clips = [value["bytes"] for value in values]
    offsets = np.concatenate([[0], np.cumsum([len(clip) for clip in clips])]).astype(np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(clips))]
    children = {
        "bytes": pa.Array.from_buffers(pa.binary(), len(clips), buffers),
        "path": pa.array([value["path"] for value in values], pa.string()),
    }
    return pa.StructArray.from_arrays([children[field.name] for field in audio], fields=list(audio))


def _write_json(path: Path, content: Mapping) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
