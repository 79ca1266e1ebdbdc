"""From an archive to shards in one pass on all cores: against a bare loop, against extracting."""

import io
import os
import shutil
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks import speech
from benchmarks.common import SPAWN, Row, Section, say

CORES = os.cpu_count() or 1
SHARDS = 8
ROOT = "cv-corpus/en"
FLOOR = 0.75  # of the bare loop's speed, at least
LIMIT = 1024  # MiB per process
LOOK = 0.1  # seconds
ROUNDS = 3


def measure(
    release: Path, folder: Path, clips: int, sizes: Sequence[int], rounds: int
) -> Iterator[Section]:
    """Speed with `clips` clips, memory with both `sizes`."""
    folder.mkdir()
    archive = write_archive(release, folder / f"{clips}.tar.gz", clips)
    sides: dict[str, Callable[[], float]] = {
        "floor": partial(floor, release, clips),
        "here": partial(stream, archive, folder / "stream"),
        "extracted": partial(extract, archive, folder / "extracted"),
    }
    best = {name: float("inf") for name in sides}
    for _ in range(min(rounds, ROUNDS)):
        for name, side in sides.items():
            best[name] = min(best[name], 1000 * side() / clips)
            say(f"{name}: {best[name]:.2f} ms per clip")
    rates = [f"{1000 / best[name] / CORES:.0f}" for name in ("here", "floor")]
    yield Section(
        f"Archive to corpus on {CORES} cores: ms per clip",
        "floor",
        "here",
        [Row("decode, resample, FLAC alone", best["floor"], best["here"], FLOOR)],
        f"  here {rates[0]} clips per second and core; the floor {rates[1]}",
    )
    yield Section(
        "Archive to corpus: ms per clip",
        "extracted",
        "streamed",
        [Row("against extracting first", best["extracted"], best["here"])],
        f"  {clips:,} files less",
    )
    small, large = sizes
    peaks = {}
    for count in sizes:
        path = write_archive(release, folder / f"{count}.tar.gz", count)
        with Peaks() as peaks[count]:
            stream(path, folder / "stream")
        path.unlink()
    kinds = {"the process that reads": "parent", "the worker that takes most": "child"}
    rows = [Row(what, peaks[small][kind], peaks[large][kind]) for what, kind in kinds.items()]
    yield Section("Peak memory of the pass: MiB", f"{small:,} clips", f"{large:,} clips", rows)
    most = max(peaks[large]["parent"], peaks[large]["child"])
    yield Section(
        "Peak memory, limit: MiB",
        "1 GiB",
        "here",
        [Row("the process that takes most", LIMIT, most, 1)],
    )


def write_archive(release: Path, path: Path, clips: int) -> Path:
    """An archive of `clips` clips with their table behind them, as a release has it."""
    linked = speech.link_clips(release, path.with_suffix(".release"), clips)
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for file in [*sorted((linked / "clips").iterdir()), linked / speech.TABLE]:
            member = tarfile.TarInfo(f"{ROOT}/{file.relative_to(linked)}")
            data = file.read_bytes()
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    shutil.rmtree(linked)
    return path


def floor(release: Path, clips: int) -> float:
    """Seconds for decoding, resampling and encoding alone, in a loop on every core."""
    share = clips // CORES
    with ProcessPoolExecutor(CORES, mp_context=SPAWN) as pool:
        list(pool.map(bare_loop, [release] * CORES, [CORES] * CORES))  # libraries are loaded
        begin = time.perf_counter()
        list(pool.map(bare_loop, [release] * CORES, [share] * CORES))
        return time.perf_counter() - begin


def bare_loop(release: Path, clips: int) -> None:
    """What nobody can do without."""
    import soundfile
    import soxr

    from hearing_asr.audio import FLAC_SUBTYPE, SAMPLE_RATE

    files = speech.clip_files(release)
    for number in range(clips):
        samples, rate = soundfile.read(io.BytesIO(files[number % len(files)]), dtype="float32")
        samples = soxr.resample(samples, rate, SAMPLE_RATE, quality="HQ")
        soundfile.write(io.BytesIO(), samples, SAMPLE_RATE, format="FLAC", subtype=FLAC_SUBTYPE)


def stream(archive: Path, folder: Path) -> float:
    """Seconds for the pass of the workflow, without the tables."""
    from hearing_asr.archive import archive_clips, unpack_tables
    from hearing_asr.corpus import Limits
    from hearing_asr.ingest import ingest, shard_outputs

    shutil.rmtree(folder, ignore_errors=True)
    unpack_tables(archive, folder, tables=["train"])
    table = speech.choose(folder / speech.TABLE, folder / "clips.parquet", SHARDS)
    shards = shard_outputs(
        {"train": SHARDS},
        [table],
        [folder / f"{k}.arrow" for k in range(SHARDS)],
        [folder / f"{k}.tsv" for k in range(SHARDS)],
    )
    begin = time.perf_counter()
    ingest(
        lambda skip: archive_clips(archive, ROOT, skip),
        shards,
        folder / "stream",
        Limits(0.3, 30.0),
        workers=CORES,
        identity="",
    )
    seconds = time.perf_counter() - begin
    shutil.rmtree(folder)
    return seconds


def extract(archive: Path, folder: Path) -> float:
    """Seconds for extracting the archive, and then making the same shards of the files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with ProcessPoolExecutor(CORES, mp_context=SPAWN) as pool:
        list(pool.map(load, range(CORES)))
        begin = time.perf_counter()
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        seconds = time.perf_counter() - begin
        table = speech.choose(folder / ROOT / speech.TABLE, folder / "clips.parquet", SHARDS)
        begin = time.perf_counter()
        list(pool.map(partial(one_shard, folder, table), range(SHARDS)))
        seconds += time.perf_counter() - begin
    shutil.rmtree(folder)
    return seconds


def load(_: int) -> None:
    """Import what a shard's job needs: how long that takes is not what is measured."""
    import hearing_asr.corpus  # noqa: F401


def one_shard(folder: Path, table: Path, shard: int) -> None:
    """One shard of an extracted release."""
    from hearing_asr.corpus import Limits, ingest_shard

    outputs = (folder / f"{shard}.arrow", folder / f"{shard}.tsv")
    ingest_shard(table, folder / ROOT / "clips", shard, Limits(0.3, 30.0), *outputs)


class Peaks(dict):
    """Peak memory in MiB of this process (`parent`) and its largest child, within the block."""

    def __enter__(self) -> "Peaks":
        self.update(parent=0.0, child=0.0)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        """The kernel's high-water marks only grow, so a look now and then sees them."""
        me = os.getpid()
        while not self._over.wait(LOOK):
            children = Path(f"/proc/{me}/task/{me}/children").read_text().split()
            for kind, processes in (("parent", [me]), ("child", children)):
                for process in processes:
                    self[kind] = max(self[kind], high_water(process))


def high_water(process: int | str) -> float:
    """The peak memory of a process in MiB, 0 if it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM:"))
