"""The columns of a dataset's parquet files: which are needed, and their values as text."""

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hearing_asr.errors import InputError
from hearing_asr.hub_access import HubDataset

log = logging.getLogger("hearing_asr")

LONGEST = 200  # bytes of a clip's file name; file systems take 255
NEEDED = {
    "audio": "the encoded audio",
    "sentence": "what is spoken",
    "client_id": "the speaker, by whom the splits are checked for overlap",
}
OURS = ("client_id", "path", "sentence", "shard", "audio", "scale", "duration")
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def audio_column(source: HubDataset, schemas: Mapping[str, pa.Schema]) -> str:
    """The column of the encoded audio as parquet names it, the same in all files of a split.

    Raises:
        InputError: a file lacks a column that is needed, or it is not of a kind that can be used.
    """
    found = set()
    for name, schema in schemas.items():
        for ours, meaning in NEEDED.items():
            if source.columns[ours] not in schema.names:
                raise InputError(
                    f"{source.dataset}: {name} has no column {source.columns[ours]!r}; found "
                    f"{', '.join(schema.names)}. Set corpus.hub.columns.{ours} to the column with "
                    f"{meaning}."
                )
        column = source.columns["audio"]
        kind = schema.field(column).type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            column, kind = f"{column}.bytes", kind.field("bytes").type
        if not _is_binary(kind):
            raise InputError(
                f"{source.dataset}: column {column!r} of {name} is {str(kind)[:60]}. Expected the "
                "bytes of audio files: binary, or a struct of bytes and path as the feature Audio "
                "of datasets has it. Set corpus.hub.columns.audio to such a column."
            )
        found.add(column)
    for ours in ("sentence", "client_id"):
        for name, schema in schemas.items():
            if not is_text(schema, source.columns[ours]):
                raise InputError(
                    f"{source.dataset}: column {source.columns[ours]!r} of {name} is not text. "
                    f"Set corpus.hub.columns.{ours} to the column with {NEEDED[ours]}."
                )
    if len(found) > 1:
        raise InputError(
            f"{source.dataset}: the audio is in {' and '.join(sorted(found))}, which differs among "
            f"the files {', '.join(schemas)}. Write the dataset anew with one schema."
        )
    return found.pop()


def all_null(metadata: pq.FileMetaData, column: str) -> bool:
    """Whether a file says of a column that it has nulls only; False where it does not say."""
    for group in range(metadata.num_row_groups):
        chunks = metadata.row_group(group)
        for chunk in (chunks.column(index) for index in range(chunks.num_columns)):
            told = chunk.statistics
            if chunk.path_in_schema == column and (
                told is None or not told.has_null_count or told.null_count < chunks.num_rows
            ):
                return False
    return True


def _is_binary(kind: pa.DataType) -> bool:
    return (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def stored_paths(kind: pa.DataType) -> bool:
    """Whether a struct has a path beside the bytes."""
    index = kind.get_field_index("path")
    return index >= 0 and "string" in str(kind.field(index).type)


def is_text(schema: pa.Schema, name: str) -> bool:
    """Whether a column can be written as text."""
    kind = schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return not (pa.types.is_nested(kind) or _is_binary(kind) or pa.types.is_interval(kind))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def text_columns(
    source: HubDataset, kinds: Mapping[str, pa.DataType], readable: set[str]
) -> dict[str, str]:
    """The dataset's column of each of our text columns, but path."""
    texts = {ours: source.columns[ours] for ours in ("client_id", "sentence")}
    seconds = _is_number(kinds.get("duration", pa.null()))
    for theirs, kind in kinds.items():
        if theirs in source.columns.values():
            continue
        if theirs not in readable:
            log.info("%s: column %s (%s) is left out", source.dataset, theirs, str(kind)[:60])
        elif theirs == "duration" and seconds:
            texts["duration_s"] = theirs
        elif theirs in OURS:
            log.info(
                "%s: column %s is left out: the workflow uses this name", source.dataset, theirs
            )
        elif theirs != "duration_s" or (_is_number(kind) and not seconds):
            texts[theirs] = theirs
        else:
            log.info("%s: column duration_s is left out", source.dataset)
    return texts


def class_labels(schema: pa.Schema) -> dict[str, list[str]]:
    """The classes' names of the columns that `datasets` has marked as ClassLabel."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {k: v["names"] for k, v in features.items() if v.get("_type") == "ClassLabel"}
    except (TypeError, KeyError, ValueError, AttributeError):  # written by something else
        return {}


def as_text(array: pa.Array, labels: Sequence[str] | None) -> pa.Array:
    """Values as strings, empty for null and not a number; class numbers as the classes' names."""
    if labels and pa.types.is_integer(array.type):
        known = pc.and_(pc.greater_equal(array, 0), pc.less(array, len(labels)))
        array = pa.array(labels, pa.string()).take(pc.if_else(known, array, None))
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):  # pandas writes NaN where there is no number
        array = pc.if_else(pc.is_nan(array), None, array)
    return array.cast(pa.string()).fill_null("")


def file_names(paths: Iterable[str]) -> list[str] | None:
    """The bare file name of each path; None if one of them has none."""
    names = []
    for path in paths:
        name = re.split(r"[/\\]", path)[-1]
        if name in ("", ".", "..") or UNSAFE.search(name) or len(name.encode()) > LONGEST:
            return None
        names.append(name if Path(name).suffix else f"{name}.audio")
    return names


def column_of(batch: pa.RecordBatch, column: str) -> pa.Array:
    """A column of a batch by parquet's name of it, `audio.bytes` for a field of a struct."""
    if column in batch.schema.names:
        return batch.column(column)
    struct, field = column.rsplit(".", 1)
    return pc.struct_field(batch.column(struct), field)
