"""The training program as the workflow starts it: real processes, real signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hearing_asr.checkpoints import UNFINISHED
from hearing_asr.finetune import finetune
from hearing_asr.models import STAGING
from tests.conftest import ROOT
from tests.unit.toys import toy_clips, toy_model, toy_settings

SCRIPT = ROOT / "workflow/scripts/finetune.py"
LIMIT = 240  # seconds for anything to happen, on a busy machine too

# Seven clips, four per step: epochs end in the middle of a step.
STEPS = {"max_steps": 9, "save_steps": 4, "eval_steps": 4, "eval_batch_size": 1}
LONG = {"max_steps": 120, "save_steps": 5, "eval_steps": 1000, "warmup_steps": 20}

NOTING = """
import os, sys
if "RANK" in os.environ:
    from transformers import WhisperForConditionalGeneration as Model
    generate = Model.generate
    def noting(self, input_features, **options):
        with open({notes!r}, "a") as file:
            file.write(os.environ["RANK"] * len(input_features) + "\\n")
        return generate(self, input_features=input_features, **options)
    Model.generate = noting
"""
RUNNING = """
exec(compile(open({script!r}).read(), {script!r}, "exec"), {{**globals(), "__file__": {script!r}}})
"""


class Training:
    """A training program, started as its rule does, in a session of its own."""

    def __init__(self, settings, processes: int = 1, script: Path = SCRIPT) -> None:
        self.output = Path(settings.output_folder)
        self.log = self.output.with_suffix(".log")
        self.before = self.text()
        known = {key: value for key, value in asdict(settings).items() if key != "threads"}
        arguments = ["--settings", json.dumps(known), "--threads", str(processes)]
        arguments += ["--log-file", str(self.log), "--processes", str(processes)]
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def text(self) -> str:
        """What this attempt has logged."""
        content = self.log.read_text() if self.log.exists() else ""
        return content.removeprefix(getattr(self, "before", ""))

    def until(self, condition) -> "Training":
        """Wait for a condition."""
        end = time.monotonic() + LIMIT
        while not condition():
            assert self.process.poll() is None, self.text() + self.process.stderr.read()
            assert time.monotonic() < end, self.text()
            time.sleep(0.001)
        return self

    def until_step(self, more: int = 3) -> "Training":
        """Wait until that many steps have been logged."""
        return self.until(lambda: len(re.findall(r"step \d+ of \d+, loss", self.text())) >= more)

    def workers(self) -> list[int]:
        """Process ids of the children of the program, in the order of their start."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return sorted(int(child) for child in children.split())

    def end(self) -> int:
        """Wait for the end and return the exit status; no process may be left."""
        self.stderr = self.process.communicate(timeout=LIMIT)[1]
        deadline = time.monotonic() + 20
        while self.alive():
            assert time.monotonic() < deadline, "processes were left behind"
            time.sleep(0.05)
        return self.process.returncode

    def alive(self) -> bool:
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def discard(self) -> None:
        if self.alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def steps(self) -> list[int]:
        """The steps that this attempt has logged."""
        return [int(step) for step in re.findall(r"step (\d+) of \d+, loss", self.text())]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    model = toy_model(folder / "model")
    toy_clips(folder / "train", model, clips=7)
    toy_clips(folder / "dev", model, clips=5)
    return folder


@pytest.fixture(scope="module")
def augmented(tmp_path_factory) -> Path:
    """The same with SpecAugment, which makes a training depend on the random state."""
    folder = tmp_path_factory.mktemp("augmented")
    model = toy_model(folder / "model")
    augment = {"apply_spec_augment": True, "mask_time_prob": 0.2, "mask_time_length": 3}
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | augment))
    toy_clips(folder / "train", model, clips=7)
    toy_clips(folder / "dev", model, clips=2)
    return folder


