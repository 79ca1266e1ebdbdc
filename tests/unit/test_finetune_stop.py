"""Told to stop at known moments of a training, in this process, and what the next start does."""

import json
import math
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from hearing_asr import finetune as module
from hearing_asr.checkpoints import UNFINISHED
from hearing_asr.errors import InputError
from hearing_asr.finetune import finetune
from hearing_asr.interruption import STOP_SIGNALS
from hearing_asr.models import STAGING
from hearing_asr.trainer import WhisperTrainer
from tests.unit.test_finetune import assert_same_weights, scalars
from tests.unit.toys import toy_clips, toy_model, toy_settings

STEPS = {"max_steps": 7, "save_steps": 3, "eval_steps": 3, "eval_batch_size": 1}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """Dropout and SpecAugment make the training depend on the state of both random generators."""
    folder = tmp_path_factory.mktemp("stop")
    model = toy_model(folder / "model")
    random = {"apply_spec_augment": True, "mask_time_prob": 0.2, "mask_time_length": 3}
    configure(folder, random | {"dropout": 0.1})
    toy_clips(folder / "train", model)
    toy_clips(folder / "dev", model, clips=3)
    return folder


def configure(folder: Path, values: dict) -> None:
    """Change the configuration of the model in a folder."""
    config = folder / "model/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | values))


@pytest.fixture
def toy(shelf, tmp_path) -> Path:
    """A folder of its own for each test."""
    return shutil.copytree(shelf, tmp_path / "toy")


@pytest.fixture(autouse=True)
def handlers():
    """A process that was told to stop goes on noting it: not this one."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def stop_in(monkeypatch, method: str, call: int, number: int = signal.SIGTERM) -> None:
    """Have the signal come, three times, within the n-th call of a method of the trainer."""
    original, calls = getattr(WhisperTrainer, method), []

    def told(self, *args, **kwargs):
        calls.append(None)
        if len(calls) == call:
            for _ in range(3):
                signal.raise_signal(number)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(WhisperTrainer, method, told)


def stopped(settings, monkeypatch, caplog, *where) -> int:
    """Run a training that is told to stop; the step it says to have stopped at."""
    caplog.clear()
    with monkeypatch.context() as patched:
        stop_in(patched, *where)
        with pytest.raises(SystemExit) as end:
            finetune(settings)
    assert end.value.code == 128 + (where[2] if len(where) > 2 else signal.SIGTERM)
    told = [line for line in caplog.messages if line.startswith("stopped by SIG")]
    step = int(told[0].split("checkpoint-")[1].split()[0])
    output = Path(settings.output_folder)
    assert (output / f"checkpoint-{step}").exists()
    assert not (output / "model.safetensors").exists()
    assert not (output / UNFINISHED).exists()
    return step


def entries(checkpoint: Path, key: str) -> list[int]:
    """The steps of the entries of a checkpoint's log that have a key."""
    state = json.loads((checkpoint / "trainer_state.json").read_text())
    return [entry["step"] for entry in state["log_history"] if key in entry]


def check_same(straight: Path, output: Path) -> None:
    """Weights, and what TensorBoard shows, evaluations exactly once."""
    assert_same_weights(straight, output)
    expected, found = scalars(straight), scalars(output)
    for tag in ("train/loss", "train/learning_rate", "eval/loss", "eval/wer"):
        np.testing.assert_allclose(found[tag], expected[tag], rtol=1e-5)
    cards = [(folder / "README.md").read_text() for folder in (straight, output)]
    assert cards[0].split("## Results")[1] == cards[1].split("## Results")[1]


