"""A Whisper that trains in a second, and log-Mel clips for it."""

from pathlib import Path

import numpy as np
from datasets import Dataset, Features, List, Value

from hearing_asr.features import log_mel
from hearing_asr.models import load_tokenizer, whisper_config
from hearing_asr.scratch import build_scratch
from hearing_asr.training_settings import TrainingSettings

SENTENCES = ["Anna kept two old boats.", "Bob lost six red hats.", "Carl hid two red boats."]
SIZES = {
    "num_mel_bins": 80,
    "d_model": 16,
    "layers": 1,
    "heads": 2,
    "window": 1.0,
    "vocab_size": 300,
    "max_target_positions": 32,
    "language": "en",
    "task": "transcribe",
    "seed": 3,
}
SETTINGS = {
    "base_model": "scratch",
    "code": "toy",
    "variant": "hfloss",
    "audiograms": {"hfloss": {"125": 10, "8000": 100}},
    "language": "en",
    "task": "transcribe",
    "normalizer": "simple",
    "threads": 1,
    "num_gpus": 0,
    "num_cpus": 1,
    "dataloader_workers": 0,
    "train_batch_size": 2,
    "eval_batch_size": 2,
    "gradient_accumulation": 1,
    "learning_rate": 1e-2,
    "max_steps": 4,
    "warmup_steps": 1,
    "save_steps": 2,
    "save_total_limit": None,
    "eval_steps": 2,
    "logging_steps": 1,
    "weight_decay": 0.05,
    "lr_scheduler_type": "linear",
    "max_grad_norm": 0.5,
    "precision": "auto",
    "gradient_checkpointing": False,
    "generation_max_length": 8,
    "evaluation_split": "dev",
    "evaluation_clips": None,
    "report_to": "tensorboard",
    "resume": True,
    "seed": 42,
}


def toy_model(folder: Path, **sizes) -> Path:
    """A Whisper of 20,000 parameters that hears one second."""
    build_scratch(SENTENCES, folder, **(SIZES | sizes))
    return folder


def toy_samples(clip: int) -> np.ndarray:
    """Noise of 0.5 to 0.9 s, float32, 16 kHz."""
    rng = np.random.default_rng(clip)
    return (0.1 * rng.standard_normal(rng.integers(8000, 14400))).astype(np.float32)


def toy_clips(folder: Path, model: Path, clips: int = 8, dtype: str = "float16", **columns) -> Path:
    """A log-Mel dataset of noise for `model`; `columns` replace columns of every clip."""
    spec, tokenizer = whisper_config(model), load_tokenizer(model, "en", "transcribe")
    rows = []
    for clip in range(clips):
        samples, sentence = toy_samples(clip), SENTENCES[clip % len(SENTENCES)]
        sentence = sentence if clip % 2 else sentence.split()[0]  # labels of unequal length
        valid, padding = log_mel(samples, spec.num_mel_bins, spec.window_frames)
        row = {
            "path": f"clip_{clip}.mp3",
            "client_id": "someone",
            "sentence": sentence,
            "duration": len(samples) / 16_000,
            "frames": len(valid),
            "padding": float(padding),
            "logmel": valid.ravel().astype(dtype),
            "labels": tokenizer(sentence).input_ids,
        }
        rows.append(row | columns)
    features = Features(
        path=Value("string"),
        client_id=Value("string"),
        sentence=Value("string"),
        duration=Value("float32"),
        frames=Value("int32"),
        padding=Value("float32"),
        logmel=List(Value(dtype)),
        labels=List(Value("int32")),
    )
    Dataset.from_list(rows, features=features).save_to_disk(str(folder))
    return folder


def toy_settings(folder: Path, **changes) -> TrainingSettings:
    """Settings of a training of `folder`/model on `folder`/train, in a second."""
    places = {
        "model_folder": str(folder / "model"),
        "train_folders": [str(folder / "train")],
        "eval_folders": [str(folder / "dev")],
        "output_folder": str(folder / "output"),
    }
    return TrainingSettings(**(places | SETTINGS | changes))
