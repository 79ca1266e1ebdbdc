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
    "training": {"max_steps": 6, "warmup_steps": 1, "save_steps": 3, "eval_steps": 3},
    "evaluation": {"normalizer": "simple"},
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
    scores = pd.read_csv(project / "results/digits/metrics/scores.csv")
    cells = set(zip(scores.model, scores.variant, strict=True))
    models = ["zero_shot", *VARIANTS]
    assert cells == {(model, variant) for model in models for variant in VARIANTS}
    assert (scores.clips == 24).all()
    assert (scores.words == 3 * 24).all()


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
