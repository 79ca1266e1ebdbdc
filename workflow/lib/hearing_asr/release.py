"""The tables of a Common Voice release, read exactly."""

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hearing_asr.errors import InputError

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
RENAMED = {"accent": "accents"}  # since 7.0
GENDERS = {"male": "male_masculine", "female": "female_feminine"}  # since 17.0
LINES = 50_000  # that are held as Python text
DAMAGED = "damaged row"


@dataclass(frozen=True)
class Table:
    """A table of a release.

    Attributes:
        rows: columns of text.
        lines: where each row stands in the file; the header is line 1.
        damaged: rows that cannot be read: path (empty if it cannot be told), reason, detail.
    """

    rows: pa.Table
    lines: Sequence[int]
    damaged: list[tuple[str, str, str]]


def read_table(path: str | Path) -> Table:
    """A table of a release as it stands there: a TSV file, or a Parquet file of text columns.

    Common Voice writes its tables without quoting: a quote is a character of the sentence like
    any other, and every line is one row. A line that is not UTF-8, or has more or fewer fields
    than the header (a tab or a line break within a sentence), is a damaged row.

    Raises:
        InputError: no such file, or no header.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"{path}: no such file. A release's folder holds clips/, train.tsv, dev.tsv and "
            "test.tsv; set corpus.release to that folder (of one language, such as .../en)."
        )
    if path.suffix == ".parquet":
        rows = pq.read_table(path)
        return Table(rows, range(1, len(rows) + 1), [])
    with open(path, "rb") as file:
        first = file.readline().removeprefix(codecs.BOM_UTF8)
        header = _fields(first) if _is_text(first) else []
        if header in ([], [""]) or len(set(header)) < len(header):
            raise InputError(
                f"{path}: no header; expected a line with the names of the columns, separated by "
                "tabs"
            )
        return _read_rows(file, header)


def _read_rows(lines: Iterable[bytes], header: list[str]) -> Table:
    chunks, numbers, damaged = [], [], []
    fields: list[list[str]] = []

    def complete() -> None:
        columns = zip(*fields, strict=True) if fields else ([] for _ in header)
        arrays = [pa.array(column, pa.string()) for column in columns]
        chunks.append(pa.table(arrays, names=header))
        fields.clear()

    for number, line in enumerate(lines, start=2):
        found = _fields(line) if _is_text(line) else []
        if len(found) == len(header):
            fields.append(found)
            numbers.append(number)
        else:
            damaged.append(_damage(number, line, len(found), len(header)))
        if len(fields) == LINES:
            complete()
    complete()
    return Table(pa.concat_tables(chunks), numbers, damaged)


def _damage(number: int, line: bytes, found: int, expected: int) -> tuple[str, str, str]:
    parts = line.decode(errors="replace").rstrip("\r\n").split("\t")
    path = next((part for part in parts if part.endswith(".mp3")), "")
    what = f"{found} fields where the header has {expected}" if found else "not UTF-8"
    return path, DAMAGED, f"line {number}: {what}"


def _is_text(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _fields(line: bytes) -> list[str]:
    return line.decode().rstrip("\r\n").split("\t")


def read_clips(path: str | Path) -> Table:
    """The rows of a split's table under the column names of a release since 17.0.

    `accent` becomes `accents`, the gender values of older releases become those of newer ones,
    columns that a release lacks are empty, columns beyond these are kept behind them.

    Raises:
        InputError: as `read_table`; a column that is needed is missing.
    """
    table = read_table(path)
    rows = table.rows.rename_columns([RENAMED.get(name, name) for name in table.rows.column_names])
    names = rows.column_names
    if missing := [name for name in REQUIRED if name not in names]:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; found {', '.join(names)}. Expected a "
            "table of a Common Voice release."
        )
    if taken := [name for name in OURS if name in names]:
        raise InputError(
            f"{path}: the workflow uses the column name {', '.join(taken)} itself; rename the "
            "column in the table."
        )
    empty = pa.array([""] * len(rows), pa.string())
    columns = {name: rows[name] if name in names else empty for name in COLUMNS}
    columns |= {name: rows[name] for name in names if name not in COLUMNS}
    columns["path"] = _with_suffix(columns["path"])
    for old, new in GENDERS.items():
        columns["gender"] = pc.if_else(pc.equal(columns["gender"], old), new, columns["gender"])
    return Table(pa.table(columns), table.lines, table.damaged)


def _with_suffix(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """Releases before 4.0 name clips without .mp3."""
    has = pc.match_substring_regex(paths, r"\.[^./]+$")
    return pc.if_else(has, paths, pc.binary_join_element_wise(paths, ".mp3", ""))


def check_release(folder: str | Path, tables: Iterable[str]) -> None:
    """Refuse a folder that is not an extracted release, before any job starts.

    Args:
        folder: of the release.
        tables: names without .tsv that must be there.

    Raises:
        InputError: naming what is missing and, where it is found, the folder that was meant.
    """
    folder = Path(folder)
    needed = ["clips", *(f"{table}.tsv" for table in tables)]
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
