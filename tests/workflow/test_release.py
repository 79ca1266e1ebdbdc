"""A release of recorded human speech, from MP3 files to scores, with another hearing loss."""

import datasets
import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import Checkout

CONFIG = {
    "run": "digits",
    "corpus": {
        "source": "release",
        "splits": {
            "train": {"shards": 2, "max_clips": 100},
            "dev": {"shards": 1, "max_clips": 16},
            "test": {"shards": 1, "max_clips": 24},
        },
    },
    "variants": {
        "normal": None,
        "lfloss": None,
        "presbycusis": {
            "method": "gain_mask",
            "normalization": "none",
            "audiogram": {250: 15, 500: 20, 1000: 25, 2000: 40, 4000: 60, 8000: 75},
        },
    },
    "model": {"scratch": {"window": 5, "max_steps": 12, "warmup_steps": 2, "num_cpus": 1}},
    "training": {"max_steps": 6, "warmup_steps": 1, "save_steps": 3, "eval_steps": 3}
    | {"seeds": [42, 7], "mixed": True, "report_to": "none"},
    "evaluation": {"normalizer": "simple", "examples": 0},
    "plots": {"formats": ["svg"]},
}
VARIANTS = ["presbycusis", "hfloss"]


@pytest.fixture(scope="module")
def project(tmp_path_factory, digits):
    project = Checkout(tmp_path_factory.mktemp("digits"))
    config = CONFIG | {"corpus": CONFIG["corpus"] | {"release": str(digits)}}
    (project / "digits.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    project.snakemake("--profile", "profiles/local", "--configfile", "digits.yaml")
    return project


def test_every_chosen_clip_comes_through(project, digits):
    corpus = datasets.load_from_disk(project / "data/digits/corpus")
    assert {split: rows.num_rows for split, rows in corpus.items()} == {
        "train": 100,
        "dev": 16,
        "test": 24,
    }
    for split, rows in corpus.items():
        table = pd.read_csv(digits / f"{split}.tsv", sep="\t", dtype=str, keep_default_na=False)
        table = table.set_index("path").loc[rows["path"]].reset_index()
        for column in table.columns:
            assert list(rows[column]) == list(table[column])
        rejected = (project / f"data/digits/corpus/{split}/rejected.tsv").read_text()
        assert rejected == "path\treason\tdetail\n"


def test_durations_are_those_of_the_release(project, digits):
    listed = pd.read_csv(digits / "clip_durations.tsv", sep="\t", index_col="clip")["duration[ms]"]
    test = datasets.load_from_disk(project / "data/digits/corpus")["test"]
    for path, duration in zip(test["path"], test["duration"], strict=True):
        assert duration == pytest.approx(listed[path] / 1000, abs=0.002)


def test_both_variants_are_scored_by_every_model(project):
    scores = pd.read_csv(project / "results/digits/metrics/scores.csv", dtype={"seed": "Int64"})
    cells = set(zip(scores.model, scores.variant, scores.seed.fillna(0), strict=True))
    trained = {(model, seed) for model in (*VARIANTS, "mixed") for seed in (42, 7)}
    models = {("zero_shot", 0), *trained}
    assert cells == {(model, variant, seed) for model, seed in models for variant in VARIANTS}
    assert (scores.clips == 24).all()
    assert (scores.words == 3 * 24).all()


def test_seeds_are_different_trainings_and_are_averaged(project):
    results = project / "results/digits"
    weights = {
        (results / f"whisper_finetuned_{name}/model.safetensors").read_bytes()
        for name in ("hfloss", "hfloss-seed7", "mixed", "mixed-seed7")
    }
    assert len(weights) == 4
    scores = pd.read_csv(results / "metrics/scores.csv")
    of = scores[(scores.model == "hfloss") & (scores.variant == "hfloss")]
    intervals = pd.read_csv(results / "metrics/intervals.csv").set_index(["model", "variant"])
    row = intervals.loc[("hfloss", "hfloss")]
    assert row.seeds == 2
    assert row.wer == pytest.approx(of.wer.mean())
    assert (row.wer_seed_min, row.wer_seed_max) == pytest.approx((of.wer.min(), of.wer.max()))
    page = (results / "report.html").read_text()
    assert "trained with 2 seeds" in page
    assert "all variants, mixed" in page
    assert "No training log was kept" in page
    assert "<audio" not in page


def test_the_mixed_model_heard_every_variant(project):
    card = (project / "results/digits/whisper_finetuned_mixed/README.md").read_text()
    assert "speech of all variants, mixed" in card
    assert "| training | train | 200 |" in card  # both variants of 100 clips
    for variant in VARIANTS:
        assert f"The speech was let through `{variant}`" in card
    one = (project / "results/digits/whisper_finetuned_hfloss/README.md").read_text()
    assert "| training | train | 100 |" in one


def test_what_was_dropped_is_not_built(project):
    built = {path.name for path in (project / "data/digits").iterdir()}
    assert built == {"clips", "corpus", "model", "unmasked", *VARIANTS}


def test_a_level_that_is_kept_stays_below_the_original(project):
    masked = datasets.load_from_disk(project / "data/digits/presbycusis/audio")["test"]
    corpus = datasets.load_from_disk(project / "data/digits/corpus")["test"]
    for scale, original in zip(masked["scale"], corpus["scale"], strict=True):
        assert scale < original


def test_nothing_is_left_to_do(project):
    assert not project.planned("--configfile", "digits.yaml")
