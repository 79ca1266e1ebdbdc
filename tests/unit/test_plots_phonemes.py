"""Figures of phonemes: what is drawn and written is what the tables say."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from hearing_asr.errors import InputError
from hearing_asr.phonemes import PHONEME_CLASSES, PHONEMES
from hearing_asr.plots import phonemes as plots
from hearing_asr.plots.style import BASELINE, series_style

RNG = np.random.default_rng(8)


def class_table(variants, models=None):
    rows = []
    for model in models or ["zero_shot", *variants]:
        for variant in variants:
            for name in PHONEME_CLASSES:
                low, rate, high = np.sort(RNG.uniform(0, 1, 3))
                rows.append((model, variant, name, rate, low, high))
    return pd.DataFrame(rows, columns=list(plots.CLASS_COLUMNS))


def phoneme_table(variants, models=("zero_shot", "other")):
    rows = [
        (model, variant, phoneme, name, RNG.uniform())
        for model in models
        for variant in variants
        for name, members in PHONEME_CLASSES.items()
        for phoneme in members
    ]
    return pd.DataFrame(rows, columns=list(plots.PHONEME_COLUMNS))


def write(path, table):
    table.to_csv(path, index=False)
    return path


def drawn_classes(tmp_path, table):
    path = write(tmp_path / "classes.csv", table)
    fig = Figure(figsize=(12, 8), layout="constrained")
    plots.draw_classes(fig, plots.read_rates(path, plots.CLASS_COLUMNS))
    return fig


def drawn_losses(tmp_path, table):
    path = write(tmp_path / "phonemes.csv", table)
    losses, groups = plots.loss_table(plots.read_rates(path, plots.PHONEME_COLUMNS))
    fig = Figure(figsize=(12, 8), layout="constrained")
    plots.draw_losses(fig, losses, groups)
    return fig


def panels(fig):
    return [ax for ax in fig.axes if ax.get_images()]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_figures_repeat_byte_for_byte(tmp_path, suffix):
    classes = write(tmp_path / "c.csv", class_table(["normal", "cost$5", "x$y"]))
    phonemes = write(tmp_path / "p.csv", phoneme_table(["normal", "cost$5", "x$y"]))
    for name in "xy":
        plots.plot_phonemes(
            classes,
            phonemes,
            classes=tmp_path / f"classes_{name}.{suffix}",
            phonemes=tmp_path / f"phonemes_{name}.{suffix}",
            dpi=30,
        )
    for kind in ("classes", "phonemes"):
        first, second = (tmp_path / f"{kind}_{name}.{suffix}" for name in "xy")
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_points_and_intervals_are_those_of_the_table(tmp_path, count):
    variants = [f"v{index}" for index in range(count)]
    table = class_table(variants)
    fig = drawn_classes(tmp_path, table)
    assert [ax.get_title() for ax in fig.axes] == variants
    rates = 100 * table.set_index("class")[["error_rate", "low", "high"]]
    for index, (ax, variant) in enumerate(zip(fig.axes, variants, strict=True)):
        zero_shot, trained = ax.lines
        colors = [BASELINE, series_style(index)["color"]]
        for line, bars, model, color in zip(
            ax.lines, ax.collections, ["zero_shot", variant], colors, strict=True
        ):
            rows = (table["model"] == model) & (table["variant"] == variant)
            expected = rates[rows.to_numpy()]
            np.testing.assert_allclose(line.get_ydata(), expected["error_rate"])
            ends = np.array([segment[:, 1] for segment in bars.get_segments()])
            np.testing.assert_allclose(ends, expected[["low", "high"]])
            assert to_hex(line.get_color()) == to_hex(bars.get_color()[0]) == color.lower()
        assert zero_shot.get_label() == "zero-shot"
        assert trained.get_label() == f"trained on {variant}"
        assert zero_shot.get_markerfacecolor() == "white"  # told apart in grey as well
        assert (zero_shot.get_xdata() < trained.get_xdata()).all()
        assert ax.get_ylim() == fig.axes[0].get_ylim()
        assert ax.get_ylim()[0] == 0
    names = [text.get_text() for text in fig.legends[0].get_texts()]
    assert names == ["zero-shot", *(f"trained on {name}" for name in variants)]


@pytest.mark.parametrize(("count", "labelled"), [(3, {2}), (5, {3, 4}), (6, {4, 5})])
def test_classes_are_named_below_the_lowest_panels(tmp_path, count, labelled):
    fig = drawn_classes(tmp_path, class_table([f"v{index}" for index in range(count)]))
    fig.draw_without_rendering()
    shown = {
        index
        for index, ax in enumerate(fig.axes)
        if any(tick.label1.get_visible() for tick in ax.xaxis.get_major_ticks())
    }
    assert shown == labelled
    names = [label.get_text() for label in fig.axes[count - 1].get_xticklabels()]
    assert names == list(PHONEME_CLASSES)


def test_a_variant_without_its_own_model(tmp_path):
    fig = drawn_classes(tmp_path, class_table(["a", "b"], models=["zero_shot", "b"]))
    assert [len(ax.lines) for ax in fig.axes] == [1, 2]
    assert fig.axes[0].lines[0].get_xdata().tolist() == list(range(len(PHONEME_CLASSES)))
    assert to_hex(fig.axes[1].lines[1].get_color()) == series_style(1)["color"].lower()


def written(ax):
    """(phoneme, column) -> text of the cells, and the headings of a half."""
    names = [label.get_text().split()[0] for label in ax.get_yticklabels()]
    rows = dict(zip((round(place) for place in ax.get_yticks()), names, strict=True))
    cells, headings = {}, []
    for text in ax.texts:
        column, row = text.get_position()
        if row in rows:
            cells[rows[row], column] = text
        else:
            headings.append((row, text.get_text(), rows[row + 1]))
    return cells, headings


@pytest.mark.parametrize("count", [1, 3, 6])
def test_cells_are_the_increase_over_the_first_variant(tmp_path, count):
    variants = [f"v{index}" for index in range(count)]
    table = phoneme_table(variants)
    fig = drawn_losses(tmp_path, table)
    zero_shot = table[table["model"] == "zero_shot"]
    rates = 100 * zero_shot.pivot(index="phoneme", columns="variant", values="error_rate")
    seen, groups = [], []
    for ax in panels(fig):
        cells, headings = written(ax)
        seen += [phoneme for phoneme, column in cells if column == 0]
        groups += [(name, first) for _, name, first in headings]
        shown = ax.get_images()[0].get_array()
        for (phoneme, column), text in cells.items():
            rate, change = rates.loc[phoneme, variants[column]], 0.0
            row = text.get_position()[1]
            if column:
                change = rate - rates.loc[phoneme, "v0"]
                assert float(text.get_text().replace("−", "-")) == pytest.approx(change, abs=0.051)
                assert text.get_text()[0] in "+−"
                assert shown[row, column] == pytest.approx(change)
            else:
                assert text.get_text() == f"{rate:.1f} %"
                assert shown.mask[row, column]
        assert [label.get_text() for label in ax.get_xticklabels()] == variants
    assert tuple(seen) == PHONEMES
    assert groups == [(name, members[0]) for name, members in PHONEME_CLASSES.items()]
    assert len(fig.axes) == (2 if count == 1 else 3)  # no colours to explain


def test_halves_are_about_as_high(tmp_path):
    left, right = panels(drawn_losses(tmp_path, phoneme_table(["a", "b"])))
    heights = [len(ax.get_yticks()) + len(written(ax)[1]) for ax in (left, right)]
    assert sum(heights) == len(PHONEMES) + len(PHONEME_CLASSES)
    assert abs(heights[0] - heights[1]) <= 2
    assert left.get_ylim() == right.get_ylim() == (max(heights) - 0.5, -0.5)


def test_one_class_alone(tmp_path):
    table = phoneme_table(["a", "b"])
    (ax,) = panels(drawn_losses(tmp_path, table[table["class"] == "nasals"]))
    assert [name for _, name, _ in written(ax)[1]] == ["nasals"]


def test_what_does_not_occur_stays_empty(tmp_path):
    table = phoneme_table(["a", "b"])
    table.loc[table["phoneme"].eq("ZH") & table["variant"].eq("b"), "error_rate"] = np.nan
    table.loc[table["phoneme"].eq("IY"), "error_rate"] = np.nan
    left, right = panels(drawn_losses(tmp_path, table))
    assert written(right)[0]["ZH", 1].get_text() == "–"
    assert written(right)[0]["ZH", 0].get_text() != "–"
    assert {written(left)[0]["IY", column].get_text() for column in (0, 1)} == {"–"}


@pytest.mark.parametrize(
    ("values", "top", "extend"),
    [([0.0, 34.0], 40, "neither"), ([-3.0, 2.0], 10, "min"), ([np.nan, 100.0], 100, "neither"),
     ([], 10, "neither")],
)  # fmt: skip
def test_colours_start_at_no_increase(values, top, extend):
    scale, extends = plots._scale(np.array([values]))
    assert (scale.vmin, scale.vmax, extends) == (0, top, extend)


def test_every_phoneme_has_a_symbol_of_the_ipa():
    assert set(plots.IPA) == set(PHONEMES)
    assert len(set(plots.IPA.values())) == len(PHONEMES)
    assert (plots.IPA["TH"], plots.IPA["DH"], plots.IPA["ZH"]) == ("θ", "ð", "ʒ")


@pytest.mark.parametrize("count", [2, 12])
def test_values_do_not_run_into_each_other(tmp_path, count):
    table = phoneme_table([f"a_rather_long_name_{index}" for index in range(count)])
    fig = drawn_losses(tmp_path, table)
    fig.draw_without_rendering()
    for ax in panels(fig):
        boxes = {place: text.get_window_extent() for place, text in written(ax)[0].items()}
        for (phoneme, column), box in boxes.items():
            if (phoneme, column + 1) in boxes:
                assert box.x1 < boxes[phoneme, column + 1].x0
        rotations = {label.get_rotation() for label in ax.get_xticklabels()}
        assert rotations == {0 if count == 2 else 30}


def test_dollars_in_names_start_no_formula(tmp_path):
    variants = ["a$b$", "c$d$"]
    for fig, count in (
        (drawn_classes(tmp_path, class_table(variants)), 4),  # titles, legend
        (drawn_losses(tmp_path, phoneme_table(variants)), 5),  # columns, label of the colours
    ):
        fig.draw_without_rendering()
        texts = [text for text in fig.findobj(Text) if "$" in text.get_text()]
        texts = [text for text in texts if text.get_visible()]
        assert len(texts) == count
        assert not any(text.get_parse_math() for text in texts)


def test_names_that_look_like_something_else_stay_names(tmp_path):
    table = class_table(["null", "01"])
    path = write(tmp_path / "c.csv", table)
    read = plots.read_rates(path, plots.CLASS_COLUMNS)
    assert list(read["variant"].unique()) == ["null", "01"]
    np.testing.assert_allclose(read["low"], 100 * table["low"])


def test_wrong_tables_are_named(tmp_path):
    good = class_table(["a"])
    bad = {
        "columns missing: low, high": good.drop(columns=["low", "high"]),
        "no rows of the model zero_shot": good[good["model"] != "zero_shot"],
        "front vowels of zero_shot on a is in it twice": pd.concat([good, good]),
        "not a readable table": good.assign(low="x"),
    }
    for message, table in bad.items():
        path = write(tmp_path / "classes.csv", table)
        with pytest.raises(InputError, match=rf"classes\.csv: {message}.*Delete it"):
            plots.read_rates(path, plots.CLASS_COLUMNS)
    with pytest.raises(InputError, match=r"absent\.csv: not a readable table"):
        plots.plot_phonemes(
            tmp_path / "absent.csv", path, classes=tmp_path / "c.png", phonemes=tmp_path / "p.png"
        )
