"""README.md of a trained model: a Hugging Face model card that says how the model was made."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hearing_asr.models import language_code
from hearing_asr.training_settings import TrainingSettings

PACKAGES = ("torch", "transformers", "accelerate", "datasets", "tokenizers", "numpy")

SCRATCH = "scratch"  # base model of the config that is made here

# Settings that the card tells elsewhere, or that name places on the machine it was trained on.
TOLD_ELSEWHERE = frozenset(
    {
        "model_folder",
        "base_model",
        "train_folders",
        "eval_folders",
        "output_folder",
        "code",
        "variant",
        "audiograms",
    }
)


@dataclass(frozen=True)
class SplitFacts:
    """A split that a model was trained or evaluated on: clips, hours, fingerprint of the data."""

    name: str
    clips: int
    hours: float
    fingerprint: str


@dataclass(frozen=True)
class TrainingFacts:
    """What came of a training.

    precision: bf16, fp16 or fp32; processes: that trained together; hardware: in words;
    parameters: of the model; seconds: run time of the last start; resumed_step: where that start
    went on, 0 for the beginning; waiting: share of its training time spent waiting for data;
    history: log entries of the Trainer, each with its `step`.
    """

    precision: str
    processes: int
    hardware: str
    parameters: int
    seconds: float
    resumed_step: int
    waiting: float
    history: Sequence[Mapping[str, Any]]


def effective_batch_size(settings: TrainingSettings, processes: int) -> int:
    """Clips per optimizer step: per device x accumulation x processes."""
    return settings.train_batch_size * settings.gradient_accumulation * processes


def batch_in_words(settings: TrainingSettings, processes: int) -> str:
    """The effective batch size and how it comes about."""
    return (
        f"{effective_batch_size(settings, processes)} clips ({settings.train_batch_size} per "
        f"device x {settings.gradient_accumulation} accumulated x {processes} "
        f"{'process' if processes == 1 else 'processes'})"
    )


def model_card(
    settings: TrainingSettings, facts: TrainingFacts, splits: Sequence[SplitFacts]
) -> str:
    """The card as Markdown, with the YAML front matter that the Hugging Face Hub reads.

    Args:
        splits: the training split first, then the one evaluated on.
    """
    sections = [
        _front_matter(settings),
        _introduction(settings, facts),
        _hearing(settings),
        _data(splits),
        _training(settings, facts),
        _results(facts.history),
        _usage(settings),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(settings: TrainingSettings) -> str:
    lines = [
        "---",
        f'language: "{language_code(settings.language)}"',  # quoted, because `no` means false
        "library_name: transformers",
        "pipeline_tag: automatic-speech-recognition",
    ]
    if _is_hub_name(settings.base_model):
        lines.append(f"base_model: {json.dumps(settings.base_model)}")
    lines += ["metrics:", "- wer", "tags:", "- whisper", "- hearing-loss", "---"]
    return "\n".join(lines)


def _is_hub_name(base_model: str) -> bool:
    owner, slash, name = base_model.partition("/")
    looks_so = bool(owner.strip(".") and slash and name) and "/" not in name
    return looks_so and not Path(base_model).exists()


def _introduction(settings: TrainingSettings, facts: TrainingFacts) -> str:
    base = f"`{Path(settings.base_model).name}`"
    if _is_hub_name(settings.base_model):
        base = f"`{settings.base_model}`"
    elif settings.base_model == SCRATCH and not settings.audiograms:
        base = "random weights"
    elif settings.base_model == SCRATCH:
        base = "this run's base model, made from scratch and trained on unmasked speech,"
    heard = f"`{settings.variant}` speech" if settings.audiograms else "unmasked speech"
    source = f"variant `{settings.variant}`"
    if len(settings.audiograms) > 1:
        heard = "speech of all variants, mixed"
        source = "variants " + ", ".join(f"`{name}`" for name in settings.audiograms)
    return (
        f"# Whisper trained on {heard}\n\n"
        f"A Whisper model of {facts.parameters / 1e6:.2f} million parameters for speech "
        f"recognition ({settings.language}, {settings.task}). It started from {base} and was "
        f"trained on the log-Mel spectrograms of the {source}."
    )


def _hearing(settings: TrainingSettings) -> str:
    if not settings.audiograms:
        return "## Hearing\n\nThe speech was not masked: no hearing loss was simulated."
    parts = ["## Hearing"]
    for name, audiogram in settings.audiograms.items():
        frequencies = sorted(audiogram, key=float)
        table = _table(
            ["Frequency (Hz)", *(f"{float(frequency):g}" for frequency in frequencies)],
            [["Threshold (dB HL)", *(f"{audiogram[frequency]:g}" for frequency in frequencies)]],
        )
        which = "this audiogram" if len(settings.audiograms) == 1 else f"`{name}`"
        parts += [f"The speech was let through {which}:", table]
    return "\n\n".join(parts)


def _data(splits: Sequence[SplitFacts]) -> str:
    rows = [
        [use, split.name, f"{split.clips:,}", f"{split.hours:.2f}", f"`{split.fingerprint}`"]
        for use, split in zip(("training", "evaluation"), splits, strict=True)
    ]
    return "## Data\n\n" + _table(["Used for", "Split", "Clips", "Hours", "Fingerprint"], rows)


def _training(settings: TrainingSettings, facts: TrainingFacts) -> str:
    resumed = f", resumed at step {facts.resumed_step}" if facts.resumed_step else ""
    rows = [
        [f"`{key}`", f"`{json.dumps(value)}`"]
        for key, value in asdict(settings).items()
        if key not in TOLD_ELSEWHERE
    ]
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        f"## Training\n\n"
        f"- Effective batch size: {batch_in_words(settings, facts.processes)}\n"
        f"- Precision: {facts.precision}\n"
        f"- Hardware: {facts.hardware}\n"
        f"- Run time: {duration(facts.seconds)} (h:mm:ss{resumed}), {facts.waiting:.1%} of the "
        f"training time waiting for data\n"
        f"- Software: {versions}\n\n" + _table(["Setting", "Value"], rows)
    )


def _results(history: Sequence[Mapping[str, Any]]) -> str:
    losses = [entry["loss"] for entry in history if "loss" in entry]
    rows = [
        [f"{entry['step']}", f"{entry['eval_loss']:.4f}", f"{100 * entry['eval_wer']:.2f} %"]
        for entry in history
        if "eval_loss" in entry
    ]
    last = f"Training loss at the end: {losses[-1]:.4f}.\n\n" if losses else ""
    return (
        f"## Results\n\n{last}On the evaluation split, after normalization of the texts:\n\n"
        + _table(["Step", "Loss", "WER"], rows)
    )


def _usage(settings: TrainingSettings) -> str:
    return f"""## Use

```python
from transformers import WhisperForConditionalGeneration, WhisperProcessor

folder = "."  # the folder of this file
processor = WhisperProcessor.from_pretrained(folder)
model = WhisperForConditionalGeneration.from_pretrained(folder)
inputs = processor(samples, sampling_rate=16000, return_tensors="pt")  # float32, mono, 16 kHz
tokens = model.generate(inputs.input_features)
print(processor.batch_decode(tokens, skip_special_tokens=True)[0])
```

Language and task ({settings.language}, {settings.task}) stand in `generation_config.json`."""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
