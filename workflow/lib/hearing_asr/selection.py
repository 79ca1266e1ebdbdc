"""Which clips of a split are taken, and how many were left out for which reason."""

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hearing_asr.clip_table import write_sharded
from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.quarantine import write_quarantine
from hearing_asr.release import DAMAGED, GENDERS, Table, read_clips
from hearing_asr.subsets import clip_durations, listed_clips, order, prefix

log = logging.getLogger("hearing_asr")

DUPLICATE = "duplicate row"


@dataclass(frozen=True)
class Selection:
    """Which clips of a split are wanted.

    Attributes:
        shards: number of shards that they are divided into.
        max_clips: at most so many; None: all.
        max_hours: at most so many hours; None: all.
        stratify_by_speaker: whether every speaker's first clip comes before any one's second.
        filters: keys of corpus.filters (but `splits`) and their values; None: no filters.
        clip_list: TSV file with the columns split and path: just these; None: all.
    """

    shards: int
    max_clips: int | None
    max_hours: float | None
    stratify_by_speaker: bool
    filters: Mapping | None
    clip_list: str | None


def write_clip_table(
    table: str | Path,
    output: str | Path,
    excluded: str | Path,
    counts: str | Path,
    *,
    split: str,
    selection: Selection,
    max_damaged: float,
    durations: str | Path | None = None,
    held_out: Sequence[str | Path] = (),
) -> None:
    """Choose the clips of a split and their shards.

    What is taken follows from the table and from hashes of the clips' paths alone: a smaller
    subset is part of a larger one, on every machine.

    Args:
        table: of the release.
        output: Parquet file, as `clip_table.write_sharded` makes it.
        excluded: quarantine table of the rows that were left out, each with its reason; those
            beyond max_clips or max_hours are not listed.
        counts: JSON file: split, table, rows, damaged, excluded (clips by reason), beyond (those
            beyond max_clips, max_hours or the clip list), chosen, hours (None where the release
            does not say), speakers.
        split: name of the split.
        selection: which clips are wanted.
        max_damaged: largest share of the rows that may be damaged, 0 to 1.
        durations: the release's clip_durations.tsv.
        held_out: tables of splits whose speakers and sentences must not be in this one.

    Raises:
        InputError: a table is damaged, the release lacks what a filter or a limit needs, a clip
            of the list is not there, or too few clips are left.
    """
    released = read_clips(table)
    _check_damaged(table, released, max_damaged)
    sieve = _Sieve(Path(table), released)
    _drop_duplicates(sieve)
    for other in held_out:
        _hold_out(sieve, other, [Path(path).stem for path in held_out])
    _filter(sieve, selection.filters or {})
    seconds = clip_durations(sieve.rows, durations)
    kept = _subset(sieve, selection, split, seconds)
    clips = sieve.rows.take(pa.array(kept))
    if len(kept) < selection.shards:
        raise InputError(sieve.too_few(len(kept), selection.shards))
    write_sharded(clips, output, selection.shards)
    write_quarantine(excluded, [*released.damaged, *sieve.excluded])
    speakers = set(clips["client_id"].to_pylist()) - {""}
    known = {
        "split": split,
        "table": Path(table).name,
        "rows": len(released.rows) + len(released.damaged),
        "damaged": len(released.damaged),
        "excluded": dict(Counter(reason for _, reason, _ in sieve.excluded)),
        "beyond": int(sieve.alive.sum()) - len(kept),
        "chosen": len(kept),
        "hours": None if seconds is None else float(seconds[kept].sum() / 3600),
        "speakers": len(speakers),
    }
    with atomic_path(counts) as temporary:
        temporary.write_text(json.dumps(known, indent=2) + "\n")
    left_out = ", ".join(f"{reason}: {count}" for reason, count in known["excluded"].items())
    log.info(
        "%s: %d of %d clips in %d shards%s",
        table,
        len(kept),
        known["rows"],
        selection.shards,
        f" ({left_out})" if left_out else "",
    )


