"""Heat map and bars: what is written in the cells is what the table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hearing_asr.errors import InputError
from hearing_asr.plots import scores as plots
from hearing_asr.plots.style import BASELINE, series_style

RNG = np.random.default_rng(3)


COLUMNS = ("model", "variant", "wer", "wer_low", "wer_high")


def score_rows(variants, models=None):
    models = models or [*variants, "zero_shot"]  # the order of the file is not that of the figure
    return [
        around(model, variant, RNG.uniform(0.1, 1.4)) for model in models for variant in variants
    ]


def around(model, variant, wer):
    return model, variant, wer, wer - 0.02, wer + 0.07


def write(path, rows, columns=COLUMNS):
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)
    return path


def cells(fig):
    """(row, column) -> text of a heat map."""
    return {place: text for place, text in placed(fig) if " to " not in text.get_text()}


def ends(fig):
    """(row, column) -> text of the interval in a heat map."""
    return {place: text.get_text() for place, text in placed(fig) if " to " in text.get_text()}


def placed(fig):
    for text in fig.axes[0].texts:
        column, row = getattr(text, "xy", text.get_position())
        yield (row, column), text


def outlines(fig):
    return {
        (patch.get_y() + 0.5, patch.get_x() + 0.5)
        for patch in fig.axes[0].patches
        if isinstance(patch, Rectangle)
    }


def draw(rows, tmp_path):
    matrices = plots.read_matrices(write(tmp_path / "scores.csv", rows))
    fig = Figure(figsize=(12, 8))
    plots.draw_matrix(fig, *matrices)
    return fig, matrices


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "jpg"])
def test_figures_repeat_byte_for_byte(tmp_path, suffix):
    scores = write(tmp_path / "scores.csv", score_rows(["normal", "lfloss"]))
    for name in "xy":
        plots.plot_scores(
            scores,
            matrix=tmp_path / f"matrix_{name}.{suffix}",
            bars=tmp_path / f"bars_{name}.{suffix}",
            dpi=30,
        )
    for kind in ("matrix", "bars"):
        first, second = (tmp_path / f"{kind}_{name}.{suffix}" for name in "xy")
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("count", [1, 3, 12])
def test_annotations_are_the_values_of_the_table(tmp_path, count):
    variants = [f"v{index}" for index in range(count)]
    rows = score_rows(variants)
    fig, _ = draw(rows, tmp_path)
    wer = {(model, variant): value for model, variant, value, *_ in rows}
    texts = cells(fig)
    assert len(texts) == (count + 1) * count
    for (row, column), text in texts.items():
        model = ["zero_shot", *variants][row]
        assert text.get_text() == f"{100 * wer[model, variants[column]]:.1f}"
        assert (text.get_fontweight() == "bold") == (model == variants[column])
        value = 100 * wer[model, variants[column]]
        assert ends(fig)[row, column] == f"{value - 2:.1f} to {value + 7:.1f}"
    assert outlines(fig) == {(index + 1, index) for index in range(count)}
    ticks = [label.get_text() for label in fig.axes[0].get_yticklabels()]
    assert ticks == ["zero-shot", *variants]


def test_a_missing_pair_stays_empty(tmp_path):
    nothing = (np.nan, np.nan, np.nan)
    rows = [around("zero_shot", "a", 0.5), ("zero_shot", "b", *nothing), around("b", "a", 0.25)]
    fig, matrices = draw(rows, tmp_path)
    texts = {place: text.get_text() for place, text in cells(fig).items()}
    assert texts == {(0, 0): "50.0", (0, 1): "–", (1, 0): "25.0", (1, 1): "–"}
    ax = Figure().subplots()
    plots.draw_bars(ax, *matrices)
    assert sorted(text.get_text() for text in ax.texts) == ["", "", "25.0", "50.0"]
    assert set(ends(fig)) == {(0, 0), (1, 0)}


@pytest.mark.parametrize(
    ("largest", "top", "extend"),
    [(0.0, 10, "neither"), (0.034, 10, "neither"), (0.34, 40, "neither"), (1.0, 100, "neither"),
     (3.5, 100, "max")],
)  # fmt: skip
def test_colours_end_at_100_percent_at_the_latest(largest, top, extend):
    scale, extends = plots._scale(100 * np.array([[0.0, largest]]))
    assert (scale.vmin, scale.vmax, extends) == (0, top, extend)


def contrast(one, other):
    """Contrast ratio after WCAG 2.2."""

    def luminance(color):
        parts = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in to_rgb(color)
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_text_has_the_better_contrast_everywhere(tmp_path):
    variants = [f"v{index}" for index in range(11)]
    rows = [around("zero_shot", variant, index / 10) for index, variant in enumerate(variants)]
    fig, _ = draw(rows, tmp_path)
    image = fig.axes[0].get_images()[0]
    for (row, column), text in cells(fig).items():
        background = to_hex(image.cmap(image.norm(100 * rows[column][2])))
        other = "white" if text.get_color() == "black" else "black"
        assert contrast(text.get_color(), background) >= contrast(other, background), (row, column)
        assert contrast(text.get_color(), background) > 4.5
    assert {text.get_color() for text in cells(fig).values()} == {"black", "white"}


def test_dark_is_many_errors_also_in_grey():
    colors = plots.matplotlib.colormaps[plots.COLOR_MAP](np.linspace(0, 1, 20))
    grey = [contrast(color[:3], "black") for color in colors]
    assert grey == sorted(grey, reverse=True)


def test_models_come_zero_shot_first_then_in_the_order_of_variants(tmp_path):
    rows = score_rows(["c", "a"], models=["extra", "mixed", "a", "c", "zero_shot"])
    table, *_ = plots.read_matrices(write(tmp_path / "s.csv", rows))
    assert list(table.index) == ["zero_shot", "c", "a", "mixed", "extra"]
    assert list(table.columns) == ["c", "a"]


@pytest.mark.parametrize("names", [("null", "NA"), ("1", "01")])
def test_names_that_look_like_something_else_stay_names(tmp_path, names):
    rows = [around(model, variant, 0.2) for model in names for variant in names]
    table, *_ = plots.read_matrices(write(tmp_path / "s.csv", rows))
    assert tuple(table.index) == tuple(table.columns) == names


def test_bars_have_the_heights_and_colours_of_their_models(tmp_path):
    rows = score_rows(["a", "b", "c"])
    matrices = plots.read_matrices(write(tmp_path / "s.csv", rows))
    ax = Figure().subplots()
    plots.draw_bars(ax, *matrices)
    drawn = [bars for bars in ax.containers if isinstance(bars, BarContainer)]
    heights = {bars.get_label(): [bar.get_height() for bar in bars] for bars in drawn}
    for bars in drawn:
        (whiskers,) = bars.errorbar.lines[2]
        for bar, segment in zip(bars, whiskers.get_segments(), strict=True):
            low, high = segment[:, 1] - bar.get_height()
            assert (low, high) == pytest.approx((-2, 7))
    assert list(heights) == ["zero-shot", "trained on a", "trained on b", "trained on c"]
    for model, variant, wer, *_ in rows:
        label = "zero-shot" if model == "zero_shot" else f"trained on {model}"
        assert heights[label]["abc".index(variant)] == pytest.approx(100 * wer)
    colors = [to_hex(bars[0].get_facecolor()) for bars in drawn]
    expected = [BASELINE, *(series_style(index)["color"] for index in range(3))]
    assert colors == [color.lower() for color in expected]
    centres = np.array([[bar.get_x() + bar.get_width() / 2 for bar in bars] for bars in drawn])
    np.testing.assert_allclose(centres.mean(axis=0), [0, 1, 2], atol=1e-9)


@pytest.mark.parametrize("count", [1, 12])
def test_long_names_do_not_run_into_each_other(tmp_path, count):
    names = [f"a_rather_long_name_{index}" for index in range(count)]
    fig, _ = draw(score_rows(names), tmp_path)
    labels = fig.axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} == {0 if count == 1 else 30}


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([("a", 1, 1, 1)], COLUMNS[:1] + COLUMNS[2:], "columns missing: variant"),
        ([], COLUMNS, "no rows"),
        ([around("a", "b", 1), around("a", "b", 2)], COLUMNS, "a on variant b .* twice"),
        ([("a", "b", "x", 1, 1)], COLUMNS, "not a readable table"),
    ],
)
def test_wrong_tables_are_named(tmp_path, rows, columns, message):
    scores = write(tmp_path / "scores.csv", rows, columns)
    with pytest.raises(InputError, match=f"scores.csv: .*{message}"):
        plots.plot_scores(scores, matrix=tmp_path / "m.png", bars=tmp_path / "b.png")
    with pytest.raises(InputError, match="absent.csv: not a readable table"):
        plots.read_matrices(tmp_path / "absent.csv")
