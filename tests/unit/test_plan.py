"""What a plan says, reckoned again by hand."""

import copy
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from hearing_asr.config import update
from hearing_asr.plan import disk, hours, job_bytes, job_counts, model_shape, source_kind, study
from hearing_asr.plan_clips import count_clips
from hearing_asr.plan_costs import FLAC_RATE, GPU_FLOPS, WHISPERS, Whisper
from hearing_asr.plan_text import byte_text, hour_text, plan_text
from tests.conftest import ROOT

GUESS = {"train": 1_200_000, "validated": 2_000_000, "dev": 17_000, "test": 17_000}
DEMO = yaml.safe_load((ROOT / "config/config.yaml").read_text())
FULL = update(copy.deepcopy(DEMO), yaml.safe_load((ROOT / "config/full.yaml").read_text()))
EXTRACTED = {"source": "release", "release": "data/cv-corpus-26.0-2026-06-12/en"}
FULL = update(FULL, {"corpus": EXTRACTED})


def changed(config, **keys):
    return update(copy.deepcopy(config), keys)


def planned(config, folder):
    return study(config, f"{folder}/data", GUESS)


def sizes(config, folder):
    return {stage.stage: stage.size for stage in disk(planned(config, folder))}


def counted(folder, split="train", corpus=None, release="release"):
    return count_clips(split, corpus or FULL["corpus"], folder / "data", folder / release, GUESS)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# Where the numbers of clips come from.


def test_with_nothing_there_the_full_study_is_guessed(tmp_path):
    speech = counted(tmp_path)
    assert speech.clips == 1_200_000
    assert speech.hours == pytest.approx(1733.333, abs=0.001)  # 1.2 million times 5.2 s
    assert "guess" in speech.source


def test_validated_speech_is_guessed_from_its_own_table(tmp_path):
    corpus = {**FULL["corpus"], "train_from": "validated"}
    assert counted(tmp_path, corpus=corpus).clips == 2_000_000
    assert counted(tmp_path, "dev", corpus).clips == 17_000


def test_the_demo_is_what_its_configuration_says(tmp_path):
    made = {split: counted(tmp_path, split, DEMO["corpus"]) for split in ("train", "dev", "test")}
    assert {split: speech.clips for split, speech in made.items()} == DEMO["corpus"]["demo"][
        "clips"
    ]
    assert sum(speech.hours for speech in made.values()) == pytest.approx(0.5281, abs=0.0001)


def test_a_table_counts_its_rows_without_the_header(tmp_path):
    write(tmp_path / "release/train.tsv", "path\tsentence\na.mp3\tx\nb.mp3\ty\n")
    assert counted(tmp_path).clips == 2


def test_a_table_of_the_hub_counts_its_rows(tmp_path):
    write(tmp_path / "release/x", "")
    pq.write_table(pa.table({"path": list("abcde")}), tmp_path / "release/train.parquet")
    assert counted(tmp_path).clips == 5


def test_durations_are_those_of_the_release(tmp_path):
    write(tmp_path / "release/train.tsv", "path\n" + "a.mp3\n" * 7200)
    write(tmp_path / "release/clip_durations.tsv", "clip\tduration[ms]\na\t2000\nb\t4000\nc\t\n")
    speech = counted(tmp_path)
    assert speech.hours == pytest.approx(6)  # 7,200 clips of 3 s
    assert "clip_durations.tsv" in speech.source


def chosen(folder, **counts):
    counts = {"chosen": 100, "hours": 0.5, "beyond": 0, **counts}
    write(folder / "data/clips/train.json", json.dumps(counts))


def test_what_was_chosen_counts_more_than_a_table(tmp_path):
    write(tmp_path / "release/train.tsv", "path\n" + "a.mp3\n" * 7)
    chosen(tmp_path)
    speech = counted(tmp_path)
    assert (speech.clips, speech.hours) == (100, 0.5)


def test_what_an_earlier_limit_left_out_can_be_chosen_again(tmp_path):
    chosen(tmp_path, beyond=300)
    speech = counted(tmp_path)
    assert (speech.clips, speech.hours) == (400, 2.0)