class _Sieve:
    """The rows of a table, and which of them are still wanted."""

    def __init__(self, path: Path, table: Table) -> None:
        self.path = path
        self.rows = table.rows
        self.lines = table.lines
        self.alive = np.ones(len(table.rows), bool)
        self.excluded: list[tuple[str, str, str]] = []

    def drop(self, rows: np.ndarray, reason: str, details: Any = "") -> None:
        """Leave out rows (bool, one per row) that are still wanted, for a reason.

        Args:
            details: one text for all, or what gives that of a row: `details[row]`.
        """
        hit = np.flatnonzero(rows & self.alive)
        paths = self.rows["path"].take(pa.array(hit)).to_pylist()
        for row, path in zip(hit.tolist(), paths, strict=True):
            detail = details if isinstance(details, str) else details[row]
            self.excluded.append((path, reason, detail))
        self.alive[hit] = False

    def text(self, column: str) -> list[str]:
        return self.rows[column].to_pylist()

    def too_few(self, left: int, shards: int) -> str:
        """What to say when there are fewer clips than shards."""
        if left:
            return (
                f"{self.path}: {left} clips for {shards} shards. Set the number of shards of this "
                f"split (corpus.splits) to at most {left}."
            )
        if not len(self.rows):
            return f"{self.path}: the table has no clips"
        reasons = Counter(reason for _, reason, _ in self.excluded)
        counts = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
        return (
            f"{self.path}: none of {len(self.rows)} clips is left ({counts or 'beyond the limits'})"
            ". Loosen corpus.filters, or raise max_clips or max_hours of the split."
        )


def _check_damaged(path: str | Path, table: Table, most: float) -> None:
    count, rows = len(table.damaged), len(table.damaged) + len(table.rows)
    if not count:
        return
    first = "; ".join(detail for *_, detail in table.damaged[:3])
    if count > most * rows:
        raise InputError(
            f"{path}: {count} of {rows} rows are damaged ({first}), more than "
            f"corpus.max_rejected = {most:g} allows. Get the release again, or raise the key if "
            "the loss is acceptable."
        )
    log.warning("%s: %d of %d rows are damaged and left out (%s)", path, count, rows, first)


def _drop_duplicates(sieve: _Sieve) -> None:
    """The second of two equal rows is left out; two different ones for one clip are an error."""
    paths = sieve.text("path")
    first: dict[str, int] = {}
    again = np.zeros(len(paths), bool)
    for row, path in enumerate(paths):
        if first.setdefault(path, row) != row:
            again[row] = True
    details: dict[int, str] = {}
    for row in np.flatnonzero(again).tolist():
        original = first[paths[row]]
        if sieve.rows.slice(row, 1).to_pylist() != sieve.rows.slice(original, 1).to_pylist():
            raise InputError(
                f"{sieve.path}, lines {sieve.lines[original]} and {sieve.lines[row]}: clip "
                f"{paths[row]} is listed twice, and differently. Remove one of the lines."
            )
        details[row] = f"lines {sieve.lines[original]} and {sieve.lines[row]} are the same"
    if details:
        sieve.drop(again, DUPLICATE, details)


def _hold_out(sieve: _Sieve, other: str | Path, splits: Sequence[str]) -> None:
    rows = read_clips(other).rows
    for column, what in (("client_id", "speaker"), ("sentence", "sentence")):
        theirs = pc.unique(pc.utf8_trim_whitespace(rows[column]))
        theirs = theirs.filter(pc.not_equal(theirs, ""))
        same = pc.is_in(pc.utf8_trim_whitespace(sieve.rows[column]), value_set=theirs)
        reason = f"{what} of {' or '.join(splits)}"
        sieve.drop(same.to_numpy(), reason, f"in {Path(other).name}")