@pytest.fixture
def start():
    """Start trainings that do not outlive the test."""
    begun = []

    def begin(*arguments, **options) -> Training:
        begun.append(Training(*arguments, **options))
        return begun[-1]

    yield begin
    for training in begun:
        training.discard()


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder / "runs"), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def test_two_processes_train_as_one_with_the_same_batch(shelf, tmp_path, start):
    one, two = tmp_path / "one", tmp_path / "two"
    finetune(toy_settings(shelf, output_folder=str(one), train_batch_size=4, **STEPS))
    script, notes = tmp_path / "noting.py", tmp_path / "notes"
    script.write_text((NOTING + RUNNING).format(notes=str(notes), script=str(SCRIPT)))
    settings = toy_settings(
        shelf,
        output_folder=str(two),
        train_batch_size=1,
        gradient_accumulation=2,
        **STEPS,
    )
    training = start(settings, processes=2, script=script)
    assert training.end() == 0, training.stderr
    expected, found = scalars(one), scalars(two)
    for tag in ("train/loss", "train/grad_norm", "train/learning_rate", "train/epoch"):
        np.testing.assert_allclose(found[tag], expected[tag], rtol=2e-5, atol=1e-7)
    for tag in ("eval/loss", "eval/wer"):
        np.testing.assert_allclose(found[tag], expected[tag], rtol=1e-5)
    assert [step for step, _ in found["train/loss"]] == list(range(1, 10))
    assert dict(found["train/epoch"])[9] == pytest.approx(9 * 4 / 7)
    torch.testing.assert_close(weights(two), weights(one), rtol=0, atol=1e-5)
    assert len(list((two / "runs").iterdir())) == 1
    assert sorted(training.steps()) == list(range(1, 10))
    words = "4 clips (1 per device x 2 accumulated x 2 processes)"
    assert f"effective batch size: {words}" in training.text()
    assert f"Effective batch size: {words}" in (two / "README.md").read_text()
    # Three evaluations of five clips: three clips in each process, of which one fills up.
    assert sorted(notes.read_text().split()) == ["0"] * 9 + ["1"] * 9


def test_two_processes_survive_whatever_ends_them(augmented, tmp_path, start):
    straight = toy_settings(
        augmented, output_folder=str(tmp_path / "straight"), gradient_accumulation=2, **LONG
    )
    assert start(straight, processes=2).end() == 0
    output = tmp_path / "output"
    settings = toy_settings(augmented, output_folder=str(output), gradient_accumulation=2, **LONG)

    training = start(settings, processes=2).until_step()
    os.kill(training.workers()[1], signal.SIGTERM)
    assert training.end() == 143
    check_stopped(training, processes=2)

    training = start(settings, processes=2).until_step()
    for _ in range(3):
        os.kill(training.process.pid, signal.SIGTERM)
        time.sleep(0.02)
    assert training.end() == 143
    check_stopped(training, processes=2)

    training = start(settings, processes=2).until_step()
    os.kill(training.workers()[1], signal.SIGKILL)
    assert training.end() == 137
    assert "was ended by SIGKILL" in training.text()
    assert "ChildFailedError" not in training.stderr

    training = start(settings, processes=2).until_step()
    training.until(lambda: (output / UNFINISHED).exists())
    os.kill(training.process.pid, signal.SIGKILL)
    assert training.end() == -signal.SIGKILL
    assert "the next attempt goes on from there" in training.text()

    training = start(settings, processes=2)
    assert training.end() == 0, training.stderr
    assert training.steps()[0] > 10
    torch.testing.assert_close(weights(output), weights(tmp_path / "straight"), rtol=0, atol=1e-6)
    losses, expected = dict(scalars(output)["train/loss"]), scalars(tmp_path / "straight")
    np.testing.assert_allclose(list(losses.items()), expected["train/loss"], rtol=1e-6)
    assert training.log.read_text().count("INFO attempt of 20") == 5


def check_stopped(training: Training, processes: int) -> None:
    """It says where it stopped, the checkpoint of that step is there, and nothing half-written."""
    told = re.search(r"stopped by SIGTERM at step (\d+): checkpoint-(\d+) written", training.text())
    step = max(training.steps())
    assert (int(told[1]), int(told[2])) == (step, step)
    checkpoint = training.output / f"checkpoint-{step}"
    assert len(list(checkpoint.glob("rng_state*.pth"))) == processes
    assert not (training.output / UNFINISHED).exists()
    assert not (training.output / "model.safetensors").exists()
    assert "Traceback" not in training.stderr


