"""The configuration: checked whole before any job starts."""

import copy
import difflib
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from hearing_asr.errors import InputError

UNMASKED = "unmasked"  # the corpus itself, where a variant's name is expected
ZERO_SHOT = "zero_shot"  # the base model, where a model's name is expected
STAGES = ("corpus", "masking", "features", "training", "evaluation", "plots")
RULES = (
    "all clip_table corpus_gather corpus_shard dataset_dict demo_release download_model "
    "features_gather features_shard finetune masking_gather masking_shard plot_audiograms "
    "plot_clip plot_scores plot_training plot_training_comparison pretrain release score "
    "scratch_model transcribe unknown_target"
).split()
RESERVED = (UNMASKED, ZERO_SHOT, "base", "model", "clips", *STAGES, *RULES)
PATHS = (("data_dir",), ("results_dir",), ("corpus", "release"))

LARGE_V3 = ("openai/whisper-large-v3", "openai/whisper-large-v3-turbo")  # 128 mel bins


def load_config(merged: Mapping, layers: Sequence[Mapping], schema: str | Path) -> dict:
    """Check the configuration that Snakemake has merged, and complete it.

    Snakemake merges mappings key by key. For audiograms that is wrong (an overlay with other
    frequencies would mix two audiograms), so a variant is taken whole from the last layer that
    names it. A variant that a layer sets to null is dropped.

    Args:
        merged: the configuration as Snakemake merged it.
        layers: what it was merged from (config files, command line), the last one rules.
        schema: the JSON Schema, a YAML file.

    Returns:
        The configuration, audiograms with numbers as keys.

    Raises:
        InputError: every mistake that was found, each with its key and the remedy.
    """
    config = copy.deepcopy(dict(merged))
    config["variants"] = _variants(merged, layers)
    _expand_paths(config)
    _check_schema(config, yaml.safe_load(Path(schema).read_text()))
    mistakes = list(_mistakes(config))
    if mistakes:
        raise InputError("\n".join(["the configuration is wrong:", *mistakes]))
    return config


def read_layer(file: str | Path) -> dict:
    """A configuration file as it stands.

    Raises:
        InputError: not YAML, no mapping, or a key that stands twice (YAML would take the last).
    """
    try:
        content = yaml.load(Path(file).read_text(), Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise InputError(f"{file}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected `key: value` pairs")
    return content


class _UniqueKeys(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} stands twice; keep one", node.start_mark
            )
        return super().construct_mapping(node, deep)


def typed(value: Any) -> Any:
    """Values given with --config, which arrive as text, as YAML reads them."""
    if isinstance(value, Mapping):
        return {typed(key): typed(item) for key, item in value.items()}
    return yaml.safe_load(value) if isinstance(value, str) else value


def update(config: Mapping, layer: Mapping) -> dict:
    """`config` with what `layer` says, mappings merged key by key."""
    merged = dict(config)
    for key, value in layer.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = update(merged[key], value) if both else value
    return merged


def _expand_paths(config: dict) -> None:
    """Home folders and needless slashes."""
    for *parents, key in PATHS:
        section: Any = config
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if isinstance(section, dict) and isinstance(section.get(key), str) and section[key]:
            section[key] = os.path.normpath(os.path.expanduser(section[key]))
    model = config.get("model")
    if isinstance(model, dict) and str(model.get("checkpoint")).startswith("~"):
        model["checkpoint"] = os.path.expanduser(model["checkpoint"])


def _variants(merged: Mapping, layers: Iterable[Mapping]) -> Any:
    """Variants, each as the last layer has it."""
    variants = merged.get("variants")
    if not isinstance(variants, Mapping):
        return variants
    variants = dict(variants)
    for layer in layers:
        later = layer.get("variants")
        if isinstance(later, Mapping):
            variants |= later
    return {name: variant for name, variant in variants.items() if variant is not None}


