"""The demo, run as a newcomer runs it: what it promises, what it leaves, what reruns afterwards."""

import os
import re

import datasets
import pandas as pd
import pytest
import yaml

VARIANTS = ["normal", "lfloss", "hfloss"]
MODELS = ["zero_shot", *VARIANTS]
CURVES = "loss_curves learning_rate gradient_norm word_error_rate training_overview".split()
DOWNSTREAM = {"features_shard", "features_gather", "finetune", "transcribe", "score", "compare"}


@pytest.fixture(scope="module")
def wer(demo):
    scores = pd.read_csv(demo / "results/demo/metrics/scores.csv")
    assert scores["seed"].dropna().unique().tolist() == [42]
    return scores.set_index(["model", "variant"])["wer"]


def test_the_outcome_is_the_one_promised(wer):
    assert wer["zero_shot", "normal"] < 0.15
    for loss in ("lfloss", "hfloss"):
        assert wer["zero_shot", loss] > wer["zero_shot", "normal"] + 0.2
        assert wer[loss, loss] < wer["zero_shot", loss] - 0.2


def test_scores_follow_from_the_predictions(demo, wer):
    for model in MODELS:
        for variant in VARIANTS:
            table = pd.read_parquet(demo / f"results/demo/predictions/{model}/{variant}.parquet")
            assert len(table) == 120
            errors = table.word_substitutions + table.word_deletions + table.word_insertions
            words = table.reference_normalized.str.split().str.len()
            assert wer[model, variant] == pytest.approx(errors.sum() / words.sum())
    matrix = pd.read_csv(demo / "results/demo/metrics/wer_matrix.csv", index_col=0)
    assert list(matrix.index) == MODELS
    assert list(matrix.columns) == VARIANTS


def test_variants_stay_paired_and_keep_all_columns(demo):
    corpus = datasets.load_from_disk(demo / "data/demo/corpus")
    for variant in VARIANTS:
        audio = datasets.load_from_disk(demo / f"data/demo/{variant}/audio")
        logmel = datasets.load_from_disk(demo / f"data/demo/{variant}/logmel")
        for split in ("train", "dev", "test"):
            assert audio[split].features == corpus[split].features
            for column in set(corpus[split].column_names) - {"audio", "scale"}:
                assert audio[split][column] == corpus[split][column]
        assert logmel["test"]["path"] == corpus["test"]["path"]
        assert logmel["train"]["path"] != corpus["train"]["path"]  # shuffled, the same way in all
        assert sorted(logmel["train"]["path"]) == sorted(corpus["train"]["path"])
        reference = datasets.load_from_disk(demo / "data/demo/normal/logmel")
        assert logmel["train"]["path"] == reference["train"]["path"]
        assert logmel["train"]["labels"] == reference["train"]["labels"]


def test_splits_are_disjoint_by_speaker_and_sentence(demo):
    corpus = datasets.load_from_disk(demo / "data/demo/corpus")
    for column in ("client_id", "sentence", "path"):
        sets = [set(corpus[split][column]) for split in ("train", "dev", "test")]
        assert not sets[0] & sets[1]
        assert not sets[0] & sets[2]
        assert not sets[1] & sets[2]


def test_a_model_folder_has_everything(demo):
    for variant in VARIANTS:
        folder = demo / f"results/demo/whisper_finetuned_{variant}"
        names = {path.name for path in folder.iterdir()}
        assert {"README.md", "config.json", "model.safetensors", "runs", "tensorboard"} <= names
        assert any(re.fullmatch(r"checkpoint-\d+", name) for name in names)
        card = (folder / "README.md").read_text()
        assert variant in card
        assert "learning" in card
        curves = {path.name for path in (folder / "tensorboard").iterdir()}
        assert curves == {
            *(f"{name}.{suffix}" for name in CURVES for suffix in ("png", "pdf")),
            "training_summary.txt",
            "csv_data",
        }


def test_snakemakes_own_report_holds_figures_tables_and_captions(demo):
    demo.snakemake("--report", "workflow.html")
    report = (demo / "workflow.html").read_text()
    for text in ("wer_matrix", "audiograms", "training_overview", "Word error rates", "Training"):
        assert text in report


