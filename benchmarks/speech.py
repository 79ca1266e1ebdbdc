"""Speech to measure with: synthesised sentences, joined to clips of a corpus' lengths."""

import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from hearing_asr.audio import SAMPLE_RATE, decode_flac
from hearing_asr.corpus import Limits, ingest_shard
from hearing_asr.demo_corpus import MP3, plan_clips, render
from hearing_asr.release import COLUMNS, read_clips
from hearing_asr.selection import Selection, write_clip_table
from hearing_asr.shards import read_shard

LONG = 5.2  # s: mean length of Common Voice English
SHORT = 3.0  # s
RELEASE_RATE = 48_000  # Hz, of the MP3 files
SEED = 1
SHAPE = 9  # of the gamma distribution of lengths: standard deviation a third of the mean
TABLE = "train.tsv"


def lengths(count: int, mean: float) -> np.ndarray:
    """`count` durations in s with exactly this mean, spread as in a corpus."""
    drawn = np.random.default_rng(SEED).gamma(SHAPE, size=count)
    return drawn * mean / drawn.mean()


def write_clips(folder: Path, count: int, mean: float) -> Path:
    """Write `count` clips of `mean` s as a release with one split; return its folder."""
    (folder / "clips").mkdir(parents=True)
    rows = []
    for number, (samples, sentence) in enumerate(_speak(lengths(count, mean))):
        path = _name(number)
        soundfile.write(folder / "clips" / path, samples, RELEASE_RATE, **MP3)
        rows.append({"client_id": f"{number:0128x}", "path": path, "sentence": sentence})
    write_table(folder / TABLE, rows)
    return folder


def link_clips(release: Path, folder: Path, count: int) -> Path:
    """Make a release of `count` clips out of those of `release`, as hard links to its files."""
    (folder / "clips").mkdir(parents=True)
    rows = []
    again_and_again = itertools.cycle(read_clips(release / TABLE).rows.to_pylist())
    for number, row in enumerate(itertools.islice(again_and_again, count)):
        os.link(release / "clips" / row["path"], folder / "clips" / _name(number))
        rows.append({**row, "path": _name(number)})
    write_table(folder / TABLE, rows)
    return folder


def choose(table: Path, output: Path, shards: int) -> Path:
    """Write the clip table of all clips of a table; return its path."""
    write_clip_table(
        table,
        output,
        output.with_suffix(".tsv"),
        output.with_suffix(".json"),
        split="train",
        selection=Selection(shards, None, None, False, None, None),
        max_damaged=0.0,
    )
    return output


def clip_files(release: Path) -> list[bytes]:
    """The MP3 files of a release."""
    return [path.read_bytes() for path in sorted((release / "clips").iterdir())]


@dataclass(frozen=True)
class Recordings:
    """The same clips at 16 kHz, as a script has them and as the workflow's jobs have them.

    Attributes:
        files: folder with a FLAC file per clip.
        shard: Arrow file of the corpus.
        duration: mean length in s.
    """

    files: Path
    shard: Path
    duration: float


def resample(release: Path, folder: Path) -> Recordings:
    """Bring the clips of a release to 16 kHz, in both ways."""
    files, shard = folder / "files", folder / "corpus.arrow"
    files.mkdir(parents=True)
    table = folder / "clips.parquet"
    choose(release / TABLE, table, 1)
    ingest_shard(table, release / "clips", 0, Limits(0.3, 30.0), shard, folder / "rejected.tsv")
    durations = []
    for row in read_shard(shard):
        samples = decode_flac(row["audio"]["bytes"], row["scale"])
        soundfile.write(files / f"{Path(row['path']).stem}.flac", samples, SAMPLE_RATE)
        durations.append(row["duration"])
    return Recordings(files, shard, float(np.mean(durations)))


def sentences(release: Path) -> list[str]:
    """What is said in the clips."""
    return read_clips(release / TABLE).rows["sentence"].to_pylist()


def _speak(durations: Sequence[float]) -> Iterator[tuple[np.ndarray, str]]:
    """A clip, float32 (n,), and its text for each duration: sentences until it is filled."""
    enough = len(durations) + int(2 * np.sum(durations))  # a sentence takes more than 0.5 s
    plan = iter(plan_clips({"train": enough}, SEED))
    for duration in durations:
        wanted = round(duration * RELEASE_RATE)
        samples, texts = np.zeros(0, np.float32), []
        while len(samples) < wanted:
            clip = next(plan)
            samples = np.concatenate([samples, render(clip, RELEASE_RATE, SEED)])
            texts.append(clip.sentence)
        yield samples[:wanted], " ".join(texts)


def _name(number: int) -> str:
    return f"common_voice_en_{number:08d}.mp3"


def write_table(table: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write a table as Common Voice writes them."""
    lines = ["\t".join(row.get(column, "") for column in COLUMNS) for row in rows]
    text = "".join(f"{line}\n" for line in ["\t".join(COLUMNS), *lines])
    table.write_text(text, encoding="utf-8")