@pytest.fixture(scope="module")
def straight(shelf, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("straight") / "output"
    finetune(toy_settings(shelf, output_folder=str(folder), **STEPS))
    return folder


@pytest.mark.parametrize(
    ("where", "step"),
    [
        (("training_step", 5), 5),
        (("training_step", 5, signal.SIGINT), 5),
        (("training_step", 3), 3),  # where an evaluation is due
        (("prediction_step", 2), 3),  # within an evaluation
        (("prediction_step", 8), 7),  # within the last evaluation
        (("_save_checkpoint", 1), 4),  # while a checkpoint is saved
    ],
)
def test_goes_on_as_if_nothing_had_been(toy, straight, monkeypatch, caplog, where, step):
    caplog.set_level("INFO")
    settings = toy_settings(toy, save_total_limit=1, **STEPS)
    assert stopped(settings, monkeypatch, caplog, *where) == step
    output = toy / "output"
    assert [path.name for path in output.glob("checkpoint-*")] == [f"checkpoint-{step}"]
    shift_events(output)
    finetune(settings)
    check_same(straight, output)


def shift_events(output: Path) -> None:
    """TensorBoard orders its files by the second in their names: let these be of earlier ones."""
    for events in (output / "runs").iterdir():
        *kind, second, rest = events.name.split(".", 4)
        events.rename(events.with_name(".".join([*kind, str(int(second) - 100), rest])))


def test_a_missed_evaluation_is_made_up_for_once(toy, straight, monkeypatch, caplog):
    caplog.set_level("INFO")
    settings = toy_settings(toy, **STEPS)
    output = toy / "output"
    assert stopped(settings, monkeypatch, caplog, "prediction_step", 1) == 3
    assert entries(output / "checkpoint-3", "eval_wer") == []
    shift_events(output)
    # Told again while it makes up for it: no step is made.
    assert stopped(settings, monkeypatch, caplog, "prediction_step", 2) == 3
    assert entries(output / "checkpoint-3", "eval_wer") == []
    shift_events(output)
    # Killed right after it: it counts as done.
    with monkeypatch.context() as patched:
        patched.setattr(WhisperTrainer, "training_step", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            finetune(settings)
    assert entries(output / "checkpoint-3", "eval_wer") == [3]
    shift_events(output)
    finetune(settings)
    check_same(straight, output)
    assert entries(output / "checkpoint-7", "eval_wer") == [3, 6, 7]


def test_told_while_the_final_model_is_saved(toy, straight, monkeypatch):
    original = module._save

    def told(*arguments):
        signal.raise_signal(signal.SIGTERM)
        original(*arguments)

    monkeypatch.setattr(module, "_save", told)
    finetune(toy_settings(toy, **STEPS))
    check_same(straight, toy / "output")


def test_leftovers_of_a_killed_training_are_removed(toy):
    """Also by a start that finds the last checkpoint, and saves none."""
    output = toy / "output"
    for _ in range(2):
        for leftover in (f"{UNFINISHED}/checkpoint-2", f"{STAGING}123"):
            (output / leftover).mkdir(parents=True)
            (output / leftover / "model.safetensors").write_bytes(b"cut off")
        finetune(toy_settings(toy))
        assert list(output.glob(".*")) == []


def test_clips_of_a_step_do_not_depend_on_how_they_are_divided(toy, tmp_path):
    """Also where they do not fill a whole number of steps, with SpecAugment off."""
    configure(toy, {"apply_spec_augment": False, "dropout": 0.0})
    found = []
    for batch, accumulation in ((6, 1), (3, 2), (2, 3)):
        output = tmp_path / f"{batch}"
        sizes = {"train_batch_size": batch, "gradient_accumulation": accumulation}
        finetune(toy_settings(toy, output_folder=str(output), max_steps=5, **sizes))
        found.append(scalars(output)["train/loss"])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-4)
    assert not torch.allclose(torch.tensor(found[0][0]), torch.tensor(found[0][4]))


def test_a_loss_that_is_not_finite_is_not_saved_at_a_stop(toy, monkeypatch):
    """Between two entries of the log: the loss since the last one has not been looked at yet."""
    true_loss = WhisperTrainer.compute_loss

    def diverging(self, *args, **kwargs):
        loss = true_loss(self, *args, **kwargs)
        return loss * math.nan if self.state.global_step >= 1 and self.model.training else loss

    monkeypatch.setattr(WhisperTrainer, "compute_loss", diverging)
    stop_in(monkeypatch, "training_step", 3)
    settings = toy_settings(toy, max_steps=8, logging_steps=8, save_steps=8, eval_steps=8)
    with pytest.raises(InputError, match="loss is nan at step 3"):
        finetune(settings)
    assert not list((toy / "output").glob("checkpoint-*"))
