"""Training a toy Whisper: schedules, batches, going on after an interruption, what is written."""

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from datasets import load_from_disk
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import WhisperForConditionalGeneration, WhisperProcessor

from hearing_asr import finetune as module
from hearing_asr import trainer as trainer_module
from hearing_asr.checkpoints import MARKER
from hearing_asr.errors import InputError
from hearing_asr.finetune import finetune
from hearing_asr.models import load_tokenizer, whisper_config
from hearing_asr.trainer import TrainingLog, WhisperTrainer, wer_metric
from tests.unit.toys import toy_clips, toy_model, toy_settings


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """A model and its clips. SpecAugment makes the training depend on the random state."""
    folder = tmp_path_factory.mktemp("finetune")
    model = toy_model(folder / "model")
    augment = {"apply_spec_augment": True, "mask_time_prob": 0.2, "mask_time_length": 3}
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | augment))
    toy_clips(folder / "train", model)
    toy_clips(folder / "dev", model, clips=3)
    return folder


@pytest.fixture
def toy(shelf, tmp_path) -> Path:
    """A folder of its own for each test."""
    shutil.copytree(shelf, tmp_path / "toy")
    return tmp_path / "toy"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The TensorBoard scalars of a training: tag -> (step, value)."""
    events = EventAccumulator(str(folder / "runs"), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def assert_same_weights(one: Path, other: Path) -> None:
    torch.testing.assert_close(weights(one), weights(other), rtol=0, atol=1e-6)


def interrupt_at(step: int, monkeypatch) -> None:
    """Let the next training die when it logs `step`, as a killed process would."""

    class Killed(TrainingLog):
        def on_log(self, args, state, control, logs, **kwargs):
            if state.global_step == step:
                raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module, "TrainingLog", Killed)


def expected_rate(schedule: str, step: int, peak: float, warmup: int, steps: int) -> float:
    """Learning rate of optimizer step `step` (from 0), by the definition of each schedule."""
    if schedule == "constant":
        return peak
    if step < warmup:
        return peak * step / warmup
    rest = (step - warmup) / (steps - warmup)
    return {
        "linear": peak * (1 - rest),
        "polynomial": (peak - 1e-7) * (1 - rest) + 1e-7,  # of power 1, down to 1e-7
        "cosine": peak * (1 + math.cos(math.pi * rest)) / 2,
        "cosine_with_restarts": peak * (1 + math.cos(math.pi * (rest % 1))) / 2,
        "constant_with_warmup": peak,
    }[schedule]


@pytest.mark.parametrize(
    "schedule",
    ["linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"],
)
def test_learning_rate_follows_its_formula(toy, schedule):
    steps = {"max_steps": 7, "warmup_steps": 3, "save_steps": 100, "eval_steps": 100}
    finetune(toy_settings(toy, lr_scheduler_type=schedule, learning_rate=1e-3, **steps))
    rates = scalars(toy / "output")["train/learning_rate"]
    expected = [(step + 1, expected_rate(schedule, step, 1e-3, 3, 7)) for step in range(7)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_accumulated_batches_equal_one_large_batch(toy):
    """Labels differ in length, so the mean of the small batches' means would be another loss."""
    config = json.loads((toy / "model/config.json").read_text())
    (toy / "model/config.json").write_text(json.dumps(config | {"apply_spec_augment": False}))
    output = {name: str(toy / name) for name in ("large", "small")}
    finetune(toy_settings(toy, output_folder=output["large"], train_batch_size=4))
    finetune(
        toy_settings(
            toy, output_folder=output["small"], train_batch_size=1, gradient_accumulation=4
        )
    )
    large, small = scalars(toy / "large"), scalars(toy / "small")
    for tag in ("train/loss", "train/grad_norm"):
        np.testing.assert_allclose(small[tag], large[tag], rtol=1e-4)
    torch.testing.assert_close(weights(toy / "small"), weights(toy / "large"), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("died_at", "goes_on_at"), [(4, 3), (6, 5)])
