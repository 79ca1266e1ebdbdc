import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from hearing_asr import ingest as module
from hearing_asr import ingest_workers, parts
from hearing_asr.corpus import Limits, ingest_shard
from hearing_asr.errors import InputError
from hearing_asr.ingest import identity_of, ingest, shard_outputs
from hearing_asr.quarantine import read_quarantine, write_quarantine
from hearing_asr.release import COLUMNS
from hearing_asr.shards import read_shard
from tests.conftest import speech_like

LIMITS = Limits(0.2, 1.0)
SHARDS = {"train": 3, "test": 2}
BAD = {
    "empty.mp3": (b"", "empty file"),
    "text.mp3": (b"no audio at all", "undecodable"),
    "long.mp3": (None, "too long"),
    "linked.mp3": (None, "missing"),
    "absent.mp3": (None, "missing"),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, bytes]:
    """Files of a release in the order of an archive; one is in no table."""
    folder = tmp_path_factory.mktemp("clips")
    made = {}
    for k in range(60):
        sf.write(folder / "clip.mp3", speech_like(0.25 + 0.005 * k, seed=k), 16_000)
        made[f"common_voice_en_{k}.mp3"] = (folder / "clip.mp3").read_bytes()
    sf.write(folder / "clip.mp3", speech_like(1.5), 16_000)
    made |= {name: data for name, (data, _) in BAD.items() if data is not None}
    made |= {"long.mp3": (folder / "clip.mp3").read_bytes(), "unlisted.mp3": b"never decoded"}
    names = sorted(made)
    np.random.default_rng(1).shuffle(names)
    return {name: made[name] for name in names}


@pytest.fixture(scope="module")
def release(tmp_path_factory, clips) -> Path:
    """Clip tables, the clips as files, and the shards that are made of them one by one."""
    folder = tmp_path_factory.mktemp("release")
    (folder / "clips").mkdir()
    for name, data in clips.items():
        (folder / "clips" / name).write_bytes(data)
    listed = sorted({*clips, *BAD} - {"unlisted.mp3"})
    for split, names in {"train": listed[::2], "test": listed[1::2]}.items():
        rows = sorted((k % SHARDS[split], k, name) for k, name in enumerate(names))
        table = {"shard": pa.array([shard for shard, _, _ in rows], "int32")}
        table |= {column: [f"{column} {name}" for *_, name in rows] for column in COLUMNS}
        table["path"] = [name for *_, name in rows]
        pq.write_table(pa.table(table), folder / f"{split}.parquet")
    for shard in outputs(folder, folder / "expected"):
        shard.output.parent.mkdir(parents=True, exist_ok=True)
        files = (shard.output, shard.rejected)
        ingest_shard(shard.clip_table, folder / "clips", shard.number, LIMITS, *files)
        rejected = read_quarantine(shard.rejected)  # only an archive can have a link there
        linked = ("linked.mp3", "missing", "what stands for it is not a file")
        write_quarantine(
            shard.rejected, [linked if row[0] == "linked.mp3" else row for row in rejected]
        )
    return folder


def outputs(release, folder):
    names = [(split, k) for split, count in SHARDS.items() for k in range(count)]
    return shard_outputs(
        SHARDS,
        [release / f"{split}.parquet" for split in SHARDS],
        [folder / split / f"data-{k}.arrow" for split, k in names],
        [folder / split / f"rejected-{k}.tsv" for split, k in names],
    )


class Stream:
    """The clips of an archive; what has been asked for, and what goes wrong when."""

    def __init__(self, clips, fail_at=None, pause=0.0):
        self.clips = [*clips.items(), ("linked.mp3", None)]
        self.fail_at, self.skipped = fail_at, []
        self.pause = pause or (0.02 if fail_at else 0.0)  # a checkpoint takes a moment

    def __call__(self, skip):
        self.skipped.append(skip)
        for position, clip in enumerate(self.clips[skip:], start=skip):
            if position == self.fail_at:
                raise InputError("the archive is damaged")
            time.sleep(self.pause)
            yield clip


def run(stream, release, folder, workers=2, identity="a"):
    shards = outputs(release, folder)
    ingest(stream, shards, folder / ".stream", LIMITS, workers=workers, identity=identity)


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_shards_are_those_of_an_extracted_release(tmp_path, release, clips, workers):
    run(Stream(clips), release, tmp_path / "out", workers)
    assert contents(tmp_path / "out") == contents(release / "expected")


