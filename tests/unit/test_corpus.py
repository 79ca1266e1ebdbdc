import csv
from dataclasses import replace

import datasets
import numpy as np
import pytest
import soundfile as sf

from hearing_asr.audio import decode_flac
from hearing_asr.corpus import (
    Limits,
    corpus_features,
    gather_checked,
    ingest_shard,
)
from hearing_asr.errors import InputError
from hearing_asr.quarantine import write_quarantine
from hearing_asr.release import COLUMNS
from hearing_asr.shards import read_shard, shard_name, write_shard
from tests.conftest import speech_like
from tests.unit.releases import EVERYTHING, HEADER, choose, line

LIMITS = Limits(0.3, 30.0)
CHOICE = replace(EVERYTHING, filters={"drop_empty_sentences": True})
GOOD = speech_like(1.0, rate=32_000)


def mp3(path, samples, rate=32_000):
    sf.write(path, samples, rate, format="MP3")


@pytest.fixture
def release(tmp_path):
    """A release with one clip of every kind; the sentence of a clip is its name."""
    clips = tmp_path / "clips"
    clips.mkdir()
    mp3(clips / "good.mp3", GOOD)
    mp3(clips / "stereo.mp3", np.stack([GOOD, GOOD], axis=1))
    mp3(clips / "telephone.mp3", speech_like(1.0, rate=8000), 8000)
    mp3(clips / "long.mp3", speech_like(40.0, rate=8000), 8000)
    mp3(clips / "short.mp3", GOOD[: 32_000 // 5])
    mp3(clips / "silent.mp3", np.zeros_like(GOOD))
    mp3(clips / "wordless.mp3", GOOD)
    (clips / "empty.mp3").write_bytes(b"")
    (clips / "text.mp3").write_text("this is not audio " * 100)
    data = (clips / "good.mp3").read_bytes()
    (clips / "truncated.mp3").write_bytes(data[: len(data) // 2])
    sf.write(
        clips / "nan.mp3",
        np.full(16_000, np.nan, np.float32),
        16_000,
        format="WAV",
        subtype="FLOAT",
    )
    names = [path.name for path in sorted(clips.iterdir())] + ["missing.mp3", "../clips/good.mp3"]
    lines = [line(name, "" if name == "wordless.mp3" else name) for name in names]
    (tmp_path / "train.tsv").write_text("\n".join([HEADER, *lines]) + "\n")
    return tmp_path


def ingest(release, shards=1, limits=LIMITS):
    out = release / "corpus" / "train"
    choose(release / "train.tsv", release / "c.parquet", replace(CHOICE, shards=shards))
    for shard in range(shards):
        ingest_shard(
            release / "c.parquet",
            release / "clips",
            shard,
            limits,
            out / shard_name(shard, shards),
            out / f"rejected-{shard}.tsv",
        )
    return out


def rejected(path):
    with open(path, newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file, delimiter="\t")}


def test_good_clips_come_through_and_bad_ones_are_told_apart(release):
    out = ingest(release)
    rows = {row["path"]: row for row in read_shard(out / shard_name(0, 1))}
    assert sorted(rows) == ["good.mp3", "stereo.mp3", "telephone.mp3"]
    reasons = {path: row["reason"] for path, row in rejected(out / "rejected-0.tsv").items()}
    assert reasons == {
        "../clips/good.mp3": "unsafe path",
        "empty.mp3": "empty file",
        "long.mp3": "too long",
        "missing.mp3": "missing",
        "nan.mp3": "not finite",
        "short.mp3": "too short",
        "silent.mp3": "silent",
        "text.mp3": "undecodable",
        "truncated.mp3": "truncated",
    }
    good, stereo = rows["good.mp3"], rows["stereo.mp3"]
    assert good["sentence"] == "good.mp3"
    assert good["locale"] == "en"
    assert good["duration"] == pytest.approx(1.0, abs=0.001)
    samples = decode_flac(good["audio"]["bytes"], good["scale"])
    reference = speech_like(1.0, rate=32_000)[::2]  # no energy above 8 kHz to fold down
    assert np.corrcoef(samples[:16_000], reference[: len(samples)])[0, 1] > 0.99
    other = decode_flac(stereo["audio"]["bytes"], stereo["scale"])
    assert np.corrcoef(samples, other)[0, 1] > 0.99
    assert rows["telephone.mp3"]["duration"] == pytest.approx(1.0, abs=0.001)


def test_the_stage_fails_when_too_many_are_rejected(release):
    out = ingest(release, shards=2)
    shards = sorted(out.glob("data-*.arrow"))
    tables = sorted(out.glob("rejected-*.tsv"))
    with pytest.raises(InputError, match=r"9 of 12 clips rejected.*corpus.max_rejected = 0.01"):
        gather_checked(out, shards, rejected=tables, max_rejected=0.01)
    assert not (out / "state.json").exists()
    gather_checked(out, shards, rejected=tables, max_rejected=0.8)
    assert len(rejected(out / "rejected.tsv")) == 9
    dataset = datasets.load_from_disk(out)
    assert dataset.num_rows == 3
    assert dataset.features["audio"] == datasets.Audio(sampling_rate=16_000)


def test_a_missing_folder_of_clips_is_told(release):
    choose(release / "train.tsv", release / "c.parquet", CHOICE)
    with pytest.raises(InputError, match=r"nowhere: no such folder"):
        ingest_shard(
            release / "c.parquet", release / "nowhere", 0, LIMITS, release / "a", release / "b"
        )


def test_the_same_input_gives_the_same_bytes(release):
    first = (ingest(release) / shard_name(0, 1)).read_bytes()
    assert (ingest(release) / shard_name(0, 1)).read_bytes() == first


def test_a_variant_whose_clips_are_not_those_of_the_corpus_is_refused(release, tmp_path):
    out = ingest(release)
    original = out / shard_name(0, 1)
    masked = tmp_path / "masked" / original.name
    rows = list(read_shard(original))
    write_shard(masked, corpus_features(COLUMNS), rows)
    gather_checked(masked.parent, [masked], corpus=[original])
    write_shard(masked, corpus_features(COLUMNS), rows[::-1])
    with pytest.raises(InputError, match="its clips are not those of .*must stay paired"):
        gather_checked(masked.parent, [masked], corpus=[original])


def test_clips_that_the_model_cannot_take_get_their_own_advice(tmp_path):
    write_quarantine(tmp_path / "r.tsv", [("a.mp3", "longer than window", "4 s of 3 s")])
    write_shard(tmp_path / "data.arrow", corpus_features(COLUMNS), [])
    with pytest.raises(InputError, match=r"model.scratch.window"):
        gather_checked(
            tmp_path, [tmp_path / "data.arrow"], rejected=[tmp_path / "r.tsv"], max_rejected=0.1
        )