def test_interrupted_training_equals_an_uninterrupted_one(toy, monkeypatch, died_at, goes_on_at):
    """Four steps make an epoch: one checkpoint lies within an epoch, one on its boundary."""
    steps = {"max_steps": 7, "save_steps": 2, "eval_steps": 3}
    finetune(toy_settings(toy, output_folder=str(toy / "straight"), **steps))
    with monkeypatch.context() as patched:
        interrupt_at(died_at, patched)
        with pytest.raises(KeyboardInterrupt):
            finetune(toy_settings(toy, **steps))
    output = toy / "output"
    assert not (output / "model.safetensors").exists()
    assert (output / MARKER).exists()
    for events in (output / "runs").iterdir():  # TensorBoard orders the files by their second
        events.rename(events.with_name(f"events.out.tfevents.1{events.suffix}"))
    seen = watch_steps(monkeypatch)
    finetune(toy_settings(toy, threads=2, save_total_limit=2, **(steps | {"save_steps": 5})))
    assert seen[0] == goes_on_at
    assert sorted(path.name for path in output.glob("c*-*")) == ["checkpoint-5", "checkpoint-7"]
    assert_same_weights(toy / "straight", output)
    straight, resumed = scalars(toy / "straight"), scalars(output)
    assert [step for step, _ in resumed["train/loss"]] == list(range(1, 8))
    for tag in ("train/loss", "train/learning_rate", "eval/loss", "eval/wer"):
        np.testing.assert_allclose(resumed[tag], straight[tag], rtol=1e-5)


def watch_steps(monkeypatch) -> list[int]:
    """The steps that the trainings from here on log."""
    seen = []

    class Watched(TrainingLog):
        def on_log(self, args, state, control, logs, **kwargs):
            super().on_log(args, state, control, logs, **kwargs)
            seen.append(state.global_step)

    monkeypatch.setattr(trainer_module, "TrainingLog", Watched)
    return seen


def begun_training(toy, monkeypatch, **changes) -> Path:
    """The output folder of a training of six steps that died at step 5, checkpoints 2 and 4."""
    with monkeypatch.context() as patched:
        interrupt_at(5, patched)
        with pytest.raises(KeyboardInterrupt):
            finetune(toy_settings(toy, max_steps=6, **changes))
    assert sorted(path.name for path in (toy / "output").glob("checkpoint-*")) == [
        "checkpoint-2",
        "checkpoint-4",
    ]
    return toy / "output"


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"]
)
def test_checkpoint_that_was_cut_off_is_passed_over(toy, monkeypatch, name):
    finetune(toy_settings(toy, output_folder=str(toy / "straight"), max_steps=6))
    damaged = begun_training(toy, monkeypatch) / "checkpoint-4" / name
    damaged.write_bytes(damaged.read_bytes()[:-20])
    seen = watch_steps(monkeypatch)
    finetune(toy_settings(toy, max_steps=6))
    assert seen[0] == 3
    assert_same_weights(toy / "straight", toy / "output")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("learning_rate", "settings: learning_rate: 0.01 -> 0.02"),
        ("code", "settings: code: toy -> edited"),
        ("data", "train: "),
        ("model", "model: config.json: "),
        ("resume", ""),
        ("no marker", ""),
    ],
)
def test_another_training_starts_afresh(toy, monkeypatch, caplog, change, told):
    caplog.set_level("INFO")
    output = begun_training(toy, monkeypatch)
    for stale in ("runs/stale", "checkpoint-4/stale"):
        (output / stale).write_text("")
    settings = {}
    if change == "learning_rate":
        settings = {"learning_rate": 2e-2}
    elif change == "code":
        settings = {"code": "edited"}
    elif change == "resume":
        settings = {"resume": False}
    elif change == "data":
        shutil.rmtree(toy / "train")
        toy_clips(toy / "train", toy / "model", clips=6)
    elif change == "model":
        config = json.loads((toy / "model/config.json").read_text())
        (toy / "model/config.json").write_text(json.dumps(config | {"mask_time_length": 4}))
    else:
        (output / MARKER).unlink()
    seen = watch_steps(monkeypatch)
    finetune(toy_settings(toy, max_steps=6, **settings))
    assert seen[0] == 1
    assert told in caplog.text
    assert list(output.rglob("stale")) == []
    assert [step for step, _ in scalars(output)["train/loss"]] == [1, 2, 3, 4, 5, 6]


