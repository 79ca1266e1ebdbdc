"""The DAG, and what a user is told, before anything has run."""

import re

import pytest
import yaml

VARIANTS = ("normal", "lfloss", "hfloss")


def overlay(checkout, name, content):
    path = checkout / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return ["--configfile", path.name]


def test_the_demo_is_planned(checkout):
    planned = checkout.planned()
    assert planned == {
        "all": 1,
        "demo_release": 1,
        "clip_table": 3,
        "check_splits": 1,
        "corpus_shard": 4,
        "corpus_gather": 3,
        "masking_shard": 12,
        "masking_gather": 9,
        "scratch_model": 1,
        "features_shard": 16,
        "features_gather": 12,
        "dataset_dict": 8,
        "pretrain": 1,
        "finetune": 3,
        "transcribe": 12,
        "score_clips": 12,
        "score": 1,
        "compare": 1,
        "clip_facts": 1,
        "groups": 1,
        "calibration": 1,
        "words": 1,
        "phonemes": 1,
        "information": 1,
        "plot_training": 3,
        "plot_training_comparison": 1,
        "plot_audiograms": 1,
        "plot_corpus": 1,
        "plot_clip": 1,
        "plot_scores": 1,
        "plot_groups": 1,
        "plot_calibration": 1,
        "plot_phonemes": 1,
        "plot_information": 1,
        "plot_usage": 1,
        "write_report": 1,
    }


def test_the_full_study_is_planned_with_nothing_downloaded(checkout):
    planned = checkout.planned("--configfile", "config/full.yaml")
    assert planned["download_release"] == planned["release_tables"] == 1
    assert planned["corpus_stream"] == 1
    assert planned["corpus_shard"] == 0
    assert planned["masking_shard"] == 3 * 264
    assert planned["features_shard"] == 3 * 264
    assert planned["finetune"] == 3
    assert planned["transcribe"] == 4 * 3
    assert planned["download_model"] == 1
    assert planned["pretrain"] == 0


def test_parsing_imports_nothing_heavy(checkout):
    code = (
        "import sys; from snakemake.cli import main\n"
        "try: main(['-n', '--quiet', 'all', '--configfile', 'config/full.yaml'])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'librosa', 'matplotlib'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))\n"
    )
    result = checkout.run("-c", code)
    assert "imported: []" in result.stdout


@pytest.mark.parametrize(
    ("stage", "last"),
    [
        ("corpus", "corpus_gather"),
        ("masking", "masking_gather"),
        ("features", "features_gather"),
        ("training", "finetune"),
        ("evaluation", "score"),
        ("plots", "plot_scores"),
    ],
)
def test_every_stage_is_a_target(checkout, stage, last):
    assert checkout.planned(stage)[last] >= 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_variant_is_a_target_and_needs_no_other(checkout, variant):
    output = checkout.snakemake("-n", variant).stdout
    planned = checkout.planned(variant)
    assert planned["finetune"] == 1
    assert planned["transcribe"] == 2  # zero-shot and its own model
    for other in set(VARIANTS) - {variant}:
        assert not re.search(rf"\b{other}/|_{other}/", output)


def test_without_a_training_log_no_curves_are_drawn(checkout):
    planned = checkout.planned(*overlay(checkout, "silent", {"training": {"report_to": "none"}}))
    assert planned["finetune"] == 3
    assert planned["plot_training"] == planned["plot_training_comparison"] == 0


def test_seeds_and_a_mixed_model_are_further_models(checkout):
    content = {"training": {"seeds": [7, 8], "mixed": True}}
    changed = overlay(checkout, "seeds", content)
    planned = checkout.planned(*changed)
    assert planned["finetune"] == 2 * 4
    assert planned["transcribe"] == planned["score_clips"] == (2 * 4 + 1) * 3
    output = checkout.snakemake("-n", *changed).stdout
    for model in ("hfloss", "hfloss-seed8", "mixed", "mixed-seed8"):
        assert f"whisper_finetuned_{model}/model.safetensors" in output
    mixed = re.search(r"^rule finetune:\n +input: (.*)\n +output: .*_mixed/", output, re.MULTILINE)
    for variant in VARIANTS:
        assert f"data/demo/{variant}/logmel/train/state.json" in mixed[1]


