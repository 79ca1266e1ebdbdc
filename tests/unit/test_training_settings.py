"""Settings of a training: what is refused, and what becomes of each in the Trainer's words."""

import json
from dataclasses import asdict, replace

import pytest
from transformers import Seq2SeqTrainingArguments

from hearing_asr.errors import InputError
from hearing_asr.training_settings import (
    TrainingSettings,
    check_devices,
    resolve_precision,
    trainer_arguments,
)
from tests.unit.toys import toy_settings


def as_json(tmp_path, **changes) -> str:
    return json.dumps(asdict(toy_settings(tmp_path)) | changes)


def test_settings_survive_json(tmp_path):
    settings = toy_settings(tmp_path, learning_rate=1.5e-5, evaluation_clips=7)
    assert TrainingSettings.from_json(json.dumps(asdict(settings))) == settings
    text = json.dumps({k: v for k, v in asdict(settings).items() if k != "threads"})
    assert TrainingSettings.from_json(text, threads=1) == settings


def test_unknown_and_missing_keys(tmp_path):
    with pytest.raises(InputError, match="unknown key learning_rat"):
        TrainingSettings.from_json(as_json(tmp_path, learning_rat=1))
    settings = asdict(toy_settings(tmp_path))
    del settings["max_steps"]
    with pytest.raises(InputError, match="missing key max_steps"):
        TrainingSettings.from_json(json.dumps(settings))
    for text in ("{", "[]"):
        with pytest.raises(InputError, match="JSON"):
            TrainingSettings.from_json(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", "1e-5"),
        ("learning_rate", 0),
        ("max_steps", 10.5),
        ("max_steps", True),
        ("max_steps", 0),
        ("num_gpus", -1),
        ("save_total_limit", 0),
        ("evaluation_clips", "all"),
        ("gradient_checkpointing", 1),
        ("lr_scheduler_type", "inverse_sqrt"),
        ("precision", "fp8"),
        ("report_to", "all"),
        ("audiograms", [10, 20]),
        ("warmup_steps", 4),
        ("variant", None),
    ],
)
def test_values_out_of_place_are_named(tmp_path, key, value):
    with pytest.raises(InputError, match=key):
        TrainingSettings.from_json(as_json(tmp_path, **{key: value}))


def test_constant_rate_needs_no_steps_behind_the_warmup(tmp_path):
    toy_settings(tmp_path, lr_scheduler_type="constant", warmup_steps=4, max_steps=4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"train_batch_size": 3}, {"per_device_train_batch_size": 3}),
        ({"eval_batch_size": 5}, {"per_device_eval_batch_size": 5}),
        ({"gradient_accumulation": 16}, {"gradient_accumulation_steps": 16}),
        ({"learning_rate": 1.5e-5}, {"learning_rate": 1.5e-5}),
        ({"max_steps": 10000}, {"max_steps": 10000}),
        ({"max_steps": 10000, "warmup_steps": 1000}, {"warmup_steps": 1000}),
        ({"save_steps": 500}, {"save_steps": 500, "save_strategy": "steps"}),
        ({"save_total_limit": 3}, {"save_total_limit": 3}),
        ({"eval_steps": 500}, {"eval_steps": 500, "eval_strategy": "steps"}),
        ({"logging_steps": 50}, {"logging_steps": 50, "logging_strategy": "steps"}),
        ({"weight_decay": 0.07}, {"weight_decay": 0.07}),
        ({"lr_scheduler_type": "polynomial"}, {"lr_scheduler_type": "polynomial"}),
        ({"max_grad_norm": 0.25}, {"max_grad_norm": 0.25}),
        ({"gradient_checkpointing": True}, {"activation_checkpointing": True}),
        ({"generation_max_length": 225}, {"generation_max_length": 225}),
        ({"report_to": "wandb"}, {"report_to": ["wandb"]}),
        ({"report_to": "none"}, {"report_to": []}),
        ({"seed": 7}, {"seed": 7, "data_seed": 7}),
        ({"dataloader_workers": 2}, {"dataloader_num_workers": 2}),
        ({}, {"predict_with_generate": True, "use_cpu": True, "bf16": False, "fp16": False}),
    ],
)
def test_every_setting_reaches_the_trainer(tmp_path, changes, expected):
    settings = toy_settings(tmp_path, **changes)
    arguments = Seq2SeqTrainingArguments(**trainer_arguments(settings, "fp32", 1))
    assert {key: getattr(arguments, key) for key in expected} == expected
    assert arguments.output_dir == settings.output_folder


def test_what_is_computed_on_gpus_is_in_reduced_precision(tmp_path):
    settings = toy_settings(tmp_path, num_gpus=4)
    chosen = trainer_arguments(settings, "bf16", 4)
    assert (chosen["bf16"], chosen["fp16"], chosen["use_cpu"]) == (True, False, False)
    assert trainer_arguments(settings, "fp16", 4)["fp16"]


@pytest.mark.parametrize(
    ("name", "gpus", "bf16_gpu", "expected"),
    [
        ("auto", 4, True, "bf16"),
        ("auto", 1, False, "fp16"),
        ("auto", 0, False, "fp32"),
        ("fp32", 1, True, "fp32"),
        ("fp16", 1, True, "fp16"),
        ("bf16", 1, True, "bf16"),
        ("fp32", 0, False, "fp32"),
    ],
)
def test_precision(name, gpus, bf16_gpu, expected):
    assert resolve_precision(name, gpus, bf16_gpu) == expected


@pytest.mark.parametrize(("name", "gpus"), [("bf16", 0), ("fp16", 0), ("bf16", 1)])
def test_precision_that_is_not_to_be_had(name, gpus):
    with pytest.raises(InputError, match=r"training\.precision"):
        resolve_precision(name, gpus, bf16_gpu=False)


def test_devices_must_be_those_configured(tmp_path):
    settings = toy_settings(tmp_path, num_gpus=4)
    check_devices(settings, 4, visible_gpus=4, started=4)
    with pytest.raises(InputError, match=r"num_gpus is 4, but only 2"):
        check_devices(settings, 4, visible_gpus=2, started=4)
    with pytest.raises(InputError, match="4 process.*but 1 were started"):
        check_devices(settings, 4, visible_gpus=4, started=1)
    with pytest.raises(InputError, match="2 process.*Leave --processes out"):
        check_devices(settings, 2, visible_gpus=4, started=2)
    on_cpu = replace(settings, num_gpus=0)
    check_devices(on_cpu, 1, visible_gpus=0, started=1)
    check_devices(on_cpu, 2, visible_gpus=0, started=2)
    with pytest.raises(InputError, match="2 were started"):
        check_devices(on_cpu, 1, visible_gpus=0, started=2)


@pytest.mark.parametrize(
    ("workers", "processes", "each"), [(20, 4, 5), (20, 1, 20), (3, 2, 1), (1, 4, 1), (0, 4, 0)]
)
def test_data_are_read_by_as_many_processes_as_said(tmp_path, workers, processes, each):
    settings = toy_settings(tmp_path, dataloader_workers=workers)
    arguments = trainer_arguments(settings, "fp32", processes)
    assert arguments["dataloader_num_workers"] == each
    assert arguments["dataloader_persistent_workers"] == (each > 0)


def test_what_makes_another_training(tmp_path):
    settings = toy_settings(tmp_path)
    moved = replace(settings, output_folder="elsewhere", threads=8, resume=False, save_steps=1)
    assert moved.identity() == settings.identity()
    for change in ({"learning_rate": 2e-5}, {"seed": 1}, {"gradient_accumulation": 2}):
        assert replace(settings, **change).identity() != settings.identity()