def _filter(sieve: _Sieve, filters: Mapping) -> None:
    """Leave out what the filters do not want, each clip for the first reason that applies."""
    characters = pc.utf8_length(pc.utf8_trim_whitespace(sieve.rows["sentence"])).to_numpy()
    if filters.get("drop_empty_sentences"):
        sieve.drop(characters == 0, "empty sentence")
    details = _Lengths(characters)
    if (fewest := filters.get("min_characters")) is not None:
        sieve.drop(characters < fewest, "sentence too short", details)
    if (most := filters.get("max_characters")) is not None:
        sieve.drop(characters > most, "sentence too long", details)
    if (fewest := filters.get("min_up_votes")) is not None:
        votes = _votes(sieve, "up_votes", "min_up_votes")
        sieve.drop(votes < fewest, "too few up votes", sieve.text("up_votes"))
    if (most := filters.get("max_down_votes")) is not None:
        votes = _votes(sieve, "down_votes", "max_down_votes")
        sieve.drop(votes > most, "too many down votes", sieve.text("down_votes"))
    for key, column, reason in _SELECTED:
        if (wanted := filters.get(key)) is not None:
            _require(sieve, column, key)
            values = pc.utf8_lower(pc.utf8_trim_whitespace(sieve.rows[column]))
            sieve.drop(~_matches(values, wanted, column), reason, sieve.text(column))


_SELECTED = (
    ("locales", "locale", "locale"),
    ("accents", "accents", "accent"),
    ("genders", "gender", "gender"),
    ("ages", "age", "age"),
)


class _Lengths:
    """Details of sentences, as text when they are asked for."""

    def __init__(self, characters: np.ndarray) -> None:
        self._characters = characters

    def __getitem__(self, row: int) -> str:
        return f"{self._characters[row]} characters"


def _matches(values: pa.ChunkedArray, wanted: Sequence[str], column: str) -> np.ndarray:
    """Whether each value is one that is wanted.

    A clip's accents are one or several, separated by | or by commas; an accent may have commas of
    its own ("India and South Asia (India, Pakistan, Sri Lanka)").
    """
    wanted = [GENDERS.get(value, value) if column == "gender" else value for value in wanted]
    lower = [value.strip().lower() for value in wanted]
    if column != "accents":
        return pc.is_in(values, value_set=pa.array(lower, pa.string())).to_numpy()
    accents = "|".join(re.escape(value) for value in lower)
    pattern = rf"(^|[|,])\s*({accents})\s*([|,]|$)"
    return pc.match_substring_regex(values, pattern).to_numpy()


def _votes(sieve: _Sieve, column: str, key: str) -> np.ndarray:
    """Numbers of votes; clips whose entry is none are left out."""
    _require(sieve, column, key)
    text = sieve.rows[column]
    numbers = pc.match_substring_regex(text, r"^\d{1,9}$")
    entries = [f"{column}: {entry!r} is no number" for entry in sieve.text(column)]
    sieve.drop(~numbers.to_numpy(), DAMAGED, entries)
    return pc.cast(pc.if_else(numbers, text, "0"), pa.int64()).to_numpy()


def _require(sieve: _Sieve, column: str, key: str) -> None:
    if not pc.any(pc.not_equal(sieve.rows[column], "")).as_py():
        raise InputError(
            f"{sieve.path}: the column {column} is empty in this release, but "
            f"corpus.filters.{key} is set. Set it to null."
        )


def _subset(
    sieve: _Sieve, selection: Selection, split: str, seconds: np.ndarray | None
) -> np.ndarray:
    """The rows that are taken, in the order of the table."""
    rows = np.flatnonzero(sieve.alive)
    if selection.clip_list is not None:
        paths = sieve.rows["path"].take(pa.array(rows)).to_pylist()
        excluded = {path: reason for path, reason, _ in sieve.excluded}
        return rows[listed_clips(paths, excluded, selection.clip_list, split)]
    if selection.max_clips is None and selection.max_hours is None:
        return rows
    if selection.max_hours is not None and seconds is None:
        raise InputError(
            f"corpus.splits.{split}.max_hours: the release has no clip_durations.tsv that says "
            "how long its clips are. Set it to null, and max_clips instead."
        )
    clips = sieve.rows.take(pa.array(rows))
    speakers = clips["client_id"].to_pylist() if selection.stratify_by_speaker else None
    ordered = order(clips["path"].to_pylist(), speakers)
    taken = prefix(
        ordered,
        None if seconds is None else seconds[rows],
        selection.max_clips,
        selection.max_hours,
    )
    return rows[np.sort(taken)]