def test_a_variant_that_is_tested_only_has_no_model(checkout):
    content = {"training": {"variants": ["hfloss"], "seeds": [7]}}
    changed = overlay(checkout, "learnt", content)
    planned = checkout.planned(*changed)
    assert planned["finetune"] == planned["plot_training"] == 1
    assert planned["transcribe"] == 2 * 3
    assert planned["masking_shard"] == 12
    assert checkout.planned("lfloss", *changed)["transcribe"] == 1
    content = {"training": {"variants": ["hfoss"]}}
    result = checkout.snakemake("-n", *overlay(checkout, "wrong", content), check=False)
    assert "training.variants: hfoss is not among the variants" in result.stdout + result.stderr


def test_another_language_has_no_phonemes(checkout):
    content = {"model": {"language": "de"}, "evaluation": {"normalizer": "basic"}}
    planned = checkout.planned(*overlay(checkout, "german", content))
    assert planned["phonemes"] == planned["plot_phonemes"] == 0
    assert planned["words"] == planned["write_report"] == 1


def test_a_file_of_any_stage_is_a_target(checkout):
    planned = checkout.planned("data/demo/hfloss/logmel/test/data-00000-of-00001.arrow")
    assert planned["masking_shard"] == planned["features_shard"] == 1
    assert planned["finetune"] == 0


def test_an_unknown_variant_is_told_with_those_that_exist(checkout):
    result = checkout.snakemake("-n", "hfoss", check=False)
    assert result.returncode
    assert "unknown target 'hfoss'. Did you mean hfloss?" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"trainig": {}}, "trainig: unknown key. Did you mean training?"),
        (
            {"variants": {"hfloss": {"method": "gain_mask", "normalization": "peak",
                                     "audiogram": {125: "text"}}}},
            "variants.hfloss.audiogram.125: 'text' is not allowed; expected number",
        ),
        ({"features": {"num_mel_bins": 64}}, "features.num_mel_bins: 64"),
        ({"model": {"checkpoint": "./tests"}}, "model.checkpoint: tests: not a Whisper model"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_fails_before_any_job(checkout, content, message):
    result = checkout.snakemake("--cores", "1", *overlay(checkout, "wrong", content), check=False)
    output = result.stdout + result.stderr
    assert result.returncode
    assert message in output
    assert "Traceback" not in output
    assert not (checkout / "data").exists()


def test_a_missing_release_is_told(checkout):
    content = {"corpus": {"source": "release", "release": "nowhere/en"}}
    result = checkout.snakemake(
        "corpus", "--cores", "1", *overlay(checkout, "missing", content), check=False
    )
    assert result.returncode
    output = result.stdout + result.stderr
    assert "corpus.release: nowhere/en is not the folder of an extracted Common Voice" in output
    assert "Traceback" not in output
    assert not (checkout / "nowhere").exists()


def test_values_of_the_command_line_are_read_as_yaml(checkout):
    assert checkout.planned("--config", "variants={lfloss: null}")["finetune"] == 2


def test_code_inputs_are_what_the_scripts_import(checkout):
    """A rule lists the library modules that its script imports, directly or not."""
    modules = checkout / "workflow/lib/hearing_asr"
    imports = {}
    for path in modules.rglob("*.py"):
        name = str(path.relative_to(modules)).removesuffix(".py")
        imports[name] = _imported(path.read_text())
    rules = "".join(path.read_text() for path in (checkout / "workflow/rules").glob("*.smk"))
    for name, members in re.findall(r"^([A-Z]+) = \(([^)]*)\)", rules, re.MULTILINE):
        rules = rules.replace(f"*{name}", members)  # what several rules have in common
    listed = re.findall(r"(?<!def )code\(([^)]*)\)", rules)
    assert len(listed) > 15
    for arguments in listed:
        script, *declared = re.findall(r'"([\w/]+)"', arguments)
        if not declared:
            continue
        needed = set()
        todo = _imported((checkout / f"workflow/scripts/{script}.py").read_text())
        while todo:
            module = todo.pop()
            if module not in needed:
                needed.add(module)
                todo |= imports[module]
                if "/" in module:
                    todo.add(f"{module.partition('/')[0]}/__init__")
        assert {"errors", "files", "joblog", *declared} >= needed, script
        assert set(declared) <= needed, script


def _imported(source):
    """Modules of the library that a Python source imports, as paths without suffix."""
    dotted = set(re.findall(r"(?:from|import) hearing_asr\.([\w.]+)", source))
    plain = re.findall(r"from hearing_asr(?:\.(\w+))? import ([\w, ]+)", source)
    for package, names in plain:
        if package in ("", "plots", "report"):
            prefix = f"{package}." if package else ""
            dotted |= {prefix + name.strip() for name in names.split(",")}
    return {name.replace(".", "/") for name in dotted} - {"plots", "report"}
