"""A corpus made of parquet files on the Hugging Face Hub, or in a folder: its tables, its audio."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.hub_access import DataFile, HubDataset, Repository
from hearing_asr.hub_columns import (
    all_null,
    as_text,
    audio_column,
    class_labels,
    column_of,
    file_names,
    is_text,
    stored_paths,
    text_columns,
)
from hearing_asr.hub_files import find_files

__all__ = ["HubDataset", "stream_clips", "write_tables"]

log = logging.getLogger("hearing_asr")

RELEASE = "release.json"
ROW_GROUP = 10_000  # rows of the tables that are handled together
CLIPS = 16  # that are decoded from a file together


@dataclass(frozen=True)
class _Split:
    """What is read of a split.

    Attributes:
        files: in the dataset's order.
        texts: the dataset's column of each of our text columns but `path`.
        paths: columns that may name the clips, the preferred one first.
        audio: the column of the encoded audio, as parquet names it: `audio.bytes` in a struct.
        labels: names of the classes of columns that hold their numbers.
    """

    files: Sequence[DataFile]
    texts: Mapping[str, str]
    paths: Sequence[str]
    audio: str
    labels: Mapping[str, Sequence[str]]


def write_tables(source: HubDataset, folder: str | Path) -> None:
    """Write each split's table, and what it was made of, without reading the audio.

    `{split}.parquet` has one row per clip in the dataset's order. All columns are text, empty for
    null: client_id, path, sentence, then the dataset's others under their own names. What is no
    text or number is left out, and so is a column with a name that the workflow uses itself;
    numbers named `duration` (seconds) become `duration_s`. `path` is a file name, unique within
    the split: the base name of the dataset's path, else of the path stored with the audio, else
    one made of split and row.

    `release.json` has the dataset, the commit and each split's files. It is written last. Unless
    the dataset is streamed, all files are downloaded, but not before their columns are known to
    be right.

    Args:
        source: the dataset.
        folder: for the tables and release.json.

    Raises:
        InputError: the dataset cannot be had, or is not as `source` says.
    """
    folder = Path(folder)
    (folder / RELEASE).unlink(missing_ok=True)
    commit, names, sizes = find_files(source)
    log.info("%s: commit %s", source.dataset, commit or "none, a folder")
    hub = Repository(source, commit, remote=True)
    splits = {split: _inspected(hub, split, names[split], sizes) for split in names}
    if not source.streaming:
        hub = Repository(source, commit, remote=False)
        hub.download(list(dict.fromkeys(chain.from_iterable(names.values()))))
    record = {"source": "hub", "dataset": source.dataset, "subset": source.subset}
    record |= {"revision": source.revision, "commit": commit, "splits": {}}
    for split, content in splits.items():
        rows = _write_table(hub, split, content, folder / f"{split}.parquet")
        record["splits"][split] = {
            "name": source.splits[split],
            "rows": rows,
            "audio": content.audio,
            "files": [asdict(file) for file in content.files],
        }
        log.info("%s: %d clips in %d files", split, rows, len(content.files))
    with atomic_path(folder / RELEASE) as temporary:
        text = json.dumps(record, indent=1, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def stream_clips(
    source: HubDataset, release: str | Path, skip: int = 0
) -> Iterator[tuple[str, bytes | None]]:
    """The encoded audio of every clip, split after split in the order of the tables.

    Just the files of `release` are read: over the network where the dataset is streamed, else
    from this machine, without a connection.

    Args:
        source: the dataset.
        release: what `write_tables` wrote, beside its tables.
        skip: clips to leave out at the beginning; their files and row groups are not read.

    Yields:
        The clip's `path` in its table, and the bytes, None where the dataset has none.

    Raises:
        InputError: the files or tables are not those of `release`; no access; no connection.
    """
    release = Path(release)
    record = _read_record(source, release)
    hub = Repository(source, record["commit"], remote=source.streaming)
    splits = {
        split: [DataFile(**file) for file in content["files"]]
        for split, content in record["splits"].items()
    }
    hub.check(chain.from_iterable(splits.values()))
    for split, files in splits.items():
        column = record["splits"][split]["audio"]
        table = release.with_name(f"{split}.parquet")
        rows = sum(file.rows for file in files)
        names = _table_names(table, rows, min(skip, rows))
        for file in files:
            if skip < file.rows:
                for batch in hub.batches(file, [column], rows=CLIPS, skip=skip):
                    clips = column_of(batch, column)
                    yield from zip(islice(names, len(clips)), _values(clips), strict=True)
            skip = max(skip - file.rows, 0)


def _values(array: pa.Array) -> Iterator[object]:
    return (value.as_py() for value in array)


def _read_record(source: HubDataset, release: Path) -> dict:
    try:
        record = json.loads(release.read_text(encoding="utf-8"))
        found = tuple(record[key] for key in ("dataset", "subset", "revision", "commit", "splits"))
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{release}: missing, or not what the tables of a Hub dataset are recorded in. Make "
            "the tables again."
        ) from None
    if found[:3] != (source.dataset, source.subset, source.revision):
        raise InputError(
            f"{release}: made of {found[0]} (subset {found[1]}, revision {found[2]}), but "
            f"corpus.hub says {source.dataset} (subset {source.subset}, revision "
            f"{source.revision}). Delete the file to make the tables again."
        )
    return record


def _table_names(table: Path, rows: int, skip: int) -> Iterator[str]:
    try:
        parquet = pq.ParquetFile(table)
    except (OSError, pa.ArrowException):
        raise InputError(f"{table}: missing or damaged. Delete release.json beside it.") from None
    with parquet:
        if parquet.metadata.num_rows != rows:
            raise InputError(
                f"{table}: {parquet.metadata.num_rows} rows where the dataset has {rows}. Delete "
                "release.json beside it to make the tables again."
            )
        for batch in parquet.iter_batches(ROW_GROUP, columns=["path"]):
            yield from batch.column("path").slice(skip).to_pylist()
            skip = max(skip - batch.num_rows, 0)


def _inspected(
    hub: Repository, split: str, names: Sequence[str], sizes: Mapping[str, int]
) -> _Split:
    """What a split's footers tell; refuse it here, before anything is downloaded."""
    footers = {name: hub.footer(name) for name in names}
    schemas = {name: schema for name, (_, schema) in footers.items()}
    audio = audio_column(hub.source, schemas)
    counts = {name: metadata.num_rows for name, (metadata, _) in footers.items()}
    if not sum(counts.values()):
        raise InputError(f"{hub.source.dataset}: split {hub.source.splits[split]!r} has no rows.")
    if all(all_null(metadata, audio) for metadata, _ in footers.values()):
        raise InputError(
            f"{hub.source.dataset}: {audio} of split {hub.source.splits[split]!r} holds no audio, "
            "only nulls. Expected the encoded files within the dataset (as push_to_hub with "
            "embed_external_files=True writes them)."
        )
    kinds = {}  # of all files, since a column may be in some of them only
    for schema in schemas.values():
        kinds |= {field.name: field.type for field in schema if field.name not in kinds}
    readable = {
        name for name in kinds if all(is_text(s, name) for s in schemas.values() if name in s.names)
    }
    column = hub.source.columns["path"]
    everywhere = column in readable and all(column in s.names for s in schemas.values())
    paths = [column] if everywhere else []
    if audio.endswith(".bytes") and stored_paths(kinds[hub.source.columns["audio"]]):
        paths.append(audio.removesuffix("bytes") + "path")
    files = [hub.describe(name, sizes[name], counts[name]) for name in names]
    labels = class_labels(schemas[names[0]])
    return _Split(files, text_columns(hub.source, kinds, readable), paths, audio, labels)