def test_every_clip_comes_through_or_is_rejected_with_its_reason(tmp_path, release, clips):
    run(Stream(clips), release, tmp_path / "out")
    stored, rejected = [], {}
    for shard in outputs(release, tmp_path / "out"):
        stored += [row["path"] for row in read_shard(shard.output)]
        rejected |= {
            path: (reason, detail) for path, reason, detail in read_quarantine(shard.rejected)
        }
    assert sorted(stored) == sorted(f"common_voice_en_{k}.mp3" for k in range(60))
    assert {path: reason for path, (reason, _) in rejected.items()} == {
        path: reason for path, (_, reason) in BAD.items()
    }
    assert rejected["linked.mp3"][1] == "what stands for it is not a file"


def test_a_clip_that_is_there_twice_is_taken_as_it_came_last(tmp_path, release, clips):
    first, second, *_ = (name for name in clips if name.startswith("common"))
    stream = Stream(clips)
    stream.clips.append((first, clips[second]))
    run(stream, release, tmp_path / "out")
    rows = {row["path"]: row for shard in outputs(release, tmp_path / "out")
            for row in read_shard(shard.output)}  # fmt: skip
    assert rows[first]["audio"]["bytes"] == rows[second]["audio"]["bytes"]


@pytest.fixture
def checkpoints(monkeypatch):
    """One behind every clip."""
    monkeypatch.setattr(module, "CHECKPOINT_INTERVAL", 0.0)


def test_an_interrupted_pass_goes_on_from_its_checkpoint(tmp_path, release, clips, checkpoints):
    out = tmp_path / "out"
    broken = Stream(clips, fail_at=40)
    with pytest.raises(InputError, match="the archive is damaged"):
        run(broken, release, out)
    assert list(out.glob("*/*.arrow")) == []
    again = Stream(clips, fail_at=50)
    with pytest.raises(InputError):
        run(again, release, out, workers=3)
    last = Stream(clips)
    run(last, release, out)
    (first,), (second,), (third,) = broken.skipped, again.skipped, last.skipped
    assert first == 0 < second <= 40 < third <= 50
    assert contents(out) == contents(release / "expected")


def test_work_behind_the_last_checkpoint_does_not_count(tmp_path, release, clips, monkeypatch):
    """Parts that were written but not recorded may hold anything, or half of it."""
    monkeypatch.setattr(parts, "BUFFER", 1)
    out = tmp_path / "out"
    with pytest.raises(InputError):
        run(Stream(clips, fail_at=40), release, out)
    for file in (out / ".stream").rglob("*.jsonl"):
        with open(file, "ab") as opened:
            opened.write(b"[0, 999, 1.0, 0.5")
    last = Stream(clips)
    run(last, release, out)
    assert last.skipped == [0]
    assert contents(out) == contents(release / "expected")


def test_what_lies_behind_the_recorded_length_does_not_count(tmp_path, release, clips, checkpoints):
    """As a worker leaves it that lived on for a moment after the others were killed."""
    out = tmp_path / "out"
    with pytest.raises(InputError):
        run(Stream(clips, fail_at=40), release, out)
    for file in (out / ".stream").rglob("attempt-1/*"):
        with open(file, "ab") as opened:
            opened.write(b"[0, 9, 1.0, 0.5]\n")
    last = Stream(clips)
    run(last, release, out)
    assert last.skipped[0] > 0
    assert contents(out) == contents(release / "expected")


@pytest.mark.parametrize("moment", ["decoding", "writing", "publishing"])
def test_a_pass_that_is_killed_goes_on(tmp_path, release, clips, checkpoints, monkeypatch, moment):
    out = tmp_path / "out"
    reached = multiprocessing.get_context("fork").Event()

    def stop(*_):
        reached.set()
        time.sleep(60)

    def killed():
        os.setsid()
        if moment == "decoding":
            monkeypatch.setattr(Stream, "__call__", lambda self, skip: _until(self, skip, stop))
        elif moment == "writing":
            write = ingest_workers.write_from_parts
            monkeypatch.setattr(ingest_workers, "write_from_parts",
                                lambda shard: stop() if shard.number else write(shard))  # fmt: skip
        else:
            publish = module._publish
            monkeypatch.setattr(
                module, "_publish", lambda a, b: stop() if "/test/" in str(b) else publish(a, b)
            )
        run(Stream(clips), release, out)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    assert reached.wait(30)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)  # its workers live on for a moment
    process.join()
    for shard in outputs(release, out):  # as Snakemake does before it starts a job again
        shard.output.unlink(missing_ok=True)
        shard.rejected.unlink(missing_ok=True)
    last = Stream(clips)
    run(last, release, out)
    assert [0 < skipped <= 30 for skipped in last.skipped] == [True] * (moment == "decoding")
    assert contents(out) == contents(release / "expected")


def _until(stream, skip, stop):
    for clip in stream.clips[skip:30]:
        yield clip
        time.sleep(0.02)
    stop()


