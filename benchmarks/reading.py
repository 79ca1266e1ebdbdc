"""Reading training examples at random: padded nested lists against valid frames in float16."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import pipeline
from benchmarks.common import Row, Section, Stopwatch, best_in_turns, milliseconds
from benchmarks.storage import Stored

PROMISED = 20
BATCH = 16  # clips


def measure(stored: Stored, rounds: int) -> Section:
    """CPU time per clip, from an open dataset to a batch of padded float32 arrays."""
    sides = {
        "lists": partial(script, stored.padded, stored.clips, None),
        "numpy": partial(script, stored.padded, stored.clips, "numpy"),
        "here": partial(here, stored.here),
    }
    best = milliseconds(best_in_turns(sides, rounds))
    rows = [
        Row("as a script reads them", best["lists"], best["here"], PROMISED),
        Row('as a script with format "numpy" does', best["numpy"], best["here"]),
    ]
    return Section("Random training examples: ms per clip", "padded lists", "here", rows)


def script(folder: Path, clips: int, form: str | None) -> float:
    """One pass over the padded dataset, in the format that is set on it."""
    from datasets import load_from_disk

    dataset = load_from_disk(str(folder)).with_format(form)

    def read(indices: list[int]) -> np.ndarray:
        rows = [dataset[index]["input_features"] for index in indices]
        return np.stack([np.asarray(row, np.float32) for row in rows])

    return _pass(read, clips)


def here(folder: Path) -> float:
    """One pass over the log-Mel dataset, as training reads it."""
    from hearing_asr.training_data import LogMelCollator, LogMelDataset

    dataset = LogMelDataset([folder])
    collate = LogMelCollator(pipeline.NUM_MEL_BINS, pipeline.WINDOW_FRAMES)
    return _pass(lambda indices: collate(dataset.__getitems__(indices)), len(dataset))


def _pass(read: Callable[[list[int]], object], clips: int) -> float:
    """CPU seconds per clip to read all clips once, in batches of random ones."""
    watch = Stopwatch()
    with watch:
        for indices in _batches(clips):
            read(indices)
    return watch.seconds / clips


def _batches(clips: int) -> Iterator[list[int]]:
    order = np.random.default_rng(0).permutation(clips).tolist()
    return (order[begin : begin + BATCH] for begin in range(0, clips, BATCH))
