"""The tables of a Common Voice release: read exactly, and one clip list per split made of them."""

import codecs
import hashlib
import heapq
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path

log = logging.getLogger("hearing_asr")

# Columns of a release since 17.0, in their order. Older releases lack some of them.
COLUMNS = (
    "client_id",
    "path",
    "sentence_id",
    "sentence",
    "sentence_domain",
    "up_votes",
    "down_votes",
    "age",
    "gender",
    "accents",
    "variant",
    "locale",
    "segment",
)
OURS = ("shard", "audio", "scale", "duration")  # columns that the workflow adds
REQUIRED = ("client_id", "path", "sentence")
ROW_GROUP = 10_000  # rows of a clip table that are read together
RENAMED = {"accent": "accents"}  # since 7.0
GENDERS = {"male": "male_masculine", "female": "female_feminine"}  # since 17.0


def read_table(path: str | Path) -> Iterator[dict[str, str]]:
    """The rows of a release's TSV file, as they stand there.

    Common Voice writes its tables without quoting: a quote is a character of the sentence like
    any other, and every line is one row.

    Yields:
        One mapping of column name (of the header) to text per line.

    Raises:
        InputError: no such file, not UTF-8, no header, or a line with more or fewer fields than
            the header (its number is named).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. A release's folder holds clips/, train.tsv, dev.tsv and "
            "test.tsv; set corpus.release to that folder (of one language, such as .../en)."
        )
    number = 1
    try:
        with open(path, "rb") as file:
            header = _fields(file.readline().removeprefix(codecs.BOM_UTF8))
            if header == [""]:
                raise InputError(f"{path}: the file is empty; expected a header line")
            for number, line in enumerate(file, start=2):
                fields = _fields(line)
                if len(fields) != len(header):
                    raise InputError(
                        f"{path}, line {number}: {len(fields)} fields where the header has "
                        f"{len(header)}. The table is damaged (a tab or line break within a "
                        "sentence?); extract the release again."
                    )
                yield dict(zip(header, fields, strict=True))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}, line {number}: not UTF-8 ({error.reason}). The table is damaged; extract "
            "the release again."
        ) from None


def _fields(line: bytes) -> list[str]:
    return line.decode().rstrip("\r\n").split("\t")


def read_clips(path: str | Path) -> Iterator[dict[str, str]]:
    """The rows of a split's table under the column names of a release since 17.0.

    `accent` becomes `accents`, the gender values of older releases become those of newer ones,
    columns that a release lacks are empty, columns beyond these are kept behind them.

    Raises:
        InputError: as `read_table`; a column that is needed is missing.
    """
    for row in read_table(path):
        row = {RENAMED.get(name, name): text for name, text in row.items()}
        missing = [name for name in REQUIRED if name not in row]
        if missing:
            raise InputError(
                f"{path}: no column {', '.join(missing)}; found {', '.join(row)}. Expected a "
                "table of a Common Voice release."
            )
        if taken := [name for name in OURS if name in row]:
            raise InputError(
                f"{path}: the workflow uses the column name {', '.join(taken)} itself; rename the "
                "column in the table."
            )
        row["gender"] = GENDERS.get(row.get("gender", ""), row.get("gender", ""))
        if not Path(row["path"]).suffix:  # releases before 4.0
            row["path"] += ".mp3"
        yield {name: row.get(name, "") for name in COLUMNS} | row


def write_clip_table(
    table: str | Path, output: str | Path, *, shards: int, max_clips: int | None
) -> int:
    """Choose the clips of a split and their shards, and write them as Parquet; return how many.

    Which clips `max_clips` keeps and which shard a clip belongs to follows from hashes of the
    clip's path alone: a smaller subset is part of a larger one, on every machine. The rows are
    sorted by shard, so that a shard's job reads just its part, and keep the release's order
    within a shard; they have all the release's columns, `shard` (int32) in front.

    Raises:
        InputError: as `read_clips`; a clip that is listed twice; fewer clips than shards.
    """
    rows: list[dict[str, str]] = list(read_clips(table))
    _refuse_duplicates(rows, table)
    if max_clips is not None and len(rows) > max_clips:
        order = {row["path"]: clip_hash(row["path"], "subset") for row in rows}
        kept = set(heapq.nsmallest(max_clips, order, key=order.__getitem__))
        rows = [row for row in rows if row["path"] in kept]
    if len(rows) < shards:
        raise InputError(
            f"{table}: {len(rows)} clips for {shards} shards. Set the number of shards of this "
            f"split (corpus.splits) to at most {max(len(rows), 1)}."
            if rows
            else f"{table}: the table has no clips"
        )
    columns = {"shard": pa.array([clip_hash(r["path"], "shard") % shards for r in rows], "int32")}
    columns |= {name: pa.array([row[name] for row in rows], pa.string()) for name in rows[0]}
    clips = pa.table(columns)
    clips = clips.take(pa.array(np.argsort(clips["shard"].to_numpy(), kind="stable")))
    with atomic_path(output) as temporary:
        pq.write_table(clips, temporary, row_group_size=ROW_GROUP)
    log.info("%s: %d clips in %d shards", table, len(rows), shards)
    return len(rows)


def shard_clips(clip_table: str | Path, shard: int) -> list[dict[str, str]]:
    """The rows of one shard from what `write_clip_table` wrote, without the column `shard`."""
    rows = pq.read_table(clip_table, filters=[("shard", "==", shard)]).drop_columns("shard")
    return rows.to_pylist()


def clip_columns(clip_table: str | Path) -> list[str]:
    """The release's columns in what `write_clip_table` wrote."""
    return [name for name in pq.read_schema(clip_table).names if name != "shard"]


def clip_hash(path: str, purpose: str) -> int:
    """A 64 bit hash of a clip's path, another one for each purpose, the same everywhere."""
    digest = hashlib.blake2b(path.encode(), digest_size=8, person=purpose.encode()).digest()
    return int.from_bytes(digest, "big")


def check_release(folder: str | Path, splits: Mapping) -> None:
    """Refuse a folder that is not an extracted release, before any job starts.

    Raises:
        InputError: naming what is missing and, where it is found, the folder that was meant.
    """
    folder = Path(folder)
    needed = ["clips", *(f"{split}.tsv" for split in splits)]
    missing = [name for name in needed if not (folder / name).exists()]
    if not missing:
        return
    hint = ""
    if folder.is_dir():
        meant = [child for child in sorted(folder.glob("*/clips")) if child.is_dir()]
        hint = f" Did you mean {meant[0].parent}?" if meant else ""
    raise InputError(
        f"corpus.release: {folder} is not the folder of an extracted Common Voice release: no "
        f"{', '.join(missing)} there.{hint} Expected a folder such as "
        "cv-corpus-26.0-2026-06-12/en with clips/, train.tsv, dev.tsv and test.tsv."
    )


def _refuse_duplicates(rows: list[dict[str, str]], table: str | Path) -> None:
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=2):
        if row["path"] in seen:
            raise InputError(
                f"{table}, lines {seen[row['path']]} and {number}: clip {row['path']} is listed "
                "twice. Remove one of the lines."
            )
        seen[row["path"]] = number
