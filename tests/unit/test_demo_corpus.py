"""The demo corpus: a release like a real one, disjoint splits, the same on every machine load."""

import csv
import errno
import hashlib
from collections import Counter
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hearing_asr import demo_corpus, espeak
from hearing_asr.demo_corpus import SPEAKERS, TABLES, plan_clips, render, write_release
from hearing_asr.errors import InputError
from hearing_asr.matrix_sentences import LISTS, MATRIX, list_sentences

CLIPS = {"train": 32, "dev": 8, "test": 12}
RATE = 32000

# The header of train.tsv in cv-corpus-17.0 and later
HEADER = (
    "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\t"
    "age\tgender\taccents\tvariant\tlocale\tsegment"
)


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "en"
    write_release(folder, CLIPS, RATE, seed=3, workers=2)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def checksums(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_folder_holds_what_a_release_holds(release):
    assert sorted(path.name for path in release.iterdir()) == sorted([*TABLES, "clips"])


def test_tables_are_those_of_release_17(release):
    for name in ("train", "dev", "test", "validated", "invalidated", "other"):
        lines = (release / f"{name}.tsv").read_text().splitlines()
        assert lines[0] == HEADER
        assert len(lines) - 1 == {**CLIPS, "validated": 52}.get(name, 0)
        assert all(line.count("\t") == 12 and '"' not in line for line in lines)
    validated = (release / "validated.tsv").read_text().splitlines()[1:]
    split_lines = [(release / f"{split}.tsv").read_text().splitlines()[1:] for split in CLIPS]
    assert validated == [line for lines in split_lines for line in lines]


def test_rows_look_like_those_of_common_voice(release):
    for row in rows(release / "validated.tsv"):
        assert len(row["client_id"]) == 128
        assert int(row["client_id"], 16) > 0
        assert len(row["sentence_id"]) == 64
        assert row["path"].startswith("common_voice_en_")
        assert len(row["path"]) == len("common_voice_en_40000000.mp3")
        assert row["sentence"][0].isupper()
        assert row["sentence"].endswith(".")
        assert row["gender"] in {"male_masculine", "female_feminine"}
        assert row["locale"] == "en"


def test_sentence_tables(release):
    spoken = [row["sentence"] for row in rows(release / "validated.tsv")]
    sentences = rows(release / "validated_sentences.tsv")
    assert [row["sentence"] for row in sentences] == spoken
    assert {row["clips_count"] for row in sentences} == {"1"}
    assert rows(release / "unvalidated_sentences.tsv") == []
    assert (release / "reported.tsv").read_text() == "sentence_id\tsentence\tlocale\treason\n"


def test_clips_are_the_listed_ones_and_durations_are_true(release):
    listed = {row["path"] for row in rows(release / "validated.tsv")}
    assert {path.name for path in (release / "clips").iterdir()} == listed
    durations = {
        row["clip"]: int(row["duration[ms]"]) for row in rows(release / "clip_durations.tsv")
    }
    assert set(durations) == listed
    for clip, milliseconds in durations.items():
        samples, rate = soundfile.read(release / "clips" / clip)
        assert rate == RATE
        assert samples.ndim == 1
        assert abs(len(samples) / rate * 1000 - milliseconds) <= 1
        assert 1000 < milliseconds < 2800
        assert np.abs(samples).max() < 1
        assert np.sqrt(np.mean(samples**2)) > 0.01
    assert (release / "clip_durations.tsv").read_text().startswith("clip\tduration[ms]\n")


def test_clips_reach_high_frequencies_and_keep_pauses(release):
    for path in sorted((release / "clips").iterdir())[::5]:
        samples, rate = soundfile.read(path)
        power = np.abs(np.fft.rfft(samples)) ** 2
        frequency = np.fft.rfftfreq(len(samples), 1 / rate)
        assert power[frequency > 8000].sum() > 1e-4 * power.sum()
        loudness = np.sqrt(np.mean(samples**2))
        for pause in (samples[: rate // 25], samples[-rate // 25 :]):
            assert 0 < np.sqrt(np.mean(pause**2)) < 0.1 * loudness


def test_number_of_workers_changes_nothing(release, tmp_path):
    write_release(tmp_path / "one", CLIPS, RATE, seed=3, workers=1)
    assert checksums(tmp_path / "one") == checksums(release)


def test_larger_release_begins_with_the_smaller(release, tmp_path):
    write_release(tmp_path / "small", {"train": 3, "test": 1}, RATE, seed=3, workers=1)
    small = checksums(tmp_path / "small" / "clips")
    assert len(small) == 4
    assert small.items() <= checksums(release / "clips").items()


def test_seed_changes_sentences_and_audio():
    one, two = plan_clips(CLIPS, seed=1), plan_clips(CLIPS, seed=2)
    assert [clip.sentence for clip in one] != [clip.sentence for clip in two]
    assert not np.array_equal(render(one[0], RATE, seed=1), render(one[0], RATE, seed=2))


@pytest.mark.parametrize("seed", [0, 5])
def test_splits_share_no_speaker_and_no_sentence(seed):
    plan = plan_clips({"train": 5000, "dev": 1000, "test": 1000}, seed)
    for one, two in combinations(SPEAKERS, 2):
        for attribute in ("sentence", "path", "speaker"):
            ones = {getattr(clip, attribute) for clip in plan if clip.split == one}
            assert ones.isdisjoint(getattr(clip, attribute) for clip in plan if clip.split == two)
    assert len({clip.sentence for clip in plan}) == 7000
    assert len({clip.path for clip in plan}) == 7000


def test_speakers_are_different_people():
    everyone = [speaker for speakers in SPEAKERS.values() for speaker in speakers]
    assert len({speaker.client_id for speaker in everyone}) == len(everyone) == 32
    genders = {split: {s.gender for s in speakers} for split, speakers in SPEAKERS.items()}
    assert all(len(found) == 2 for found in genders.values())


def test_lists_hold_every_sentence_once_and_every_word_once():
    sentences = [sentence for _, sentence in list_sentences(range(LISTS), 100_000, seed=4)]
    assert sorted(sentences) == sorted(" ".join(words) + "." for words in product(*MATRIX))
    for start in (0, 5000, 99_990):
        words = Counter(
            word for sentence in sentences[start : start + 10] for word in sentence[:-1].split()
        )
        assert len(words) == 50
        assert set(words.values()) == {1}


def longest_words(language: str) -> str:
    """The sentence of the words that take longest, each alone in its place."""
    chosen = []
    for words in MATRIX:
        spoken = [
            espeak.speak(word, language, rate=170, pitch=50, pitch_range=50, seed=1)
            for word in words
        ]
        chosen.append(words[int(np.argmax([len(samples) for samples in spoken]))])
    return " ".join(chosen) + "."


def test_slowest_and_longest_sentences_stay_below_2_8_s():
    """The model of the demo hears 3 s."""
    everyone = [speaker for speakers in SPEAKERS.values() for speaker in speakers]
    languages = {speaker.voice.partition("+")[0] for speaker in everyone}
    sentences = {language: longest_words(language) for language in languages}
    for speaker in everyone:
        spoken = espeak.speak(
            sentences[speaker.voice.partition("+")[0]],
            speaker.voice,
            rate=int(speaker.rate * (1 - demo_corpus.RATE_SPREAD)),
            pitch=speaker.pitch,
            pitch_range=demo_corpus.PITCH_RANGE[1],
            seed=1,
        )
        seconds = len(spoken) / espeak.SAMPLE_RATE + 2 * demo_corpus.PAUSE[1]
        assert seconds < 2.8, speaker


def test_peaks_lie_in_the_stated_range():
    for clip in plan_clips({"dev": 8}, seed=2):
        peak = 20 * np.log10(np.abs(render(clip, 48000, seed=2)).max())
        assert -12.01 <= peak <= -0.99


@pytest.mark.parametrize(("split", "most"), [("train", 80_000), ("dev", 10_000), ("test", 10_000)])
def test_more_clips_than_sentences_are_refused(split, most, tmp_path):
    assert len(plan_clips({split: most}, seed=0)) == most
    with pytest.raises(InputError, match=f"{split}.*at most {most}"):
        write_release(tmp_path / "en", {split: most + 1}, RATE, seed=0, workers=1)
    assert not (tmp_path / "en").exists()


@pytest.mark.parametrize(
    ("clips", "rate", "key"),
    [({"validation": 3}, RATE, "clips.*validation"), ({"dev": 1}, 16000, "sample_rate.*16000")],
)
def test_wrong_request_is_named(clips, rate, key, tmp_path):
    with pytest.raises(InputError, match=key):
        write_release(tmp_path, clips, rate, seed=0, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_failure_leaves_the_former_release_and_nothing_half_done(workers, tmp_path, monkeypatch):
    write_release(tmp_path, {"dev": 2}, RATE, seed=0, workers=1)
    before = checksums(tmp_path)

    def full_disk(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(InputError, match="no space left"):
        write_release(tmp_path, {"dev": 4}, RATE, seed=1, workers=workers)
    assert checksums(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*TABLES, "clips"])


def test_release_replaces_a_former_one_and_what_a_killed_job_left(tmp_path):
    write_release(tmp_path, {"dev": 3}, RATE, seed=0, workers=1)
    (tmp_path / ".clips.1.part").mkdir()
    (tmp_path / ".clips.1.part" / "half.mp3").write_bytes(b"")
    write_release(tmp_path, {"dev": 2}, RATE, seed=0, workers=1)
    assert len(list((tmp_path / "clips").iterdir())) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*TABLES, "clips"])