def test_death_before_the_final_model_is_written(toy, monkeypatch):
    """At step 6, within the second epoch, and with a rate that has not fallen to zero."""
    steps = {"max_steps": 6, "lr_scheduler_type": "constant"}
    finetune(toy_settings(toy, output_folder=str(toy / "straight"), **steps))
    with monkeypatch.context() as patched:
        patched.setattr(module, "_save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finetune(toy_settings(toy, **steps))
    finetune(toy_settings(toy, **steps))
    assert_same_weights(toy / "straight", toy / "output")
    results = [(toy / name / "README.md").read_text() for name in ("straight", "output")]
    assert results[0].split("## Results")[1] == results[1].split("## Results")[1]


@pytest.mark.parametrize("save_steps", [3, 4, 100])
def test_finished_training_only_has_its_final_model_written_again(toy, monkeypatch, save_steps):
    """As when the job's success was not recorded: Snakemake deletes the outputs and reruns it."""
    finetune(toy_settings(toy, save_steps=save_steps))
    output = toy / "output"
    before = weights(output), scalars(output), (output / "README.md").read_text()
    for name in ("model.safetensors", "config.json", "README.md"):
        (output / name).unlink()
    elsewhere = shutil.copytree(toy / "model", toy / "copy", copy_function=shutil.copyfile)
    seen = watch_steps(monkeypatch)
    finetune(toy_settings(toy, save_steps=save_steps, model_folder=str(elsewhere)))
    assert seen == []
    torch.testing.assert_close(weights(output), before[0], rtol=0, atol=0)
    assert scalars(output) == before[1]
    card = (output / "README.md").read_text()
    assert card.split("## Results")[1] == before[2].split("## Results")[1]
    assert (output / "config.json").exists()


def test_final_model_writes_in_its_language(toy):
    finetune(toy_settings(toy, language="english"))
    output = toy / "output"
    model = WhisperForConditionalGeneration.from_pretrained(output)
    processor = WhisperProcessor.from_pretrained(output)
    base = WhisperForConditionalGeneration.from_pretrained(toy / "model")
    assert model.config.use_cache
    assert model.generation_config.to_dict() == base.generation_config.to_dict()
    assert (model.generation_config.language, model.generation_config.task) == ("en", "transcribe")
    assert processor.tokenizer.prefix_tokens == (
        load_tokenizer(toy / "model", "en", "transcribe").prefix_tokens
    )
    assert whisper_config(output) == whisper_config(toy / "model")
    assert not torch.equal(model.proj_out.weight, base.proj_out.weight)
    assert [path.name for path in output.glob(".*")] == []


def test_tensorboard_has_the_trainers_tags(toy):
    finetune(toy_settings(toy, eval_steps=3))
    tags = scalars(toy / "output")
    assert {"train/loss", "train/grad_norm", "train/learning_rate"} <= tags.keys()
    assert [step for step, _ in tags["eval/wer"]] == [3, 4]
    assert [step for step, _ in tags["eval/loss"]] == [3, 4]


def test_no_report_and_few_clips(toy):
    finetune(toy_settings(toy, report_to="none", evaluation_clips=1, gradient_checkpointing=True))
    assert not (toy / "output/runs").exists()
    assert "| evaluation | dev | 1 |" in (toy / "output/README.md").read_text()


def test_evaluation_loss_and_wer(toy):
    """Against a forward pass and a count by hand."""
    finetune(toy_settings(toy, eval_batch_size=3))
    tags = scalars(toy / "output")
    model = WhisperForConditionalGeneration.from_pretrained(toy / "output").eval()
    clips = module.LogMelDataset([toy / "dev"])
    batch = module.LogMelCollator(80, 100)(clips.__getitems__(range(3)))
    with torch.no_grad():
        loss = model(**batch).loss.item()
    assert tags["eval/loss"][-1] == (4, pytest.approx(loss, rel=1e-4))
    tokenizer = load_tokenizer(toy / "model", "en", "transcribe")
    said = ["Anna kept two old boats.", "Anna lost the boats!"]
    heard = ["anna kept two old boats", "anna the old boats"]
    prediction = SimpleNamespace(
        label_ids=padded([tokenizer(text).input_ids[1:] for text in said]),
        predictions=padded([tokenizer(text).input_ids for text in heard]),
    )
    metric = wer_metric(tokenizer, "simple")
    assert metric(prediction) == {"wer": pytest.approx((1 + 1) / (5 + 4))}


def padded(rows: list[list[int]]) -> np.ndarray:
    table = np.full((len(rows), max(map(len, rows))), -100)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table


def test_readme_tells_how_the_model_was_made(toy):
    finetune(toy_settings(toy, base_model="openai/whisper-tiny", gradient_accumulation=2))
    _, front, text = (toy / "output/README.md").read_text().split("---\n", 2)
    front = yaml.safe_load(front)
    assert front["language"] == "en"
    assert front["base_model"] == "openai/whisper-tiny"
    assert front["pipeline_tag"] == "automatic-speech-recognition"
    hours = sum(load_from_disk(str(toy / "train"))["duration"]) / 3600
    fingerprint = load_from_disk(str(toy / "train"))._fingerprint
    assert f"| training | train | 8 | {hours:.2f} | `{fingerprint}` |" in text
    assert "Effective batch size: 4 clips (2 per device x 2 accumulated x 1 process)" in text
    assert "| Frequency (Hz) | 125 | 8000 |" in text
    assert "| Threshold (dB HL) | 10 | 100 |" in text
    assert f"torch {torch.__version__}" in text
    settings = asdict(toy_settings(toy, gradient_accumulation=2))
    for key in ("learning_rate", "warmup_steps", "lr_scheduler_type", "precision", "normalizer"):
        assert f"| `{key}` | `{json.dumps(settings[key])}` |" in text
    for step, loss in scalars(toy / "output")["eval/loss"]:
        assert f"| {step} | {loss:.4f} |" in text
    assert str(toy) not in text


@pytest.mark.parametrize(
    ("audiograms", "told"),
    [
        ({}, "started from random weights"),
        ({"hfloss": {"1000": 40}}, "trained on unmasked speech,"),
    ],
)
def test_readme_of_a_model_from_scratch(toy, audiograms, told):
    finetune(toy_settings(toy, base_model="scratch", audiograms=audiograms))
    text = (toy / "output/README.md").read_text()
    assert told in text
    assert "base_model:" not in text


def test_loss_that_is_not_finite_stops_the_training(toy, monkeypatch):
    true_loss = WhisperTrainer.compute_loss

    def diverging(self, *args, **kwargs):
        loss = true_loss(self, *args, **kwargs)
        return loss * math.nan if self.state.global_step >= 2 and self.model.training else loss

    monkeypatch.setattr(WhisperTrainer, "compute_loss", diverging)
    with pytest.raises(InputError, match=r"loss is nan at step 4.*training\.learning_rate"):
        finetune(toy_settings(toy, max_steps=8, save_steps=2, logging_steps=100))
    assert [path.name for path in (toy / "output").glob("checkpoint-*")] == ["checkpoint-2"]


def test_model_and_data_must_fit(toy):
    with pytest.raises(InputError, match="another model, language or task"):
        finetune(toy_settings(toy, language="de"))
    with pytest.raises(InputError, match="no log-Mel dataset"):
        finetune(toy_settings(toy, train_folders=[str(toy / "absent")]))
    with pytest.raises(InputError, match="config.json is missing"):
        finetune(toy_settings(toy, model_folder=str(toy)))
    with pytest.raises(InputError, match="num_gpus is 99"):
        finetune(toy_settings(toy, num_gpus=99))


def test_one_process_uses_one_gpu(toy, monkeypatch):
    """Trainer takes n_gpu > 1 in one process as a request for DataParallel."""
    arguments = SimpleNamespace(n_gpu=4)
    monkeypatch.setattr(module, "Seq2SeqTrainingArguments", lambda **chosen: arguments)
    assert module._arguments(toy_settings(toy), 1)._n_gpu == 1


def test_full_disk_is_explained(toy, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(WhisperForConditionalGeneration, "save_pretrained", full)
    with pytest.raises(InputError, match="no space left"):
        finetune(toy_settings(toy))
    assert not (toy / "output/model.safetensors").exists()
