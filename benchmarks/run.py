"""Measure speed and memory against what a script would do, and print a table.

Every ratio compares two things that were measured in this run; README.md says what they are.
`--quick` takes few clips, to see that everything runs: its figures mean little.
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
    parser.add_argument("--quick", action="store_true", help="few clips, to see that it runs")
    quick = parser.parse_args().quick
    quiet_and_on_one_thread()

    from benchmarks.common import Size, render

    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hearing-asr-bench-") as folder:
        for section in sections(Path(folder), Size.quick() if quick else Size()):
            print(render(section), flush=True)
    print(f"\n{time.monotonic() - begin:.0f} s in all. benchmarks/README.md says how to read this.")


def quiet_and_on_one_thread() -> None:
    """Keep libraries, here and in processes started from here, to one thread and off the screen.

    They read these variables when they are loaded, so it must happen before.
    """
    for library in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
    os.environ["TQDM_DISABLE"] = "1"


def sections(folder: Path, size: "Size") -> Iterator["Section"]:
    """The parts of the table, each as soon as it is measured."""
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


if __name__ == "__main__":
    main()
