"""Comparisons of cells: what is compared with what, and the figures against plain NumPy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hearing_asr.cells import load_cells
from hearing_asr.comparisons import (
    comparison_table,
    effect_table,
    family,
    interval_table,
    write_comparisons,
)
from hearing_asr.significance import holm
from hearing_asr.uncertainty import Draws
from tests.unit.predicted import predictions

DRAWS = Draws(replicates=2000, seed=1)
CLIPS, SPEAKERS = 90, 15
ERROR_RATES = {
    ("zero_shot", "normal"): 0.1,
    ("zero_shot", "hfloss"): 0.7,
    ("normal", "normal"): 0.08,
    ("normal", "hfloss"): 0.65,
    ("hfloss", "normal"): 0.3,
    ("hfloss", "hfloss"): 0.2,
    ("mixed", "normal"): 0.12,
    ("mixed", "hfloss"): 0.25,
}
REFERENCE = [" ".join(f"w{clip}x{place}" for place in range(3 + clip % 4)) for clip in range(CLIPS)]
WORDS = np.array([len(text.split()) for text in REFERENCE])
SPEAKER = [f"s{clip % SPEAKERS}" for clip in range(CLIPS)]


def heard(rate: float, seed: int) -> list[str]:
    """The sentences with words replaced at random."""
    rng = np.random.default_rng(seed)
    return [
        " ".join("wrong" if rng.random() < rate else word for word in text.split())
        for text in REFERENCE
    ]


def write(folder, rates, speakers=SPEAKER, seeds=(1,)):
    files = {}
    for place, ((model, variant), rate) in enumerate(rates.items()):
        for seed in (None,) if model == "zero_shot" else seeds:
            path = folder / f"{model}-{variant}-{seed}.parquet"
            texts = heard(rate, 100 * place + (seed or 0))
            files[model, variant, seed] = predictions(path, REFERENCE, texts, speakers)
    return files


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    return load_cells(write(tmp_path_factory.mktemp("cells"), ERROR_RATES))


def rate(cells, *cell):
    return cells.errors[:, cells.index(cell)].sum() / WORDS.sum()


def test_what_is_compared_with_what(cells):
    made = {}
    for kind, one, other in family(cells, "normal"):
        made.setdefault(kind, []).append((one, other))
    assert made["loss"] == [(("zero_shot", "hfloss"), ("zero_shot", "normal"))]
    assert made["remaining"] == [(("hfloss", "hfloss"), ("normal", "normal"))]
    models = ("normal", "hfloss", "mixed")
    assert made["zero-shot"] == [
        ((model, variant), ("zero_shot", variant))
        for model in models
        for variant in ("normal", "hfloss")
    ]
    assert made["matched"] == [
        (("normal", "hfloss"), ("hfloss", "hfloss")),
        (("hfloss", "normal"), ("normal", "normal")),
        (("mixed", "normal"), ("normal", "normal")),
        (("mixed", "hfloss"), ("hfloss", "hfloss")),
    ]


def test_intervals_hold_every_rate(cells):
    table = interval_table(cells, DRAWS)
    assert list(zip(table["model"], table["variant"], strict=True)) == list(ERROR_RATES)
    for name in ("wer", "mer", "wil", "cer", "ser", "raw_wer", "raw_cer"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
    for row in table.itertuples():
        assert row.wer == pytest.approx(rate(cells, row.model, row.variant))
        assert row.wer_low_utterances < row.wer < row.wer_high_utterances
        error = np.sqrt(row.wer * (1 - row.wer) / WORDS.sum())  # words are independent here
        assert row.wer_high - row.wer_low == pytest.approx(2 * 1.96 * error, rel=0.45)
    assert set(table["resampled"]) == {"speakers"}
    assert set(table["speakers"]) == {SPEAKERS}
    assert table["wer_seed_sd"].isna().all()


def test_differences_and_their_tests(cells):
    table = comparison_table(cells, "normal", DRAWS)
    assert len(table) == len(family(cells, "normal"))
    speaker = np.array([int(name[1:]) for name in SPEAKER])
    for row in table.itertuples():
        one = cells.errors[:, cells.index((row.model, row.variant))]
        other = cells.errors[:, cells.index((row.other_model, row.other_variant))]
        assert row.difference == pytest.approx((one - other).sum() / WORDS.sum())
        assert row.low < row.difference < row.high
        assert row.mapsswe == pytest.approx(stats.ttest_rel(one, other).statistic)
        by_speaker = np.bincount(speaker, one - other)
        reference = stats.permutation_test(
            (by_speaker, np.zeros(SPEAKERS)),
            lambda x, y, axis: (x - y).sum(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=4000,
            random_state=np.random.default_rng(3),
        ).pvalue
        assert row.p_permutation == pytest.approx(reference, abs=0.04)
    assert table["p_permutation_holm"].to_numpy() == pytest.approx(holm(table["p_permutation"]))
    assert table["p_mapsswe_holm"].to_numpy() == pytest.approx(holm(table["p_mapsswe"]))
    table = table.set_index(["comparison", "model", "variant"])
    assert table.loc[("zero-shot", "hfloss", "hfloss"), "probability_of_improvement"] == 1.0
    assert table.loc[("loss", "zero_shot", "hfloss"), "probability_of_improvement"] == 0.0
    close = table.loc[("zero-shot", "normal", "normal"), "probability_of_improvement"]
    assert 0.02 < close < 0.99


def test_effects_are_the_differences_that_they_are_named_for(cells):
    (row,) = effect_table(cells, "normal", DRAWS).to_dict("records")
    wer = {cell: rate(cells, *cell) for cell in ERROR_RATES}
    acute, healthy = wer["zero_shot", "hfloss"], wer["zero_shot", "normal"]
    matched, trained = wer["hfloss", "hfloss"], wer["normal", "normal"]
    assert (row["variant"], row["reference"]) == ("hfloss", "normal")
    assert row["loss"] == pytest.approx(acute - healthy)
    assert row["recovery"] == pytest.approx(acute - matched)
    assert row["remaining"] == pytest.approx(matched - trained)
    assert row["recovered"] == pytest.approx((acute - matched) / (acute - healthy))
    for effect in ("loss", "recovery", "remaining", "recovered"):
        assert row[f"{effect}_low"] < row[effect] < row[f"{effect}_high"]
    compared = comparison_table(cells, "normal", DRAWS).set_index(["comparison", "variant"])
    assert row["loss_low"] == pytest.approx(compared.loc[("loss", "hfloss"), "low"], abs=2e-3)


def test_no_share_is_formed_of_no_loss(tmp_path):
    same = dict.fromkeys(ERROR_RATES, 0.2)
    files = write(tmp_path, same)
    for model in ("zero_shot", "hfloss"):
        seed = None if model == "zero_shot" else 1
        files[model, "hfloss", seed] = files[model, "normal", seed]
    (row,) = effect_table(load_cells(files), "normal", DRAWS).to_dict("records")
    assert row["loss"] == 0.0
    assert np.isnan(row["recovered"])
    assert np.isnan(row["recovered_low"])


def test_no_share_is_formed_of_a_loss_that_may_be_none(tmp_path):
    rates = ERROR_RATES | {("zero_shot", "hfloss"): 0.16}
    (row,) = effect_table(load_cells(write(tmp_path, rates)), "normal", DRAWS).to_dict("records")
    assert row["loss"] > 0.01 > row["loss_low"]
    assert np.isnan([row["recovered"], row["recovered_low"], row["recovered_high"]]).all()


def test_a_variant_without_a_model_leaves_gaps(tmp_path):
    rates = {cell: rate for cell, rate in ERROR_RATES.items() if cell[0] != "hfloss"}
    cells = load_cells(write(tmp_path, rates))
    kinds = {kind for kind, _, _ in family(cells, "normal")}
    assert kinds == {"loss", "zero-shot", "matched"}
    (row,) = effect_table(cells, "normal", DRAWS).to_dict("records")
    assert row["loss"] > 0
    assert np.isnan([row["recovery"], row["recovered"], row["remaining"]]).all()


def test_one_variant_alone_has_nothing_to_compare(tmp_path):
    cells = load_cells(write(tmp_path, {("zero_shot", "normal"): 0.2}))
    assert len(comparison_table(cells, "normal", DRAWS)) == 0
    assert len(effect_table(cells, "normal", DRAWS)) == 0
    assert len(interval_table(cells, DRAWS)) == 1


def test_one_speaker_is_resampled_by_utterance(tmp_path):
    cells = load_cells(write(tmp_path, ERROR_RATES, speakers="alone"))
    table = interval_table(cells, DRAWS)
    assert set(table["resampled"]) == {"utterances"}
    assert table["wer_low"].tolist() == pytest.approx(table["wer_low_utterances"].tolist())
    assert (comparison_table(cells, "normal", DRAWS)["p_permutation"] < 1).any()


def test_several_seeds_are_averaged_and_their_spread_is_told(tmp_path):
    cells = load_cells(write(tmp_path, ERROR_RATES, seeds=(1, 2, 3)))
    table = interval_table(cells, DRAWS).set_index(["model", "variant"])
    row = table.loc[("hfloss", "hfloss")]
    each = []
    for seed in (1, 2, 3):
        totals = cells.by_seed["hfloss", "hfloss", seed]
        each.append(totals[1:4].sum() / WORDS.sum())
    assert row["seeds"] == 3
    assert row["wer"] == pytest.approx(np.mean(each))
    assert (row["wer_seed_min"], row["wer_seed_max"]) == (min(each), max(each))
    assert row["wer_seed_sd"] == pytest.approx(np.std(each, ddof=1))
    assert np.isnan(table.loc[("zero_shot", "normal"), "wer_seed_sd"])


def test_written_tables_repeat(tmp_path):
    files = write(tmp_path, ERROR_RATES)
    for name in "ab":
        paths = [tmp_path / name / f"{table}.csv" for table in ("i", "c", "e")]
        write_comparisons(files, "normal", DRAWS, *paths)
    for table in ("i", "c", "e"):
        first, second = (tmp_path / name / f"{table}.csv" for name in "ab")
        assert first.read_bytes() == second.read_bytes()
        assert len(pd.read_csv(first)) > 0
