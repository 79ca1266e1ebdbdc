"""Every measurement of `make bench` runs and fills its rows; no time is asserted."""

import io
import math
import os

import numpy as np
import pytest
import soundfile
from benchmarks import common, features, masking, memory, pipeline, reading, speech, storage
from benchmarks.common import Row, Section, Size, best_in_turns, render

from hearing_asr.audio import decode_flac
from hearing_asr.shards import read_shard

CLIPS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(scope="module")
def release(folder):
    return speech.write_clips(folder / "long", CLIPS, speech.LONG)


@pytest.fixture(scope="module")
def recordings(folder, release):
    return speech.resample(release, folder / "16kHz")


@pytest.fixture(scope="module")
def model(folder):
    return pipeline.build_model(folder / "model")


@pytest.fixture(scope="module")
def stored(folder, release, model):
    return storage.store(release, model, folder / "stored")


@pytest.fixture
def in_this_process(monkeypatch):
    """Call the sides of a comparison right here: starting processes takes seconds."""

    def call(sides, rounds):
        return {name: side() for name, side in sides.items()}

    for module in (masking, features, reading, pipeline):
        monkeypatch.setattr(module, "best_in_turns", call)


def check(section: Section, rows: int) -> None:
    assert len(section.rows) == rows
    for row in section.rows:
        assert all(math.isfinite(value) and value > 0 for value in (row.other, row.here, row.ratio))
        assert row.what in render(section)


@pytest.mark.usefixtures("in_this_process")
def test_masking(recordings):
    check(masking.measure([recordings], rounds=1), rows=2)


@pytest.mark.usefixtures("in_this_process")
def test_features(recordings):
    check(features.measure([recordings], rounds=1), rows=2)


@pytest.mark.usefixtures("in_this_process")
def test_reading(stored):
    check(reading.measure(stored, rounds=1), rows=2)


@pytest.mark.usefixtures("in_this_process")
def test_pipeline(release, model):
    check(pipeline.measure(release, model, rounds=1), rows=1)


def test_storage_keeps_its_promise(stored):
    section = storage.measure(stored)
    check(section, rows=1)
    (row,) = section.rows
    assert row.other == pytest.approx(128 * 3000 * 4 / 1e3, rel=0.01)
    assert row.kept


def test_memory(release, model, folder):
    growth, limit = memory.measure(release, model, folder / "memory", shards=(2, 4))
    check(growth, rows=4)
    check(limit, rows=1)
    assert limit.rows[0].here == max(max(row.other, row.here) for row in growth.rows)
    assert not (folder / "memory").exists()


def test_peak_is_that_of_the_worker_alone(monkeypatch):
    held = b"x" * 600_000_000  # what the parent holds is not the worker's
    with memory.ProcessPoolExecutor(1, mp_context=common.SPAWN) as pool:
        idle = pool.submit(_allocate_and_measure, 0).result()
        busy = pool.submit(_allocate_and_measure, 200).result()
    assert len(held) / 2**20 > idle
    assert 150 < busy - idle < 250


def _allocate_and_measure(mebibytes: int) -> float:
    memory.WORK["allocate"] = lambda folder, model: bytearray(mebibytes * 2**20)
    return memory.peak("allocate", None, None)


def test_clips_have_the_mean_length_and_are_real_mp3(release):
    durations = [soundfile.info(io.BytesIO(data)).duration for data in speech.clip_files(release)]
    assert len(durations) == CLIPS
    assert sum(durations) / CLIPS == pytest.approx(speech.LONG, abs=0.05)
    assert len(set(durations)) == CLIPS


def test_script_and_workflow_get_the_same_clips(recordings):
    assert recordings.duration == pytest.approx(speech.LONG, abs=0.05)
    rows = {row["path"]: row for row in read_shard(recordings.shard)}
    assert len(rows) == CLIPS
    for path in recordings.files.iterdir():
        row = rows[f"{path.stem}.mp3"]
        ours = decode_flac(row["audio"]["bytes"], row["scale"])
        np.testing.assert_allclose(soundfile.read(path)[0], ours, atol=2**-15)


def test_a_large_release_is_links_to_a_small_one(release, tmp_path):
    large = speech.link_clips(release, tmp_path / "large", 2 * CLIPS + 1)
    files = sorted((large / "clips").iterdir())
    assert len(files) == len(speech.sentences(large)) == 2 * CLIPS + 1
    assert len({os.stat(file).st_ino for file in files}) == CLIPS


def test_sides_are_measured_in_processes_of_their_own():
    best = best_in_turns({"a": _process, "b": _process}, rounds=2)
    assert len({best["a"], best["b"], os.getpid()}) == 3


def _process() -> float:
    return os.getpid()


def test_first_round_does_not_count_and_the_least_of_the_others_does():
    assert best_in_turns({"a": _next_number}, rounds=3) == {"a": 1}


NUMBERS = iter([0, 3, 1, 2])


def _next_number() -> float:
    return next(NUMBERS)


def test_table_shows_ratio_and_promise():
    rows = [Row("kept", 1536.0, 128.0, 11), Row("missed", 3.0, 2.0, 2), Row("none", 1.0, 4.0)]
    lines = render(Section("Size: kB", "script", "here", rows, note="a note")).splitlines()
    assert lines[1].split()[-5:] == ["script", "here", "ratio", "promised", "kept"]
    assert lines[3].split() == ["kept", "1,536", "128", "12.00", "at", "least", "11", "yes"]
    assert lines[4].split() == ["missed", "3", "2", "1.50", "at", "least", "2", "no"]
    assert lines[5].split() == ["none", "1", "4", "0.25"]
    assert lines[6] == "a note"


def test_quick_is_smaller():
    quick, full = Size.quick(), Size()
    assert quick.clips < full.clips
    assert quick.rounds < full.rounds
    assert max(quick.shards) < max(full.shards)