def test_without_known_hours_the_table_is_counted(tmp_path):
    write(tmp_path / "release/train.tsv", "path\n" + "a.mp3\n" * 7)
    chosen(tmp_path, hours=None)
    assert counted(tmp_path).clips == 7


def test_a_clip_list_says_how_many_per_split(tmp_path):
    write(tmp_path / "list.tsv", "path\tsplit\na\ttrain\nb\tdev\nc\ttrain\n")
    corpus = {**FULL["corpus"], "clip_list": str(tmp_path / "list.tsv")}
    assert counted(tmp_path, corpus=corpus).clips == 2
    assert counted(tmp_path, "test", corpus).clips == 0
    chosen(tmp_path, chosen=2, beyond=98)
    assert counted(tmp_path, corpus=corpus).clips == 2


@pytest.mark.parametrize(
    ("limits", "clips", "hours_"),
    [
        ({"max_clips": 25, "max_hours": None}, 25, 0.125),
        ({"max_clips": None, "max_hours": 0.25}, 50, 0.25),
        ({"max_clips": 25, "max_hours": 0.25}, 25, 0.125),
        ({"max_clips": 60, "max_hours": 0.25}, 50, 0.25),
        ({"max_clips": 1000, "max_hours": 9.0}, 100, 0.5),
    ],
)
def test_limits_apply(tmp_path, limits, clips, hours_):
    chosen(tmp_path)
    corpus = changed(FULL, corpus={"splits": {"train": limits}})["corpus"]
    speech = counted(tmp_path, corpus=corpus)
    assert (speech.clips, speech.hours) == (clips, pytest.approx(hours_))


# Sources, jobs.


def test_the_kind_of_a_source(tmp_path):
    corpus = FULL["corpus"]
    assert source_kind(DEMO["corpus"]) == "demo"
    assert source_kind({**corpus, "release": str(tmp_path / "x")}) == "missing"
    assert source_kind({**corpus, "release": str(tmp_path)}) == "folder"
    assert source_kind({**corpus, "release": str(tmp_path / "en.tar.gz")}) == "archive"
    assert source_kind({**corpus, "source": "mdc"}) == "mdc"


def test_jobs_of_the_demo(tmp_path):
    counts = job_counts(planned(DEMO, tmp_path))
    assert counts["corpus_shard"] == 2 + 1 + 1
    assert counts["masking_shard"] == 3 * 4
    assert counts["features_shard"] == 4 * 4  # unmasked speech too
    assert counts["dataset_dict"] == 8
    assert counts["transcribe"] == 4 * 3
    assert "download_model" not in counts
    assert "corpus_stream" not in counts


# Models.


@pytest.mark.parametrize(
    ("name", "parameters"),  # as Hugging Face counts them
    [
        ("tiny", 37_760_640),
        ("base", 72_593_920),
        ("small", 241_734_912),
        ("medium", 763_857_920),
        ("large-v2", 1_543_304_960),
        ("large-v3", 1_543_490_560),
        ("large-v3-turbo", 808_878_080),
    ],
)
def test_parameters_are_those_of_whisper(name, parameters):
    assert WHISPERS[name].parameters == parameters


def test_the_scratch_model_is_as_large_as_its_file():
    weights = model_shape(DEMO).parameters * 4
    assert weights == pytest.approx(2_593_184, rel=0.01)  # measured; with its header


def test_work_is_about_two_flop_per_parameter_and_position():
    model = Whisper(1280, 32, 32, 51_866, 128)
    encoder = 2 * 32 * 12 * 1280**2 * 1500  # products with weights
    attention = 32 * 2 * 2 * 1500 * 1500 * 1280  # scores, and weighted sums
    attended = 2 * 32 * 2 * 1280**2 * 1500
    assert model.forward(0) == encoder + attention + attended
    per_token = 2 * (32 * 14 * 1280**2 + 51_866 * 1280)
    assert model.forward(10) - model.forward(0) == 10 * per_token
    assert model.training(25, recompute=False) == 3 * model.forward(25)
    assert model.training(25, recompute=True) == 4 * model.forward(25)


