import copy
from pathlib import Path

import pytest
import yaml

from hearing_asr.config import load_config, read_layer, typed, unknown_target, update
from hearing_asr.errors import InputError

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
DEMO = yaml.safe_load((ROOT / "config/config.yaml").read_text())


def merge(base, overlay):
    """As Snakemake merges configurations."""
    merged = copy.deepcopy(base)
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def load(overlay=None):
    overlay = overlay or {}
    return load_config(merge(DEMO, overlay), [DEMO, overlay], SCHEMA)


def nested(key, value):
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def test_the_configurations_that_come_with_the_workflow_are_right():
    assert list(load()["variants"]) == ["normal", "lfloss", "hfloss"]
    full = yaml.safe_load((ROOT / "config/full.yaml").read_text())
    assert load(full)["features"]["num_mel_bins"] == 128


def test_full_yaml_has_the_published_values():
    training = load_config_file("full.yaml")["training"]
    published = {
        "num_gpus": 4,
        "num_cpus": 24,
        "dataloader_workers": 20,
        "train_batch_size": 1,
        "eval_batch_size": 1,
        "gradient_accumulation": 16,
        "learning_rate": 1.5e-5,
        "max_steps": 10_000,
        "warmup_steps": 1000,
        "save_steps": 500,
        "eval_steps": 500,
        "logging_steps": 50,
        "weight_decay": 0.05,
        "lr_scheduler_type": "linear",
        "max_grad_norm": 0.5,
        "generation_max_length": 225,
    }
    assert {key: training[key] for key in published} == published


def load_config_file(name):
    return merge(DEMO, yaml.safe_load((ROOT / "config" / name).read_text()))