def test_results_of_the_report_have_one_label(demo):
    """A second label that splits a category in halves makes the report's page fail."""
    rules = "".join(path.read_text() for path in (demo / "workflow/rules").glob("*.smk"))
    labels = re.findall(r"labels=(\{[^}]*\})", rules)
    assert len(labels) > 5
    assert all(label.count('":') == 1 for label in labels)


def test_nothing_of_this_machine_is_kept(demo):
    kept = [*(demo / "results").rglob("*.md"), *(demo / "results").rglob("*.csv")]
    kept += (demo / "results").rglob("*.json")
    for path in kept:
        assert str(demo.folder) not in path.read_text(), path


def test_nothing_is_left_to_do(demo):
    assert not demo.planned()
    for target in ("hfloss", "corpus", "evaluation"):
        assert not set(demo.planned(target)) - {target}


LAST = ("plot_usage", "write_report")  # what sums up all others
TOUCHED = [
    "Snakefile",
    "config/config.yaml",
    "workflow/rules/masking.smk",
    "workflow/scripts/masking_shard.py",
    "workflow/scripts/finetune.py",
    "workflow/lib/hearing_asr/masking.py",
    "workflow/lib/hearing_asr/corpus.py",
    "workflow/lib/hearing_asr/scoring.py",
]


def test_touching_files_reruns_nothing(demo):
    for name in TOUCHED:
        os.utime(demo / name)
    assert not demo.planned()


@pytest.fixture
def edited(demo):
    """Append a line to a file of the project; undone after the test."""
    undo = {}

    def edit(name, line="\n# edited\n"):
        path = demo / name
        undo[path] = path.read_bytes()
        path.write_bytes(undo[path] + line.encode())

    yield edit
    for path, content in undo.items():
        path.write_bytes(content)


def test_editing_the_masking_reruns_masking_and_what_follows(demo, edited):
    edited("workflow/lib/hearing_asr/masking.py")
    planned = demo.planned()
    assert planned["masking_shard"] == 12
    assert set(planned) >= DOWNSTREAM
    assert planned["features_shard"] == 12  # not those of unmasked speech
    assert not {"demo_release", "corpus_shard", "scratch_model", "pretrain"} & set(planned)


def test_editing_a_plot_reruns_the_plot(demo, edited):
    edited("workflow/lib/hearing_asr/plots/audiograms.py")
    assert set(demo.planned()) == {"all", "plot_audiograms", *LAST}


def test_editing_a_script_reruns_its_rule(demo, edited):
    edited("workflow/scripts/plot_scores.py")
    assert set(demo.planned()) == {"all", "plot_scores", *LAST}


def test_editing_the_scoring_reruns_no_audio(demo, edited):
    edited("workflow/lib/hearing_asr/scoring.py")
    audio = {"corpus_shard", "masking_shard", "features_shard"}
    assert not audio & set(demo.planned())


def overlay(demo, content):
    path = demo / "overlay.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return ["--configfile", "overlay.yaml"]


def changed(demo, content):
    """Paths of the outputs that a dry run with an overlay would build."""
    output = demo.snakemake("-n", *overlay(demo, content)).stdout
    return " ".join(re.findall(r"^ +output: (.*)$", output, re.MULTILINE))


def variant(audiogram):
    return {"method": "gain_mask", "normalization": "peak", "audiogram": audiogram}


def test_changing_one_audiogram_touches_that_variant_alone(demo):
    outputs = changed(demo, {"variants": {"hfloss": variant({125: 0, 8000: 60})}})
    assert "data/demo/hfloss/audio/test/data-00000-of-00001.arrow" in outputs
    assert "whisper_finetuned_hfloss/model.safetensors" in outputs
    for other in ("normal", "lfloss"):
        assert f"data/demo/{other}/" not in outputs
        assert f"whisper_finetuned_{other}/" not in outputs
        assert f"predictions/{other}/{other}.parquet" not in outputs
    assert "data/demo/corpus" not in outputs


