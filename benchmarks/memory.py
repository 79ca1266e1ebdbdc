"""Peak memory of each kind of worker, for a small and a large shard."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from benchmarks import pipeline, speech
from benchmarks.common import SPAWN, Row, Section, default_variants, say

LIMIT = 1024  # MiB
GROWTH = 0.9  # the larger shard's worker may take a tenth more: allocators are not that exact
WORKERS = 2


def measure(release: Path, model: Path, folder: Path, shards: Sequence[int]) -> Iterator[Section]:
    """Run every kind of worker on shards of both sizes, each in a process of its own."""
    small, large = shards
    folders = {clips: folder / str(clips) for clips in shards}
    for clips in shards:
        speech.link_clips(release, folders[clips] / "release", clips)
    peaks: dict[tuple[str, int], float] = {}
    with ProcessPoolExecutor(WORKERS, mp_context=SPAWN, max_tasks_per_child=1) as pool:
        for stage in STAGES:
            jobs = {
                (name, clips): pool.submit(peak, name, folders[clips], model)
                for clips in reversed(shards)
                for name in stage
            }
            for (name, clips), job in jobs.items():
                peaks[name, clips] = job.result()
                say(f"{name}, {clips:,} clips: {peaks[name, clips]:.0f} MiB")
    shutil.rmtree(folder)
    names = [name for stage in STAGES for name in stage]
    rows = [Row(name, peaks[name, small], peaks[name, large], GROWTH) for name in names]
    headings = (f"{small:,} clips", f"{large:,} clips")
    yield Section("Peak memory, size of the shard: MiB", *headings, rows)
    rows = [Row("the worker that takes most", LIMIT, max(peaks.values()), 1)]
    yield Section("Peak memory, limit: MiB", "1 GiB", "here", rows)


def peak(name: str, folder: Path, model: Path) -> float:
    """Run the worker `name` here and return the peak memory of this process, in MiB.

    The kernel's high-water mark of this program is read: ru_maxrss would begin with what the
    process had in memory that started this one.
    """
    WORK[name](folder, model)
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def clip_table(folder: Path, model: Path) -> None:
    """Choose clips and shards."""
    speech.choose(folder / "release" / speech.TABLE, folder / "clips.parquet", 1)


def corpus(folder: Path, model: Path) -> None:
    """Decode MP3, store FLAC."""
    from hearing_asr.corpus import Limits, ingest_shard

    ingest_shard(
        folder / "clips.parquet",
        folder / "release" / "clips",
        0,
        Limits(0.3, 30.0),
        folder / "corpus.arrow",
        folder / "rejected.tsv",
    )


def masking(folder: Path, model: Path) -> None:
    """Let a shard through a variant."""
    from hearing_asr.masking import mask_shard

    output = folder / "masked.arrow"
    mask_shard(folder / "corpus.arrow", output, default_variants()["hfloss"], "hfloss")
    output.unlink()


def features(folder: Path, model: Path) -> None:
    """Turn a shard into log-Mel and labels, in shuffled order."""
    from hearing_asr.logmel import feature_spec, logmel_shard
    from hearing_asr.models import load_tokenizer

    tokenizer = load_tokenizer(model, "en", "transcribe")
    output = folder / "logmel.arrow"
    logmel_shard(
        folder / "corpus.arrow",
        output,
        folder / "rejected-logmel.tsv",
        feature_spec(model, pipeline.NUM_MEL_BINS, "float16"),
        lambda text: tokenizer(text).input_ids,
        pipeline.SHUFFLE_SEED,
    )
    output.unlink()


WORK: dict[str, Callable[[Path, Path], None]] = {
    "clip table": clip_table,
    "corpus": corpus,
    "masking": masking,
    "features": features,
}
STAGES = (("clip table",), ("corpus",), ("masking", "features"))  # each needs those before it
