"""Training: time per step of the demo's model on the CPU, in one process and in two."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from statistics import median

import numpy as np
import yaml

from benchmarks import checkout
from benchmarks.common import ROOT, Row, Section, say

PROGRAM = ROOT / "workflow" / "scripts" / "finetune.py"
BATCH = 16  # clips per step, of all processes together
CLIPS = 256
WAITING = 5.0  # % of the time that a training may wait for its data
PRECISION = 0.05  # %: the log has one decimal, 0.0 is at most this
WAYS = {  # what it is called: processes, threads of all together
    "1 process, 2 threads": (1, 2),
    "2 processes, 1 thread each": (2, 2),
}


@dataclass(frozen=True)
class Training:
    """What the log of a training says: s per step, and % of the time waiting for data."""

    step: float
    waiting: float


def measure(folder: Path, steps: int, sizes: Mapping[str, int] | None = None) -> Iterator[Section]:
    """Train `steps` steps in each way and tell time and waiting; `sizes` replace the model's."""
    write_data(folder, sizes or {})
    say("training, 1 process, 1 thread")
    alone = train(folder, steps, 1, 1)
    ways = {}
    for name, (processes, threads) in WAYS.items():
        say(f"training, {name}")
        ways[name] = train(folder, steps, processes, threads)
    rows = [Row(name, 1000 * alone.step, 1000 * way.step) for name, way in ways.items()]
    title = f"Training, {BATCH} clips per step: ms per step"
    yield Section(title, "one thread", "here", rows)
    ways = {"1 process, 1 thread": alone, **ways}
    rows = [Row(name, WAITING, max(way.waiting, PRECISION), 1) for name, way in ways.items()]
    yield Section("Training, waiting for data: % of time", "limit", "here", rows)


def train(folder: Path, steps: int, processes: int, threads: int) -> Training:
    """Run the rule's program as its rule does; all ways train on the same batches."""
    name = f"{processes}-{threads}"
    log = folder / f"{name}.log"
    chosen = settings(folder, name, steps) | {"train_batch_size": BATCH // processes}
    arguments = [
        str(PROGRAM),
        *("--settings", json.dumps(chosen)),
        *("--threads", str(threads)),
        *("--processes", str(processes)),
        *("--log-file", str(log)),
    ]
    checkout.run(folder, arguments)
    return read_log(log.read_text(), BATCH)


def read_log(log: str, batch: int) -> Training:
    """Median time per step between lines of the log, the first left out, and the waiting."""
    rates = [float(rate) for rate in re.findall(r"step \d+ of .* ([\d.]+) clips/s", log)]
    (waiting,) = re.findall(r"trained in .*, ([\d.]+) % of it waiting for data", log)
    return Training(batch / median(rates[1:]), float(waiting))


def settings(folder: Path, name: str, steps: int) -> dict:
    """Settings of the demo's training, on the CPU, with neither evaluations nor checkpoints."""
    from hearing_asr.training_settings import TrainingSettings

    config = _config()
    known = {field.name for field in fields(TrainingSettings)} - {"threads"}
    values = {
        **config["training"],
        "model_folder": str(folder / "model"),
        "base_model": "scratch",
        "train_folders": [str(folder / "data")],
        "eval_folders": [str(folder / "data")],
        "output_folder": str(folder / name),
        "code": "benchmark",
        "variant": "normal",
        "audiograms": {},
        "seed": config["training"]["seeds"][0],
        "language": config["model"]["language"],
        "task": config["model"]["task"],
        "normalizer": config["evaluation"]["normalizer"],
        "num_gpus": 0,
        "gradient_accumulation": 1,
        "max_steps": steps,
        "warmup_steps": 1,
        "save_steps": 10 * steps,
        "eval_steps": 10 * steps,
        "logging_steps": max(1, steps // 8),
        "report_to": "none",
    }
    return {key: value for key, value in values.items() if key in known}


def write_data(folder: Path, sizes: Mapping[str, int]) -> None:
    """The demo's model before any training, and log-Mel noise as long as the demo's clips."""
    from datasets import Dataset, Features, List, Value

    from hearing_asr.demo_corpus import plan_clips
    from hearing_asr.models import load_tokenizer
    from hearing_asr.scratch import build_scratch

    config = _config()
    keys = ("d_model", "layers", "heads", "window", "vocab_size", "max_target_positions", "seed")
    scratch = {key: config["model"]["scratch"][key] for key in keys} | sizes
    words = {key: config["model"][key] for key in ("language", "task")}
    bins = config["features"]["num_mel_bins"]
    sentences = [clip.sentence for clip in itertools.islice(plan_clips({"train": CLIPS}, 1), CLIPS)]
    build_scratch(sentences, folder / "model", num_mel_bins=bins, **scratch, **words)
    tokenizer = load_tokenizer(folder / "model", **words)
    rng = np.random.default_rng(1)
    rows = []
    for number, sentence in enumerate(sentences):
        frames = int(rng.integers(50, 96) * scratch["window"])  # half of the window and more
        logmel = rng.standard_normal((frames, bins), dtype=np.float32)
        row = {
            "path": f"clip_{number}.mp3",
            "client_id": "someone",
            "sentence": sentence,
            "duration": frames / 100,
            "frames": frames,
            "padding": -1.5,
            "logmel": logmel.ravel().astype("float16"),
            "labels": tokenizer(sentence).input_ids,
        }
        rows.append(row)
    numbers = {"duration": "float32", "frames": "int32", "padding": "float32"}
    columns = {key: Value(numbers.get(key, "string")) for key in rows[0]}
    columns |= {"logmel": List(Value("float16")), "labels": List(Value("int32"))}
    Dataset.from_list(rows, features=Features(columns)).save_to_disk(str(folder / "data"))


@cache
def _config() -> dict:
    return yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
