"""What all measurements share: the table, and processes that are measured in turns."""

import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]

# A new interpreter for each process: nothing of the parent's memory, as a job has it.
SPAWN = multiprocessing.get_context("spawn")

WIDTHS = (40, 12, 12, 7, 12, 4)


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        clips: of speech that are synthesised for each mean length.
        rounds: how often each side of a comparison is measured; the best round counts.
        shards: clips in the smaller and the larger shard of the memory measurement.
        ingested: clips of the archive whose ingestion is timed.
        streamed: clips of the smaller and the larger archive of the memory measurement.
        jobs: that are run to measure what the workflow adds to a job.
        starts: how often what needs programs to be started is measured; the best counts.
        scales: how many times the full study's shards are planned.
        steps: of each training.
        scored: clips whose scoring is timed.
        replicates: of the bootstrap of a whole matrix.
        looped: replicates of the plain loop that it is compared with.
        tests: that are simulated in each population.
    """

    clips: int = 48
    rounds: int = 5
    shards: tuple[int, int] = (500, 5000)
    ingested: int = 4000
    streamed: tuple[int, int] = (1000, 20_000)
    jobs: int = 8
    starts: int = 2
    scales: tuple[int, ...] = (1, 10)
    steps: int = 40
    scored: int = 20_000
    replicates: int = 10_000
    looped: int = 200
    tests: int = 4000

    @classmethod
    def quick(cls) -> "Size":
        return cls(
            clips=4,
            rounds=1,
            shards=(8, 16),
            ingested=40,
            streamed=(20, 40),
            jobs=2,
            starts=1,
            scales=(1,),
            steps=8,
            scored=200,
            replicates=200,
            looped=5,
            tests=5,
        )

    @classmethod
    def everything(cls) -> "Size":
        """With what takes most of an hour."""
        return cls(scales=(1, 10, 100))


@dataclass(frozen=True)
class Row:
    """One comparison: `other` over `here` is the ratio, so that more is better.

    `promised` is the least ratio that the project promises, None where it promises nothing.
    """

    what: str
    other: float
    here: float
    promised: float | None = None

    @property
    def ratio(self) -> float:
        return self.other / self.here

    @property
    def kept(self) -> bool:
        """Whether the promise was kept; nothing promised is nothing broken."""
        return self.promised is None or self.ratio >= self.promised


@dataclass(frozen=True)
class Section:
    """A part of the table: what was measured in which unit, and what is in the two columns."""

    title: str
    other: str
    here: str
    rows: Sequence[Row]
    note: str = ""


def render(section: Section) -> str:
    """The section as text."""
    lines = [_line(section.title, section.other, section.here, "ratio", "promised", "kept")]
    lines.append("-" * (sum(WIDTHS) + 2 * (len(WIDTHS) - 1)))
    for row in section.rows:
        promised, kept = "", ""
        if row.promised is not None:
            promised, kept = f"at least {row.promised:g}", "yes" if row.kept else "no"
        numbers = (_number(row.other), _number(row.here), f"{row.ratio:.2f}")
        lines.append(_line(f"  {row.what}", *numbers, promised, kept))
    return "\n".join(["", *lines, *([section.note] if section.note else [])])


def _line(first: str, *others: str) -> str:
    rest = (f"{text:>{width}}" for text, width in zip(others, WIDTHS[1:], strict=True))
    return "  ".join([f"{first:<{WIDTHS[0]}}", *rest]).rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def say(what: str) -> None:
    """Tell the user what is going on, beside the table."""
    print(f"... {what}", file=sys.stderr, flush=True)


class Stopwatch:
    """Adds up the CPU time of this process, all its threads, over several `with` blocks.

    CPU time, because it is what "per core" means, and because other programs do not count in it.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._begin = time.process_time()

    def __exit__(self, *_) -> None:
        self.seconds += time.process_time() - self._begin


def best_in_turns(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """The least result of each side, which measures itself and returns seconds.

    Each side has a process of its own, so that none works on memory that another has already
    obtained from the system; the sides take turns, so that a slow phase of the machine hits all.
    A first round, in which libraries are loaded, caches filled and code compiled, does not count.

    Args:
        sides: functions that can be pickled, by name. They read their data from files: arguments
            of some size would change how the process obtains memory.
        rounds: how often each is called, after the first time.
    """
    results: dict[str, list[float]] = {name: [] for name in sides}
    with ExitStack() as stack:
        processes = {
            name: stack.enter_context(ProcessPoolExecutor(1, mp_context=SPAWN)) for name in sides
        }
        for _ in range(1 + rounds):
            for name, side in sides.items():
                results[name].append(processes[name].submit(side).result())
    return {name: min(seconds[1:]) for name, seconds in results.items()}


def milliseconds(seconds: Mapping[str, float]) -> dict[str, float]:
    """The same times in ms."""
    return {name: 1000 * value for name, value in seconds.items()}


@cache
def default_variants() -> dict[str, dict]:
    """The variants of config/config.yaml."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    return config["variants"]