def _write_table(hub: Repository, split: str, content: _Split, output: Path) -> int:
    rows = sum(file.rows for file in content.files)
    names = _clip_names(hub, content)
    if names is None:
        log.info("%s: no clip names that are file names and unique; making them", split)
        names = pa.chunked_array([[f"{split}-{row:08d}.audio" for row in range(rows)]])
    schema = pa.schema([(name, pa.string()) for name in _table_columns(content)])
    with atomic_path(output) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        first, waiting = 0, []
        for columns in _text_batches(hub, content):
            count = len(columns["sentence"])
            columns["path"] = names.slice(first, count).combine_chunks()
            waiting.append(pa.table(columns).select(schema.names))
            first += count
            if first == rows or sum(map(len, waiting)) >= ROW_GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
    return rows


def _table_columns(content: _Split) -> list[str]:
    others = [name for name in content.texts if name not in ("client_id", "sentence")]
    return ["client_id", "path", "sentence", *others]


def _text_batches(hub: Repository, content: _Split) -> Iterator[dict[str, pa.Array]]:
    theirs = list(dict.fromkeys(content.texts.values()))
    for file in content.files:
        for batch in hub.batches(file, theirs, rows=ROW_GROUP):
            empty = pa.nulls(batch.num_rows)
            found = {name: batch.column(name) for name in batch.schema.names}
            yield {
                ours: as_text(found.get(name, empty), content.labels.get(name))
                for ours, name in content.texts.items()
            }


def _clip_names(hub: Repository, content: _Split) -> pa.ChunkedArray | None:
    """File names from the first column that has one for every clip, each once."""
    for column in content.paths:
        chunks = []
        batches = (hub.batches(file, [column], rows=ROW_GROUP) for file in content.files)
        for batch in chain.from_iterable(batches):
            labels = content.labels.get(column)
            names = file_names(as_text(column_of(batch, column), labels).to_pylist())
            if names is None:
                break
            chunks.append(pa.array(names, pa.string()))
        else:
            found = pa.chunked_array(chunks, pa.string())
            if pc.count_distinct(found).as_py() == len(found):
                return found
    return None
