"""Measure speed and memory against what a script would do, and print a table.

Every ratio compares two things that were measured in this run; README.md says what they are.
`--quick` measures little, to see that everything runs: its figures mean little as well.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.common import Section, Size

ROOT = Path(__file__).parents[1]
# The project's root instead of this folder, so that `benchmarks` is a package here as in the tests.
sys.path[:1] = [str(ROOT), str(ROOT / "workflow" / "lib")]


def main() -> None:
    """Run all measurements one after the other; each prints its part of the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--quick", action="store_true", help="little, to see that it runs")
    amount.add_argument(
        "--all", action="store_true", help="also plan 100 times the study: most of an hour, 6 GB"
    )
    parser.add_argument("--only", choices=PARTS, help="this part of the table")
    options = parser.parse_args()
    quiet_and_on_one_thread()

    from benchmarks.common import Size, render

    size = Size.quick() if options.quick else Size.everything() if options.all else Size()
    parts = [options.only] if options.only else list(PARTS)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hearing-asr-bench-") as folder:
        for part in parts:
            for section in PARTS[part](Path(folder) / part, size):
                print(render(section), flush=True)
    print(f"\n{time.monotonic() - begin:.0f} s in all. benchmarks/README.md says how to read this.")


def quiet_and_on_one_thread() -> None:
    """Keep libraries, here and in processes started from here, to one thread and off the screen.

    They read these variables when they are loaded, so it must happen before.
    """
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    os.environ["TQDM_DISABLE"] = "1"


def data(folder: Path, size: "Size") -> Iterator["Section"]:
    """From raw speech to training examples: each section as soon as it is measured."""
    from benchmarks import features, masking, memory, pipeline, reading, speech, storage
    from benchmarks.common import say

    say("synthesising speech")
    long = speech.write_clips(folder / "long", size.clips, speech.LONG)
    short = speech.write_clips(folder / "short", size.clips, speech.SHORT)
    model = pipeline.build_model(folder / "model")
    recordings = [speech.resample(clips, clips / "16kHz") for clips in (short, long)]
    say("masking")
    yield masking.measure(recordings, size.rounds)
    say("log-Mel features")
    yield features.measure(recordings, size.rounds)
    say("datasets to read from")
    stored = storage.store(long, model, folder / "stored")
    yield storage.measure(stored)
    say("reading")
    yield reading.measure(stored, size.rounds)
    say("the whole pipeline")
    yield pipeline.measure(long, model, size.rounds)
    say("memory of the workers")
    yield from memory.measure(long, model, folder / "memory", size.shards)


def ingestion(folder: Path, size: "Size") -> Iterator["Section"]:
    """From an archive to the corpus."""
    from benchmarks import ingestion, speech
    from benchmarks.common import say

    say("synthesising speech")
    release = speech.write_clips(folder / "long", size.clips, speech.LONG)
    yield from ingestion.measure(
        release, folder / "archive", size.ingested, size.streamed, size.rounds
    )


def jobs(folder: Path, size: "Size") -> Iterator["Section"]:
    """What the workflow adds to a job."""
    from benchmarks import jobs

    yield jobs.measure(folder, size.jobs, size.starts)


def planning(folder: Path, size: "Size") -> Iterator["Section"]:
    """Dry runs."""
    from benchmarks import planning

    yield from planning.measure(folder, size.scales, size.starts)


def training(folder: Path, size: "Size") -> Iterator["Section"]:
    """Steps of the demo's model."""
    from benchmarks import training

    yield from training.measure(folder, size.steps)


def statistics(folder: Path, size: "Size") -> Iterator["Section"]:
    """Scores, and how sure they are; writes no files."""
    from benchmarks import statistics

    yield from statistics.measure(
        size.scored, size.replicates, size.looped, size.tests, size.rounds
    )


PARTS = {part.__name__: part for part in (data, ingestion, jobs, planning, training, statistics)}


if __name__ == "__main__":
    main()