def _is_integer(checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(checker: Any, value: Any) -> bool:
    return _is_integer(checker, value) or (isinstance(value, float) and math.isfinite(value))


# JSON Schema takes 2.0 as an integer and knows no NaN.
_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


def _check_schema(config: Mapping, schema: Mapping) -> None:
    instance = _text_keys(config)
    errors = sorted(_Validator(schema).iter_errors(instance), key=lambda e: list(e.path))
    if errors:
        lines = dict.fromkeys(_schema_message(error) for error in errors)
        raise InputError("\n".join(["the configuration is wrong:", *lines]))


def _text_keys(value: Any) -> Any:
    """Mappings with their keys as text: YAML reads `125:` as a number, JSON has none as keys."""
    if isinstance(value, Mapping):
        return {str(key): _text_keys(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _schema_message(error: ValidationError) -> str:
    key = ".".join(str(part) for part in error.absolute_path)
    where = f"- {key}: " if key else "- "
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = [name for name in error.instance if name not in known]
        return "\n".join(
            f"- {key + '.' if key else ''}{name}: unknown key.{_suggest(name, known)}"
            for name in unknown
        )
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{where}missing: {', '.join(missing)}. config/config.yaml has every key."
    if error.validator in ("type", "enum"):
        expected = error.validator_value
        expected = expected if isinstance(expected, list) else [expected]
        expected = " or ".join("null" if e is None else str(e) for e in expected)
        hint = _number_hint(error.instance)
        return f"{where}{error.instance!r} is not allowed; expected {expected}.{hint}"
    if "propertyNames" in error.schema_path:
        names = "frequencies in Hz" if key.endswith("audiogram") else "names"
        return f"{where}{error.instance!r}: {names} must match {error.validator_value}"
    return f"{where}{error.message}"


def _number_hint(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+[eE][+-]?\d+", value):
        mantissa, exponent = re.split("[eE]", value)
        return f" YAML reads {value} as text; write {mantissa}.0e{exponent}."
    return ""


def _suggest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f" Did you mean {close[0]}?"
    return f" Known here: {', '.join(known)}." if known else ""


def _mistakes(config: Mapping) -> Iterable[str]:
    """What no schema can see: keys that contradict one another, or the world."""
    yield from _corpus_mistakes(config["corpus"])
    yield from _variant_mistakes(config["variants"])
    yield from _model_mistakes(config)
    yield from _training_mistakes(config)


def _corpus_mistakes(corpus: Mapping) -> Iterable[str]:
    if corpus["min_duration"] >= corpus["max_duration"]:
        yield (
            f"- corpus.min_duration: {corpus['min_duration']:g} s is not less than "
            f"corpus.max_duration = {corpus['max_duration']:g} s"
        )
    for name, split in corpus["splits"].items():
        clips = split["max_clips"]
        if corpus["source"] == "demo":
            clips = min(clips or corpus["demo"]["clips"][name], corpus["demo"]["clips"][name])
        if clips is not None and clips < split["shards"]:
            yield (
                f"- corpus.splits.{name}.shards: {split['shards']} shards for {clips} clips; set "
                f"at most {clips}"
            )
    if corpus["source"] == "release":
        if corpus["release"] is None:
            yield (
                "- corpus.release: null, but corpus.source is release. Set it to the folder of an "
                "extracted Common Voice release, such as .../cv-corpus-26.0-2026-06-12/en"
            )
            return
        if not Path(corpus["release"]).exists():
            return  # a dry run works without it; the rule `release` tells a real one
        from hearing_asr.release import check_release

        try:
            check_release(corpus["release"], corpus["splits"])
        except InputError as error:
            yield f"- {error}"


def _variant_mistakes(variants: Mapping) -> Iterable[str]:
    from hearing_asr.audiograms import Audiogram

    for name, variant in variants.items():
        if name in RESERVED:
            yield f"- variants.{name}: the name is taken by the workflow; choose another one"
        try:
            Audiogram.from_config(variant["audiogram"], f"variants.{name}.audiogram")
        except InputError as error:
            yield f"- {error}"


def _model_mistakes(config: Mapping) -> Iterable[str]:
    model, bins = config["model"], config["features"]["num_mel_bins"]
    checkpoint, scratch = model["checkpoint"], model["scratch"]
    expected, english_only = None, checkpoint.endswith(".en")
    if checkpoint == "scratch":
        if scratch["d_model"] % scratch["heads"]:
            yield (
                f"- model.scratch.d_model: {scratch['d_model']} is not a multiple of "
                f"model.scratch.heads = {scratch['heads']}"
            )
        elif scratch["d_model"] % 2:
            yield f"- model.scratch.d_model: {scratch['d_model']} must be even"
        if scratch["max_steps"] <= scratch["warmup_steps"]:
            yield "- model.scratch.warmup_steps: must be less than model.scratch.max_steps"
    elif is_folder(checkpoint):
        from hearing_asr.models import whisper_config

        try:
            spec = whisper_config(checkpoint)
            expected, english_only = spec.num_mel_bins, not spec.is_multilingual
        except InputError as error:
            yield f"- model.checkpoint: {error}"
    elif "/" not in checkpoint:
        yield (
            f"- model.checkpoint: {checkpoint!r} is neither scratch, nor a folder, nor a hub id "
            f"with its owner, as openai/{checkpoint}"
        )
    elif checkpoint.startswith("openai/whisper-"):
        expected = 128 if checkpoint in LARGE_V3 else 80
    if expected not in (None, bins):
        yield (
            f"- features.num_mel_bins: {bins}, but {checkpoint} wants {expected}; set it to "
            f"{expected}"
        )
    if english_only and (model["language"], model["task"]) != ("en", "transcribe"):
        yield (
            f"- model.language: {checkpoint} is an English-only model; set model.language to en "
            "and model.task to transcribe, or choose another checkpoint"
        )
    if config["evaluation"]["normalizer"] == "english" and model["language"] != "en":
        yield (
            f"- evaluation.normalizer: english, but model.language is {model['language']}; choose "
            "basic, simple or none"
        )


def _training_mistakes(config: Mapping) -> Iterable[str]:
    training, model = config["training"], config["model"]
    if training["evaluation_split"] == "test":
        yield (
            "- training.evaluation_split: test is what is reported, so nothing may be chosen by "
            "it; set dev"
        )
    decays = training["lr_scheduler_type"] != "constant"
    if decays and training["warmup_steps"] >= training["max_steps"]:
        yield (
            f"- training.warmup_steps: {training['warmup_steps']} is not less than "
            f"training.max_steps = {training['max_steps']}"
        )
    if training["num_gpus"] == 0 and training["precision"] in ("fp16", "bf16"):
        yield (
            f"- training.precision: {training['precision']} needs a GPU, but training.num_gpus is "
            "0; set auto or fp32"
        )
    if model["checkpoint"] == "scratch":
        positions = model["scratch"]["max_target_positions"]
        for stage in ("training", "evaluation"):
            if config[stage]["generation_max_length"] > positions:
                yield (
                    f"- {stage}.generation_max_length: more than "
                    f"model.scratch.max_target_positions = {positions}"
                )


def is_folder(checkpoint: str) -> bool:
    """Whether a checkpoint is meant as a local folder rather than as a hub id.

    A hub id is `owner/name`; what exists here, or looks like a path, is a folder.
    """
    return (
        Path(checkpoint).is_dir()
        or checkpoint.startswith((".", "/", "~"))
        or (checkpoint.count("/") > 1)
    )


def unknown_target(target: str, variants: Iterable[str]) -> str:
    """What to say of a target on the command line that is neither a rule nor a file."""
    names = ["all", *STAGES, *variants]
    return (
        f"unknown target {target!r}.{_suggest(target, names)} Targets by name: {', '.join(names)}; "
        "variants are those of the config."
    )
