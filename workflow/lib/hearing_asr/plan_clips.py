"""How many clips a run will have, from what is known before they have been chosen."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hearing_asr import plan_costs as costs

HOUR = 3600  # seconds
GUESS = "a guess: all of Common Voice English"


@dataclass(frozen=True)
class Speech:
    """The clips of a split.

    Attributes:
        clips: their number.
        hours: of speech.
        source: where these numbers are from.
        certain: whether they are good enough to refuse a run by.
    """

    clips: int
    hours: float
    source: str
    certain: bool = True


def count_clips(
    split: str, corpus: Mapping, data: Path, release: Path, guess: Mapping[str, int]
) -> Speech:
    """How many clips a split will have, from the best that there is.

    What was chosen by an earlier job counts most, then the clip list, then the tables of the
    release, then the configuration of the demo, then the size of an archive against that of Common
    Voice English, then `guess`. Filters are not reckoned with.
    """
    table = corpus["train_from"] if split == "train" else split
    known = _chosen(data / f"clips/{split}.json", corpus["clip_list"] is not None)
    if known is None:
        clips, source = _available(split, table, corpus, release, guess)
        seconds, lengths = _mean_seconds(corpus["source"], data, release)
        english = corpus["source"] == "mdc" and corpus["mdc"]["dataset"] in costs.ENGLISH
        certain = source != GUESS or english
        known = Speech(clips, clips * seconds / HOUR, f"{source}; {lengths}", certain)
    return _capped(known, **_limits(corpus["splits"][split]))


def _limits(split: Mapping) -> dict:
    return {key: split[key] for key in ("max_clips", "max_hours")}


def _chosen(path: Path, listed: bool) -> Speech | None:
    if not path.exists():
        return None
    counts = json.loads(path.read_text())
    if not counts["chosen"] or counts["hours"] is None:
        return None
    more = 1.0 if listed else (counts["chosen"] + counts["beyond"]) / counts["chosen"]
    return Speech(round(counts["chosen"] * more), counts["hours"] * more, str(path))


def _available(
    split: str, table: str, corpus: Mapping, release: Path, guess: Mapping[str, int]
) -> tuple[int, str]:
    if corpus["clip_list"] is not None:
        return _listed(Path(corpus["clip_list"]), split), corpus["clip_list"]
    if (path := release / f"{table}.tsv").exists():
        with open(path, "rb") as file:
            return max(0, sum(1 for _ in file) - 1), str(path)
    if (path := release / f"{table}.parquet").exists():
        from pyarrow.parquet import read_metadata

        return read_metadata(path).num_rows, str(path)
    if corpus["source"] == "demo":
        return corpus["demo"]["clips"][split], f"corpus.demo.clips.{split}"
    archive = Path(corpus["release"] or "")
    if corpus["source"] == "release" and archive.is_file():
        share = min(1.0, archive.stat().st_size / costs.ARCHIVE)
        return max(1, round(guess[table] * share)), "a guess by the size of the archive"
    return guess[table], GUESS


def _listed(path: Path, split: str) -> int:
    with open(path, encoding="utf-8") as file:
        column = file.readline().rstrip("\n").split("\t").index("split")
        return sum(line.rstrip("\n").split("\t")[column] == split for line in file)


def _mean_seconds(source: str, data: Path, release: Path) -> tuple[float, str]:
    for folder in (data / "release", release):
        path = folder / "clip_durations.tsv"
        if not path.exists():
            continue
        with open(path, encoding="utf-8") as file:
            ends = (line.rstrip("\n").rpartition("\t")[2] for line in file)
            lengths = [int(end) for end in ends if end.isdigit()]
        if lengths:
            return sum(lengths) / len(lengths) / 1000, path.name
    seconds = costs.DEMO_CLIP_SECONDS if source == "demo" else costs.CLIP_SECONDS
    return seconds, f"{seconds:g} s per clip"


def _capped(speech: Speech, max_clips: int | None, max_hours: float | None) -> Speech:
    share = 1.0
    if speech.clips and max_clips is not None:
        share = min(share, max_clips / speech.clips)
    if speech.hours and max_hours is not None:
        share = min(share, max_hours / speech.hours)
    clips = math.floor(speech.clips * share + 1e-6)
    return replace(speech, clips=clips, hours=speech.hours * share)
