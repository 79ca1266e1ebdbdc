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

from hearing_asr.config_checks import STAGES, mistakes
from hearing_asr.errors import InputError

PATHS = (
    ("data_dir",),
    ("results_dir",),
    ("corpus", "release"),
    ("corpus", "clip_list"),
)


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
    found = list(mistakes(config))
    if found:
        raise InputError("\n".join(["the configuration is wrong:", *found]))
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


def unknown_target(target: str, variants: Iterable[str]) -> str:
    """What to say of a target on the command line that is neither a rule nor a file."""
    names = ["all", "plan", *STAGES, *variants]
    return (
        f"unknown target {target!r}.{_suggest(target, names)} Targets by name: {', '.join(names)}; "
        "variants are those of the config."
    )
