"""Confidence against errors: bins and figures that can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from hearing_asr.calibration import BINS, bin_table, write_calibration
from tests.unit.predicted import predictions


def written(tmp_path, references, hypotheses, logprobs):
    path = predictions(tmp_path / "p", references, hypotheses, mean_logprob=logprobs)
    outputs = tmp_path / "bins.csv", tmp_path / "summary.csv"
    write_calibration({("m", "v"): path}, *outputs)
    return [pd.read_csv(output) for output in outputs]


def test_bins_hold_as_many_clips_each_from_unsure_to_sure():
    rng = np.random.default_rng(1)
    clips = pd.DataFrame({"confidence": rng.random(103), "words": 4, "errors": 1})
    bins = bin_table(clips)
    assert len(bins) == BINS
    assert bins["clips"].sum() == 103
    assert set(bins["clips"]) == {10, 11}
    assert bins["confidence"].is_monotonic_increasing
    assert bins["wer"].tolist() == [0.25] * BINS


def test_a_calibrated_model_has_no_error(tmp_path):
    """Half the clips at 100 % and right, half at 50 % with half the words wrong."""
    references = ["one two"] * 20
    hypotheses = ["one two"] * 10 + ["one x"] * 10
    logprobs = [0.0] * 10 + [np.log(0.5)] * 10
    bins, summary = written(tmp_path, references, hypotheses, logprobs)
    assert bins["wer"].tolist() == pytest.approx([0.5] * 5 + [0.0] * 5)
    assert bins["confidence"].tolist() == pytest.approx([0.5] * 5 + [1.0] * 5)
    (row,) = summary.to_dict("records")
    assert row["calibration_error"] == pytest.approx(0, abs=1e-6)
    assert row["rank_correlation"] == pytest.approx(-1)
    assert row["confidence"] == pytest.approx(0.75)
    assert row["wer"] == pytest.approx(0.25)


def test_a_model_that_is_sure_and_wrong(tmp_path):
    bins, summary = written(tmp_path, ["one two"] * 4, ["x y z q"] * 4, [np.log(0.9)] * 4)
    assert len(bins) == 4
    assert bins["wer"].tolist() == [2.0] * 4
    assert summary["calibration_error"][0] == pytest.approx(0.9)  # wrong at most once per word
    assert np.isnan(summary["rank_correlation"][0])


def test_large_bins_weigh_more(tmp_path):
    """Eleven clips in ten bins: the first has two, and they alone are not calibrated."""
    hypotheses = ["x y"] * 2 + ["one two"] * 9
    logprobs = [np.log(0.5)] * 2 + [0.0] * 9
    bins, summary = written(tmp_path, ["one two"] * 11, hypotheses, logprobs)
    assert bins["clips"].tolist() == [2] + [1] * 9
    assert summary["calibration_error"][0] == pytest.approx(0.5 * 2 / 11)


def test_empty_references_are_left_out(tmp_path):
    _, summary = written(tmp_path, ["one", "..."], ["one", "x"], [np.log(0.5), 0.0])
    assert summary["clips"][0] == 1
    assert summary["confidence"][0] == pytest.approx(0.5)