def test_a_new_hearing_loss_builds_what_it_needs(demo):
    outputs = changed(demo, {"variants": {"notch": variant({1000: 0, 4000: 60, 8000: 20})}})
    assert "data/demo/notch/logmel/train/data-00000-of-00002.arrow" in outputs
    assert "whisper_finetuned_notch/model.safetensors" in outputs
    for other in VARIANTS:
        assert f"data/demo/{other}/" not in outputs
        assert f"whisper_finetuned_{other}/" not in outputs
        assert f"predictions/{other}/notch.parquet" in outputs
        assert f"predictions/{other}/{other}.parquet" not in outputs


def test_changing_a_training_key_reruns_the_training(demo):
    planned = demo.planned(*overlay(demo, {"training": {"learning_rate": 5.0e-4}}))
    assert planned["finetune"] == 3
    assert planned["pretrain"] == 0  # it has a learning rate of its own
    assert planned["features_shard"] == 0
    planned = demo.planned(*overlay(demo, {"model": {"scratch": {"max_steps": 700}}}))
    assert planned["pretrain"] == 1


def test_how_a_training_runs_is_no_reason_to_run_it_again(demo):
    keys = {"num_cpus": 2, "dataloader_workers": 1, "save_steps": 50, "resume": False}
    content = {"training": keys, "corpus": {"max_rejected": 0.5}}
    planned = demo.planned(*overlay(demo, content))
    assert set(planned) == {"all", "write_report"}  # which tells the configuration


def test_another_normalizer_scores_what_was_transcribed(demo):
    planned = demo.planned(*overlay(demo, {"evaluation": {"normalizer": "simple"}}))
    assert planned["score_clips"] == 12
    assert planned["score"] == planned["compare"] == planned["words"] == 1
    assert not {"transcribe", "finetune", "features_shard", "information"} & set(planned)


def test_other_draws_change_what_is_drawn_alone(demo):
    planned = demo.planned(*overlay(demo, {"evaluation": {"seed": 7, "replicates": 500}}))
    drawn = {"compare", "groups", "phonemes"}
    drawings = {"plot_scores", "plot_groups", "plot_phonemes", "plot_information"}
    assert set(planned) == {"all", *drawn, *drawings, *LAST}


def test_a_further_seed_trains_and_transcribes_its_models_alone(demo):
    planned = demo.planned(*overlay(demo, {"training": {"seeds": [42, 43]}}))
    assert planned["finetune"] == 3
    assert planned["transcribe"] == planned["score_clips"] == 9
    assert not {"features_shard", "pretrain"} & set(planned)


def test_more_test_clips_leave_the_models_alone(demo):
    planned = demo.planned(*overlay(demo, {"corpus": {"splits": {"test": {"max_clips": 100}}}}))
    assert planned["transcribe"] == 12
    assert not {"finetune", "pretrain"} & set(planned)


def test_another_format_draws_every_figure_again(demo):
    planned = demo.planned(*overlay(demo, {"plots": {"formats": ["svg"]}}))
    assert planned == {
        "all": 1,
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


def test_a_shard_that_was_deleted_is_made_again_by_its_stage(demo):
    shard = demo / "data/demo/hfloss/audio/dev/data-00000-of-00001.arrow"
    kept = shard.rename(shard.with_suffix(".kept"))
    try:
        assert demo.planned("masking")["masking_shard"] == 1
    finally:
        kept.rename(shard)


def test_features_made_again_have_another_state(demo):
    """Training takes the state as input, so stages run one by one end where one run ends."""
    changed = overlay(demo, {"run": "steps", "corpus": {"demo": {"clips": SMALL}}})
    demo.snakemake("data/steps/unmasked/logmel/train/state.json", "--cores", "2", *changed)
    state = demo / "data/steps/unmasked/logmel/train/state.json"
    before = state.read_text()
    changed = overlay(
        demo,
        {
            "run": "steps",
            "corpus": {"demo": {"clips": SMALL}},
            "features": {"shuffle_seed": 7},
        },
    )
    demo.snakemake("data/steps/unmasked/logmel/train/state.json", "--cores", "2", *changed)
    assert state.read_text() != before


SMALL = {"train": 20, "dev": 4, "test": 4}