def test_a_model_folder_is_read(tmp_path):
    spec = {"d_model": 384, "encoder_layers": 4, "decoder_layers": 4, "vocab_size": 51_865}
    spec |= {"num_mel_bins": 80, "max_source_positions": 1500, "max_target_positions": 448}
    write(tmp_path / "config.json", json.dumps(spec))
    assert model_shape(changed(FULL, model={"checkpoint": str(tmp_path)})) == WHISPERS["tiny"]


def test_a_model_of_unknown_size_leaves_the_rest_known(tmp_path):
    unknown = changed(FULL, model={"checkpoint": "somebody/whisper-large-v3"})
    stages = sizes(unknown, tmp_path)
    assert stages["models and checkpoints"] is None
    assert stages["base model"] is None
    assert stages["corpus"] > 0
    text = plan_text(planned(unknown, tmp_path))
    rows = [line.split() for line in text.splitlines()]
    assert ["in", "all", "unknown", "results"] in rows
    assert ["in", "all", "unknown", "unknown"] in rows  # CPU and GPU hours
    assert ["training", "unknown", "unknown"] in rows


# Disk.


def test_disk_of_the_full_study(tmp_path):
    stages = sizes(FULL, tmp_path)
    seconds = 1_234_000 * 5.2
    assert stages["corpus"] == pytest.approx(seconds * 38_000)
    assert stages["masked audio"] == pytest.approx(3 * seconds * 38_000)
    logmel = seconds * 100 * 128 * 2 + 1_234_000 * 564
    assert stages["log-Mel"] == pytest.approx(3 * logmel)
    assert "download" not in stages or stages["download"] == 0
    parameters = 1_543_490_560
    assert stages["base model"] == 4 * parameters
    # 20 checkpoints of each of three models, none deleted, and the model itself
    assert stages["models and checkpoints"] == 3 * (20 * 12 + 4) * parameters


def test_disk_of_the_demo_is_what_was_measured(tmp_path):
    stages = sizes(DEMO, tmp_path)
    assert stages["corpus"] == pytest.approx(70_800_098, rel=0.03)
    assert stages["log-Mel"] == pytest.approx(4 * 30_969_697, rel=0.01)
    assert stages["download"] == pytest.approx(12_213_004, rel=0.01)
    assert stages["masked audio"] == pytest.approx(188_400_498, rel=0.2)


@pytest.mark.parametrize(
    ("limit", "steps", "every", "kept"),
    [(None, 1000, 100, 10), (2, 1000, 100, 3), (2, 200, 100, 2), (None, 250, 100, 3)],
)
def test_a_checkpoint_is_deleted_when_the_next_is_complete(tmp_path, limit, steps, every, kept):
    training = {"max_steps": steps, "save_steps": every, "save_total_limit": limit}
    run = planned(changed(FULL, training=training), tmp_path)
    parameters = run.model.parameters
    assert job_bytes(run, "finetune").size == (kept * 12 + 4) * parameters


def test_the_base_model_has_a_training_of_its_own(tmp_path):
    scratch = {"max_steps": 1000}
    run = planned(changed(DEMO, model={"scratch": scratch}), tmp_path)
    longer = changed(DEMO, training={"save_total_limit": None}, model={"scratch": scratch})
    parameters = run.model.parameters
    assert job_bytes(run, "pretrain").size == (3 * 12 + 4) * parameters
    run = planned(longer, tmp_path)
    assert job_bytes(run, "pretrain").size == (10 * 12 + 4) * parameters
    assert job_bytes(run, "finetune").size == (2 * 12 + 4) * parameters


def test_float32_features_take_twice_the_room(tmp_path):
    run = planned(DEMO, tmp_path)
    double = planned(changed(DEMO, features={"dtype": "float32"}), tmp_path)
    more = job_bytes(double, "features_shard", "dev").size
    more -= job_bytes(run, "features_shard", "dev").size
    assert more == pytest.approx(60 * 1.94 * 100 * 80 * 2)