def test_default_audiograms_fall_and_rise_in_equal_steps():
    variants = load()["variants"]
    frequencies = [125, 250, 500, 1000, 2000, 4000, 8000]
    for name, thresholds in {
        "normal": [10] * 7,
        "lfloss": [100, 85, 70, 55, 40, 25, 10],
        "hfloss": [10, 25, 40, 55, 70, 85, 100],
    }.items():
        assert variants[name]["audiogram"] == dict(zip(frequencies, thresholds, strict=True))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("corpsu", 1, "corpsu: unknown key. Did you mean corpus?"),
        (
            "training.learnin_rate",
            1e-3,
            "training.learnin_rate: unknown key. Did you mean learning_rate",
        ),
        ("training.learning_rate", "1e-5", "YAML reads 1e-5 as text; write 1.0e-5"),
        (
            "training.max_steps",
            1.0e3,
            "training.max_steps: 1000.0 is not allowed; expected integer",
        ),
        ("training.learning_rate", float("nan"), "training.learning_rate: nan is not allowed"),
        ("variants.finetune", DEMO["variants"]["normal"], "variants.finetune: the name is taken"),
        ("model.checkpoint", "whisper-small", "with its owner, as openai/whisper-small"),
        ("training.max_steps", 0, "training.max_steps: 0 is less than the minimum"),
        (
            "training.max_steps",
            "many",
            "training.max_steps: 'many' is not allowed; expected integer",
        ),
        ("training.lr_scheduler_type", "step", "expected linear or cosine or"),
        ("corpus.max_rejected", 1.5, "corpus.max_rejected: 1.5 is greater than the maximum"),
        (
            "plots.formats",
            ["gif"],
            "plots.formats.0: 'gif' is not allowed; expected png or pdf or svg or jpg",
        ),
        ("plots.figsize", [12], "plots.figsize"),
        ("run", "../elsewhere", "run: '../elsewhere' does not match"),
        (
            "features.num_mel_bins",
            64,
            "features.num_mel_bins: 64 is not allowed; expected 80 or 128",
        ),
        ("corpus.min_duration", 30.0, "corpus.min_duration: 30 s is not less than"),
        ("corpus.splits.test.shards", 1000, "corpus.splits.test.shards: 1000 shards for 120 clips"),
        ("corpus.splits.train.max_clips", 1, "corpus.splits.train.shards: 2 shards for 1 clips"),
        ("corpus.source", "release", "corpus.release: null, but corpus.source is release"),
        (
            "corpus",
            {"source": "release", "release": "tests"},
            "corpus.release: tests is not the folder",
        ),
        (
            "model.checkpoint",
            "openai/whisper-large-v3",
            "whisper-large-v3 wants 128; set it to 128",
        ),
        ("model.checkpoint", "./nowhere", "model.checkpoint: .*nowhere"),
        ("model.scratch.heads", 5, "model.scratch.d_model: 96 is not a multiple"),
        ("model.scratch.window", 2.5, "model.scratch.window: 2.5 is not allowed; expected integer"),
        ("model.language", "de", "evaluation.normalizer: english, but model.language is de"),
        (
            "training.evaluation_split",
            "test",
            "training.evaluation_split: test is what is reported",
        ),
        ("training.warmup_steps", 10_000, "training.warmup_steps: 10000 is not less than"),
        ("training.precision", "bf16", "training.precision: bf16 needs a GPU"),
        ("training.variants", ["nobody"], "training.variants: nobody is not among the variants"),
        ("training.seeds", [1, 1], "training.seeds"),
        ("evaluation.reference", "nobody", "evaluation.reference: nobody is not a variant"),
        (
            "evaluation",
            {"temperature": 0.5, "num_beams": 2},
            "evaluation.temperature: 0.5 draws tokens at random",
        ),
        (
            "model",
            {"task": "translate", "language": "de"},
            "model.task: translate writes English, but the sentences are in de",
        ),
        ("plots.formats", ["pdf"], "plots.formats: pdf is in no report; add one of png, svg, jpg"),
        ("evaluation.generation_max_length", 448, "evaluation.generation_max_length: more than"),
        ("variants.corpus", DEMO["variants"]["normal"], "variants.corpus: the name is taken"),
        ("variants.My-Loss", DEMO["variants"]["normal"], "variants: 'My-Loss': names must match"),
        (
            "variants.mine",
            {"audiogram": {125: 10}},
            "variants.mine: missing: method, normalization",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_by_key(key, value, message):
    with pytest.raises(InputError, match=message):
        load(nested(key, value))


@pytest.mark.parametrize(
    ("audiogram", "message"),
    [
        ({125: "ten"}, "variants.mine.audiogram.125: 'ten' is not allowed; expected number"),
        ({"low": 10}, "variants.mine.audiogram: 'low': frequencies in Hz must match"),
        ({500: 10, 250: 20}, "variants.mine.audiogram: frequency 250 Hz: frequencies must rise"),
        ({9000: 10}, "variants.mine.audiogram: frequency 9000 Hz: .*8000 Hz"),
        ({1000: 200}, "variants.mine.audiogram: threshold 200 dB at 1000 Hz"),
        ({}, "variants.mine.audiogram"),
    ],
)
def test_a_wrong_audiogram_is_refused_by_key(audiogram, message):
    mine = {"method": "gain_mask", "normalization": "peak", "audiogram": audiogram}
    with pytest.raises(InputError, match=message):
        load({"variants": {"mine": mine}})


def test_all_mistakes_are_told_at_once():
    with pytest.raises(InputError) as caught:
        load({"plots": {"dpi": "gif"}, "training": {"max_steps": 0}})
    assert "plots.dpi" in str(caught.value)
    assert "training.max_steps" in str(caught.value)


def test_a_missing_key_is_named():
    config = copy.deepcopy(DEMO)
    del config["training"]["seeds"]
    with pytest.raises(InputError, match="training: missing: seeds"):
        load_config(config, [config], SCHEMA)


def test_an_overlay_replaces_an_audiogram_whole():
    mine = {"method": "gain_mask", "normalization": "none", "audiogram": {300: 5, 3000: 50}}
    assert load({"variants": {"hfloss": mine}})["variants"]["hfloss"] == mine


def test_an_overlay_can_drop_a_variant():
    assert list(load({"variants": {"lfloss": None}})["variants"]) == ["normal", "hfloss"]
    with pytest.raises(InputError, match="variants"):
        load({"variants": dict.fromkeys(DEMO["variants"])})


def test_a_target_that_does_not_exist_is_told_with_the_ones_that_do():
    message = unknown_target("hfoss", DEMO["variants"])
    assert "unknown target 'hfoss'. Did you mean hfloss?" in message
    assert "corpus, masking, features, training, evaluation, plots" in message


def test_a_key_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("variants:\n  mine:\n    audiogram: {1000: 20, 1000: 30}\n")
    with pytest.raises(InputError, match=r"(?s)mine.yaml.*1000 stands twice"):
        read_layer(path)


def test_values_of_the_command_line_are_read_as_yaml():
    layer = typed({"training": {"max_steps": "50"}, "variants": {"lfloss": "null"}})
    config = load_config(update(DEMO, layer), [DEMO, layer], SCHEMA)
    assert config["training"]["max_steps"] == 50
    assert "lfloss" not in config["variants"]


def test_home_folders_are_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    config = load({"data_dir": "~/data/", "results_dir": "out//here"})
    assert config["data_dir"] == "/somewhere/data"
    assert config["results_dir"] == "out/here"
