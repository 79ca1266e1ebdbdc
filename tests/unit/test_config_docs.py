"""config/README.md explains every key of the schema, with the default that config.yaml has."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "config/README.md").read_text()
CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())
FULL = yaml.safe_load((ROOT / "config/full.yaml").read_text())
SCHEMA = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())


def keys(schema, prefix=""):
    if "$ref" in schema:
        schema = schema | SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    properties = dict(schema.get("properties", {}))
    if prefix == "variants":
        properties = {"*": schema["additionalProperties"]}
    if not properties or prefix.endswith("audiogram"):
        return [prefix]
    return [
        key
        for name, child in properties.items()
        for key in keys(child, f"{prefix}.{name}".strip("."))
    ]


KEYS = keys(SCHEMA)


def value(config, key):
    for part in key.split("."):
        config = config[part]
    return config


def documented(text):
    text = text.strip().strip("`")
    return yaml.safe_load(text)


def test_the_schema_has_the_keys_of_the_configuration():
    def leaves(config, prefix=""):
        for name, child in config.items():
            key = f"{prefix}.{name}".strip(".")
            if isinstance(child, dict) and not key.startswith("variants"):
                yield from leaves(child, key)
            else:
                yield key

    own = {key for key in KEYS if not key.startswith("variants")}
    assert own == {key for key in leaves(CONFIG) if not key.startswith("variants")}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_is_explained(key):
    assert f"`{key}`" in DOCS


def rows():
    for line in DOCS.split("## Where the options")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and "*" not in cells[0]:
            yield cells


@pytest.mark.parametrize("cells", list(rows()), ids=lambda cells: cells[0])
def test_the_documented_defaults_are_those_of_the_configuration(cells):
    key = re.fullmatch(r"`([\w.]+)`", cells[0])[1]
    assert documented(cells[1]) == value(CONFIG, key)
    if key.startswith("training."):
        assert documented(cells[2]) == FULL["training"].get(
            key.removeprefix("training."), value(CONFIG, key)
        )


OPTIONS = """--input-dir --output-base --sample-rate --batch-size --num-workers --log-level --splits
--max_samples --shuffle_seed --language --task --model_size --writer_batch_size
--max_memory_per_worker --skip-existing --num_gpus --num_cpus --dataloader_workers
--train_batch_size --eval_batch_size --gradient_accumulation --learning_rate --max_steps
--warmup_steps --save_steps --eval_steps --logging_steps --weight_decay --lr_scheduler_type
--max_grad_norm --generation_max_length --report_to --format --dpi --figsize --smooth"""


@pytest.mark.parametrize("option", OPTIONS.split())
def test_every_former_option_has_its_place(option):
    assert option in DOCS.split("## Where the options")[1]