def test_one_shard_is_its_share(tmp_path):
    run = planned(FULL, tmp_path)
    for split, shards in (("train", 256), ("dev", 4)):
        share = run.splits[split].hours * 3600 * FLAC_RATE / shards
        assert job_bytes(run, "corpus_shard", split).size == pytest.approx(share)
        assert job_bytes(run, "masking_shard", split).size == pytest.approx(share)
    assert job_bytes(run, "score") is None


def test_downloads(tmp_path):
    mdc = changed(FULL, corpus={"source": "mdc"})
    assert sizes(mdc, tmp_path)["download"] == 90e9
    hub = changed(FULL, corpus={"source": "hub", "hub": {"dataset": "owner/name"}})
    assert sizes(hub, tmp_path)["download"] == pytest.approx(1_234_000 * 5.2 * 6400)
    streamed = changed(hub, corpus={"hub": {"streaming": True}})
    local = changed(hub, corpus={"hub": {"dataset": str(tmp_path)}})
    assert sizes(streamed, tmp_path)["download"] == sizes(local, tmp_path)["download"] == 0


# Time.


def test_time_of_the_full_study(tmp_path):
    stages = {stage.stage: stage for stage in hours(planned(FULL, tmp_path))}
    seconds = 1_234_000 * 5.2
    masking = seconds * 3 * 0.43e-3 + 792 * 2.0 + 9 * 0.8
    assert stages["masking"].cpu == pytest.approx(masking / 3600)
    assert stages["masking"].gpu == 0
    model = WHISPERS["large-v3"]
    step = 10_000 * 64 * 4 * model.forward(25)
    evaluated = 20 * (1000 * model.forward(25) / GPU_FLOPS + 1000 * 25 * 25e-3)
    assert stages["training"].gpu == pytest.approx(3 * (step / 100e12 + evaluated) / 3600)
    assert stages["training"].cpu == pytest.approx(stages["training"].gpu / 4 * 24)
    cell = 17_000 * model.forward(25) / 100e12 + 1063 * 25 * 25e-3  # batches of 16
    assert stages["evaluation"].gpu == pytest.approx(12 * cell / 3600)
    assert stages["evaluation"].cpu == pytest.approx(12 * cell / 3600 * 8)


def test_without_gpus_the_processor_trains(tmp_path):
    stages = {stage.stage: stage for stage in hours(planned(DEMO, tmp_path))}
    assert all(stage.gpu == 0 for stage in stages.values())
    assert 0.02 < stages["training"].cpu < 0.08  # measured: 0.044 used, 0.075 kept
    assert 0.01 < stages["evaluation"].cpu < 0.04  # measured: 0.020


# Text.


@pytest.mark.parametrize("config", [DEMO, FULL, changed(FULL, data_dir="/" + "long/" * 40)])
def test_the_text_keeps_within_100_columns(tmp_path, config):
    text = plan_text(planned(config, tmp_path))
    assert max(map(len, text.splitlines())) <= 100
    assert text == "\n".join(line.rstrip() for line in text.splitlines())


def test_the_text_says_what_is_assumed_and_limited(tmp_path):
    limited = changed(FULL, corpus={"splits": {"train": {"max_clips": 1234}}})
    text = plan_text(planned(limited, tmp_path))
    masked = 3 * (1234 + 34_000) * 5.2 * 38_000
    rows = [line.split() for line in text.splitlines()]
    assert ["masked", "audio", *byte_text(masked).split(), "data"] in rows
    assert ["of", "which", "each", "variant", *byte_text(masked / 3).split()] in rows
    assert "corpus.splits.train.max_clips 1234" in text
    assert "nothing was measured on GPUs: 100 TFLOP/s" in text
    assert "Jobs of the target all: 1,932" in text


def test_numbers_for_people():
    assert [byte_text(size) for size in (0, 999, 1500, 20e6, 999.7e9, 1.54e12, None)] == [
        "0 B", "999 B", "1.5 kB", "20 MB", "1.0 TB", "1.5 TB", "unknown",
    ]  # fmt: skip
    assert [hour_text(amount) for amount in (0, 1e-5, 0.04, 3.256, 66.54, 1733.3, None)] == [
        "-", "< 0.001", "0.040", "3.26", "66.5", "1,733", "unknown",
    ]  # fmt: skip
