"""Quarantine tables: the clips that did not come through, each with its reason."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from hearing_asr.files import atomic_path

COLUMNS = ("path", "reason", "detail")
_FORMAT = {"delimiter": "\t", "quoting": csv.QUOTE_NONE, "escapechar": "\\"}


def write_quarantine(path: str | Path, rows: Iterable[Sequence[str]]) -> None:
    """Write rows of (path of the clip, reason, detail) to the TSV file `path`."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, **_FORMAT)
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def read_quarantine(path: str | Path) -> list[tuple[str, str, str]]:
    """The rows of what `write_quarantine` wrote."""
    with open(path, newline="") as file:
        reader = csv.reader(file, **_FORMAT)
        next(reader)
        return [tuple(row) for row in reader]