def test_another_choice_of_clips_begins_anew(tmp_path, release, clips, checkpoints):
    out = tmp_path / "out"
    with pytest.raises(InputError):
        run(Stream(clips, fail_at=40), release, out, identity="a")
    last = Stream(clips)
    run(last, release, out, identity="b")
    assert last.skipped == [0]
    assert contents(out) == contents(release / "expected")


def test_a_worker_that_is_killed_is_told_and_nothing_is_lost(tmp_path, release, clips, checkpoints):
    out = tmp_path / "out"

    class Deadly(Stream):
        def __call__(self, skip):
            for position, clip in enumerate(super().__call__(skip)):
                if position == 35:
                    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
                yield clip

    with pytest.raises(InputError, match=r"was ended \(exit code -9\).*corpus.num_cpus"):
        run(Deadly(clips, pause=0.02), release, out)
    last = Stream(clips)
    run(last, release, out)
    assert 0 < last.skipped[0] <= 35
    assert contents(out) == contents(release / "expected")


def test_an_error_in_a_worker_is_told(tmp_path, release, clips, monkeypatch):
    def broken(data, limits):
        raise ZeroDivisionError("by design")

    monkeypatch.setattr(ingest_workers, "store_clip", broken)
    with pytest.raises(RuntimeError, match=r"(?s)Traceback.*by design"):
        run(Stream(clips), release, tmp_path / "out")


def test_a_full_disk_is_told(tmp_path, release, clips, checkpoints, monkeypatch):
    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts, "BUFFER", 1)
    monkeypatch.setattr(parts.os, "fsync", full)
    with pytest.raises(InputError, match="no space left while writing"):
        run(Stream(clips, pause=0.01), release, tmp_path / "out")


def test_two_passes_in_one_folder_are_refused(tmp_path, release, clips):
    out = tmp_path / "out"
    stream = Stream(clips, pause=0.1)
    process = multiprocessing.get_context("fork").Process(target=run, args=(stream, release, out))
    process.start()
    try:
        while not (out / ".stream/state.json").exists():
            time.sleep(0.05)
        with pytest.raises(InputError, match="another process is at work there"):
            run(Stream(clips), release, out)
    finally:
        process.join()
    assert contents(out) == contents(release / "expected")


def test_a_clip_in_two_splits_is_refused(tmp_path, release, clips):
    shutil.copytree(release, tmp_path / "release")
    shutil.copy(release / "test.parquet", tmp_path / "release/train.parquet")
    with pytest.raises(InputError, match="test.parquet: has clips that another split has"):
        run(Stream(clips), tmp_path / "release", tmp_path / "out")


def test_what_is_read_ahead_is_bounded(tmp_path, release, clips, monkeypatch):
    """While the workers are held up, the stream waits."""
    monkeypatch.setattr(ingest_workers, "CHUNK_CLIPS", 1)
    monkeypatch.setattr(ingest_workers, "CHUNKS", 2)
    gate = multiprocessing.get_context("fork").Event()
    monkeypatch.setattr(ingest_workers._Worker, "_store", lambda self, clips: gate.wait())
    ahead = []

    class Counted(Stream):
        def __call__(self, skip):
            for position, clip in enumerate(super().__call__(skip)):
                ahead.append(position)
                if len(ahead) == 1:
                    multiprocessing.get_context("fork").Process(
                        target=_open_later, args=(gate,)
                    ).start()
                yield clip

    begin = time.monotonic()
    run(Counted(clips), release, tmp_path / "out", workers=1)
    assert time.monotonic() - begin > 1.5
    assert gate.is_set()


def _open_later(gate):
    time.sleep(2)
    gate.set()


def test_the_identity_is_that_of_the_contents(tmp_path):
    (tmp_path / "a").write_text("a")
    first = identity_of([tmp_path / "a"], LIMITS)
    assert identity_of([tmp_path / "a"], LIMITS) == first
    assert identity_of([tmp_path / "a"], Limits(0.2, 2.0)) != first
    (tmp_path / "a").write_text("b")
    assert identity_of([tmp_path / "a"], LIMITS) != first


def test_the_state_says_how_far_it_is(tmp_path, release, clips, checkpoints):
    with pytest.raises(InputError):
        run(Stream(clips, fail_at=40), release, tmp_path / "out")
    state = json.loads((tmp_path / "out/.stream/state.json").read_text())
    assert 20 <= state["position"] <= 40
    assert state["complete"] is False


def test_parts_that_are_gone_are_made_again(tmp_path, release, clips, checkpoints):
    """As after a failure of the machine itself."""
    out = tmp_path / "out"
    with pytest.raises(InputError):
        run(Stream(clips, fail_at=40), release, out)
    largest = max((out / ".stream").rglob("*.flac"), key=lambda path: path.stat().st_size)
    os.truncate(largest, 1)
    last = Stream(clips)
    run(last, release, out)
    assert last.skipped == [0]
    assert contents(out) == contents(release / "expected")
