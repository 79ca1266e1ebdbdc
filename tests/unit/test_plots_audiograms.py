"""The audiogram chart: its geometry, its grades, and the gain beside it."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from hearing_asr.audiograms import Audiogram
from hearing_asr.errors import InputError
from hearing_asr.plots import audiograms as plots

HFLOSS = {125: 10, 250: 25, 500: 40, 1000: 55, 2000: 70, 4000: 85, 8000: 100}
# As the configuration gives them: keys are text, and a variant may have other frequencies.
VARIANTS = {
    "hfloss": {str(frequency): threshold for frequency, threshold in HFLOSS.items()},
    "notch": {"1000": 5, "4000": 65.5, "6000": 30},
}


def audiograms(variants):
    return {name: Audiogram.from_config(points, name) for name, points in variants.items()}


def drawn(draw, variants):
    fig = Figure(figsize=(12, 8))
    ax = fig.subplots()
    draw(ax, audiograms(variants))
    fig.draw_without_rendering()
    return ax


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "jpg"])
def test_figure_and_table_repeat_byte_for_byte(tmp_path, suffix):
    for name in "ab":
        plots.plot_audiograms(
            VARIANTS, path=tmp_path / f"{name}.{suffix}", csv=tmp_path / f"{name}.csv", dpi=30
        )
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    table = pd.read_csv(tmp_path / "a.csv")
    assert table.columns.tolist() == ["variant", "frequency_hz", "threshold_db_hl", "gain_db"]
    assert table[table["variant"] == "notch"].to_numpy()[:, 1:].tolist() == [
        [1000, 5, -5],
        [4000, 65.5, -65.5],
        [6000, 30, -30],
    ]
    assert dict(table[table["variant"] == "hfloss"].to_numpy()[:, 1:3]) == HFLOSS


@pytest.mark.parametrize("figsize", [(12, 8), (16, 5), (5, 9)])
def test_an_octave_is_as_long_as_twenty_decibels(figsize):
    fig = Figure(figsize=figsize)
    ax = fig.subplots()
    plots.draw_chart(ax, audiograms(VARIANTS))
    fig.draw_without_rendering()
    pixels = ax.transData.transform([(1000, 40), (2000, 60)])
    octave, decibels = np.diff(pixels, axis=0)[0]
    assert octave > 0
    assert -decibels == pytest.approx(octave)  # downwards


def test_chart_reaches_from_minus_10_to_120_downwards():
    ax = drawn(plots.draw_chart, VARIANTS)
    assert ax.get_ylim() == (120, -10)
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        *("125", "250", "500", "1000", "2000", "4000", "8000")
    ]


def test_chart_grows_for_what_lies_outside():
    ax = drawn(plots.draw_chart, {"wide": {60: -15, 8000: 125}})
    assert ax.get_ylim() == (130, -20)
    assert ax.get_xlim()[0] < 60


def test_points_are_drawn_where_they_are():
    line = drawn(plots.draw_chart, VARIANTS).get_lines()[0]
    np.testing.assert_array_equal(line.get_xydata(), list(HFLOSS.items()))


def test_gain_is_linear_over_hz_and_constant_outside():
    line = drawn(plots.draw_gain, VARIANTS).get_lines()[2]  # curve and points of each variant
    gain = dict(line.get_xydata().tolist())
    assert gain[0.0] == gain[504.0] == -5
    assert gain[2504.0] == pytest.approx(-5 - (65.5 - 5) * 1504 / 3000)
    assert gain[6000.0] == gain[8000.0] == -30


@pytest.mark.parametrize(
    ("mean", "name"),
    [
        *((-10, "normal"), (19.9, "normal"), (20, "mild"), (34.9, "mild"), (35, "moderate")),
        *((49.9, "moderate"), (50, "moderately severe"), (64.9, "moderately severe")),
        *((65, "severe"), (79.9, "severe"), (80, "profound"), (94.9, "profound")),
        *((95, "complete"), (130, "complete")),
    ],
)
def test_grades_of_the_who(mean, name):
    """World Report on Hearing (2021), table 1.3."""
    assert plots.grade(mean) == name


def test_mean_threshold_is_that_of_four_frequencies():
    assert plots.mean_threshold(audiograms(VARIANTS)["hfloss"]) == (40 + 55 + 70 + 85) / 4


def test_legend_tells_mean_and_grade():
    ax = drawn(plots.draw_chart, VARIANTS)
    assert ax.get_legend_handles_labels()[1][0] == "hfloss (mean 62.5 dB HL, moderately severe)"


def test_markers_tell_variants_apart_that_coincide():
    lines = drawn(plots.draw_chart, dict.fromkeys("abcd", HFLOSS)).get_lines()
    assert len({line.get_marker() for line in lines}) == 4
    assert len({line.get_markersize() for line in lines}) == 4
    assert {line.get_markerfacecolor() for line in lines} == {"none"}


def test_a_wrong_audiogram_is_named(tmp_path):
    with pytest.raises(InputError, match=r"variants\.odd\.audiogram"):
        plots.plot_audiograms({"odd": {1000: "x"}}, path=tmp_path / "a.png", csv=tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())