def test_killed_at_any_moment(augmented, tmp_path, start):
    output = tmp_path / "output"
    steps = LONG | {"max_steps": 40}
    settings = toy_settings(augmented, output_folder=str(output), **steps)
    finetune(toy_settings(augmented, output_folder=str(tmp_path / "straight"), **steps))

    training = start(settings).until(lambda: (output / UNFINISHED).exists())
    training.process.kill()
    assert training.end() == -signal.SIGKILL

    training = start(settings).until_step(7)
    training.until(lambda: list((output / UNFINISHED).glob("*/optimizer.pt")))
    training.process.kill()
    assert training.end() == -signal.SIGKILL

    training = start(settings).until(lambda: list(output.glob(f"{STAGING}*")))
    training.process.kill()
    assert training.end() == -signal.SIGKILL
    assert not (output / "README.md").exists()

    training = start(settings)
    assert training.end() == 0, training.stderr
    assert training.steps() == []
    torch.testing.assert_close(weights(output), weights(tmp_path / "straight"), rtol=0, atol=1e-6)
    assert list(output.glob(".*")) == []


def test_all_processes_of_a_job_are_told_to_stop(augmented, tmp_path, start):
    """As Slurm does: those that read data as well."""
    settings = toy_settings(
        augmented, output_folder=str(tmp_path / "output"), dataloader_workers=2, **LONG
    )
    training = start(settings)
    training.until(lambda: training.text() != "")
    time.sleep(0.5)
    os.killpg(training.process.pid, signal.SIGTERM)  # while it loads
    assert training.end() == -signal.SIGTERM
    training = start(settings).until_step()
    for _ in range(3):
        os.killpg(training.process.pid, signal.SIGTERM)
        time.sleep(0.02)
    assert training.end() == 143
    check_stopped(training, processes=1)


def test_fewer_gpus_than_configured(augmented, tmp_path):
    settings = toy_settings(augmented, num_gpus=99)
    known = {key: value for key, value in asdict(settings).items() if key != "threads"}
    program = [sys.executable, str(SCRIPT), "--threads", "1", "--log-file", str(tmp_path / "log")]
    run = subprocess.run(
        [*program, "--settings", json.dumps(known)], capture_output=True, text=True, timeout=LIMIT
    )
    assert run.returncode == 1
    assert "training.num_gpus is 99, but only" in (tmp_path / "log").read_text()
    assert run.stderr.count("\n") == 3  # two that say when and where, and this: no traceback


def test_what_another_process_finds_wrong_is_in_the_log(shelf, tmp_path, start):
    """One process alone has a full disk, say: its message is seen, and no traceback."""
    script = tmp_path / "wrong.py"
    wrong = (
        "import os, sys\n"
        f"sys.path.insert(0, {str(ROOT / 'workflow/lib')!r})\n"
        "if os.environ.get('RANK') == '1':\n"
        "    from hearing_asr import finetune, errors\n"
        "    def fail(*_):\n"
        "        raise errors.InputError('the disk of process 1 is full')\n"
        "    finetune._log_start = fail\n"
    )
    run_script = (
        "exec(compile(open({0!r}).read(), {0!r}, 'exec'), {{**globals(), '__file__': {0!r}}})"
    )
    script.write_text(wrong + run_script.format(str(SCRIPT)))
    training = start(
        toy_settings(shelf, output_folder=str(tmp_path / "output")), processes=2, script=script
    )
    assert training.end() == 1
    assert "ERROR process 1: the disk of process 1 is full" in training.text()
    assert "Traceback" not in training.text() + training.stderr


def test_command_line_explains_wrong_settings(tmp_path):
    log = tmp_path / "logs/finetune.log"
    program = [sys.executable, str(SCRIPT), "--threads", "1"]
    run = subprocess.run(
        [*program, "--settings", '{"max_step": 5}', "--log-file", str(log)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert run.returncode == 1
    assert "unknown key max_step" in log.read_text()
    assert "Traceback" not in run.stderr
