"""Figures of what is left: lines and markers are the table's, names cover nothing."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from hearing_asr.errors import InputError
from hearing_asr.plots import information as plots
from hearing_asr.plots.style import BASELINE, series_style

FREQUENCIES = np.geomspace(37, 7700, 80)
BANDS = (100, 1000, 6300)
KINDS = ("floor", "spectrum", "sii")


def tables(variants, seed=0):
    rng = np.random.default_rng(seed)
    rates = rng.uniform(0.1, 1.2, (len(variants), 2))
    return {
        "floor": pd.DataFrame(
            [(name, k, f, rng.random()) for name in variants for k, f in enumerate(FREQUENCIES)],
            columns=["variant", "mel_bin", "frequency_hz", "share_at_floor"],
        ),
        "spectrum": pd.DataFrame(
            [(name, f, rng.uniform(-120, -20)) for name in ["unmasked", *variants] for f in BANDS],
            columns=["variant", "frequency_hz", "level_db"],
        ),
        "sii": pd.DataFrame(
            [(name, rng.random()) for name in variants],
            columns=["variant", "sii"],
        ),
        "intervals": pd.DataFrame(
            [
                (model, name, rate, rate - 0.05, rate + 0.1)
                for name, pair in zip(variants, rates, strict=True)
                for model, rate in zip(("zero_shot", name), pair, strict=True)
            ],
            columns=["model", "variant", "wer", "wer_low", "wer_high"],
        ),
    }


def write(folder, frames):
    paths = {}
    for name, frame in frames.items():
        paths[f"{name}_csv"] = folder / f"{name}.csv"
        frame.to_csv(paths[f"{name}_csv"], index=False)
    return paths


def axes():
    fig = Figure(figsize=(12, 8), layout="constrained")
    return fig, fig.subplots()


def drawn_sii(frames, folder):
    fig, ax = axes()
    indices = frames["sii"].set_index("variant")["sii"]
    points = plots.matched_points(write(folder, frames)["intervals_csv"], indices)
    plots.draw_sii(ax, points, list(indices.index))
    plots.place_names(fig, ax, points)
    return fig, ax, points


def markers(ax):
    """The lines that are one marker each, without the legend's."""
    lines = [line for line in ax.get_lines() if line.get_marker() != "_"]
    return [line for line in lines if len(line.get_xdata())]


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "jpg"])
def test_figures_repeat_byte_for_byte(tmp_path, suffix):
    paths = write(tmp_path, tables(["normal", "hfloss"]))
    for name in "xy":
        files = {kind: tmp_path / f"{kind}_{name}.{suffix}" for kind in KINDS}
        plots.plot_information(**paths, **files, dpi=30)
    for kind in KINDS:
        first, second = (tmp_path / f"{kind}_{name}.{suffix}" for name in "xy")
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("count", [1, 3, 8])
def test_lines_are_the_tables(count):
    variants = [f"v{index}" for index in range(count)]
    frames = tables(variants)
    for kind, draw, column, scale in (
        ("floor", plots.draw_floor, "share_at_floor", 100),
        ("spectrum", plots.draw_spectrum, "level_db", 1),
    ):
        _, ax = axes()
        draw(ax, frames[kind], variants)
        lines = {line.get_label(): line for line in ax.get_lines()}
        names = list(frames[kind]["variant"].unique())
        assert list(lines) == names
        for name in names:
            rows = frames[kind][frames[kind]["variant"] == name]
            expected = np.column_stack([rows["frequency_hz"], scale * rows[column]])
            np.testing.assert_allclose(lines[name].get_xydata(), expected)


def test_variants_have_their_colours_and_what_is_none_is_black():
    """By the order of the variants, not by that of a table."""
    frames, variants = tables(["b", "a"]), ["a", "c", "b"]
    _, ax = axes()
    plots.draw_spectrum(ax, frames["spectrum"], variants)
    colors = {line.get_label(): line.get_color() for line in ax.get_lines()}
    assert colors == {
        "unmasked": BASELINE,
        "a": series_style(0)["color"],
        "b": series_style(2)["color"],
    }


def test_axes_are_told_in_their_units():
    frames = tables(["a"])
    _, ax = axes()
    plots.draw_floor(ax, frames["floor"], ["a"])
    assert ax.get_ylim() == (0, 100)
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()][:2] == ["125", "250"]
    assert "(%)" in ax.get_ylabel()
    assert "(Hz)" in ax.get_xlabel()


@pytest.mark.parametrize("count", [1, 3, 8])
def test_markers_stand_where_index_and_rate_are(tmp_path, count):
    variants = [f"v{index}" for index in range(count)]
    frames = tables(variants)
    _, ax, _ = drawn_sii(frames, tmp_path)
    indices = dict(frames["sii"].to_numpy())
    found = markers(ax)
    assert len(found) == len(frames["intervals"]) == 2 * count
    for line, row in zip(found, frames["intervals"].itertuples(), strict=True):
        place = (indices[row.variant], 100 * row.wer)
        assert (line.get_xdata().item(), line.get_ydata().item()) == pytest.approx(place)
        color = series_style(variants.index(row.variant))["color"]
        assert line.get_color() == color
        face = line.get_markerfacecolor()
        assert face == ("white" if row.model == "zero_shot" else color)


def test_intervals_reach_from_end_to_end(tmp_path):
    frames = tables(["a", "b"])
    _, ax, _ = drawn_sii(frames, tmp_path)
    bars = [collection.get_segments()[0] for collection in ax.collections]
    ends = [[100 * row.wer_low, 100 * row.wer_high] for row in frames["intervals"].itertuples()]
    np.testing.assert_allclose([bar[:, 1] for bar in bars], ends)
    caps = [line.get_ydata() for line in ax.get_lines() if line.get_marker() == "_"]
    np.testing.assert_allclose(caps, ends)


def test_a_rate_without_an_interval_is_drawn_without(tmp_path):
    frames = tables(["a"])
    frames["intervals"][["wer_low", "wer_high"]] = np.nan
    fig, ax, points = drawn_sii(frames, tmp_path)
    fig.draw_without_rendering()
    assert len(markers(ax)) == len(points) == 2
    caps = [line for line in ax.get_lines() if line.get_marker() == "_"]
    assert [len(line.get_xdata()) for line in caps] == [0, 0]


def test_other_models_and_variants_without_an_index_are_left_out(tmp_path):
    frames = tables(["a", "b"])
    more = [("a", "b", 0.5), ("zero_shot", "unmasked", 0.1), ("b", "a", 0.4), ("lone", "lone", 0.1)]
    more = pd.DataFrame(more, columns=["model", "variant", "wer"]).assign(wer_low=0.1, wer_high=0.9)
    frames["intervals"] = pd.concat([more, frames["intervals"]])
    _, ax, points = drawn_sii(frames, tmp_path)
    assert list(zip(points["model"], points["variant"], strict=True)) == [
        *(("zero_shot", "a"), ("a", "a"), ("zero_shot", "b"), ("b", "b"))
    ]
    assert len(markers(ax)) == 4
    assert ax.get_ylim()[1] > points["wer_high"].max()


def test_the_legend_tells_hollow_from_filled(tmp_path):
    frames = tables(["a", "b"])
    _, ax, _ = drawn_sii(frames, tmp_path)
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["zero-shot", "trained on the variant"]
    assert [to_hex(handle.get_markerfacecolor()) == "#ffffff" for handle in handles] == [
        True,
        False,
    ]
    rows = frames["intervals"]
    frames["intervals"] = rows[rows["model"] == "zero_shot"]
    _, ax, _ = drawn_sii(frames, tmp_path)
    assert ax.get_legend_handles_labels()[1] == ["zero-shot"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [3, 8])
def test_names_cover_nothing(tmp_path, count, seed):
    variants = [f"a_rather_long_name_{index}" for index in range(count)]
    frames = tables(variants, seed)
    frames["sii"].loc[0, "sii"], frames["sii"].loc[1, "sii"] = 0.0, 1.0  # at the edges as well
    fig, ax, points = drawn_sii(frames, tmp_path)
    fig.draw_without_rendering()
    names = [text for text in ax.texts if text.get_text()]
    assert sorted(name.get_text() for name in names) == sorted(points["variant"])
    assert not any(name.get_parse_math() for name in names)
    boxes = [name.get_window_extent() for name in names]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    middles = ax.transData.transform(points[["sii", "wer"]].to_numpy(dtype=float))
    assert not any(box.contains(*middle) for box in boxes for middle in middles)
    frame = ax.get_window_extent()
    assert all(frame.contains(*corner) for box in boxes for corner in box.corners())
    # Nearest to its own marker, or with a line to it.
    lines = [text.xy for text in ax.texts if not text.get_text()]
    for name in names:
        assert name.get_position() in plots.BESIDE or name.xy in lines


def test_a_crowd_is_named_all_the_same(tmp_path):
    frames = tables([f"v{index}" for index in range(20)])
    frames["sii"]["sii"] = 0.5
    frames["intervals"]["wer"] = 0.5
    _, ax, points = drawn_sii(frames, tmp_path)
    assert sum(bool(text.get_text()) for text in ax.texts) == len(points) == 40


@pytest.mark.parametrize("names", [("null", "na"), ("1", "01")])
def test_names_that_look_like_something_else_stay_names(tmp_path, names):
    _, _, points = drawn_sii(tables(names), tmp_path)
    assert tuple(points["variant"].unique()) == names
    paths = write(tmp_path, tables(names))
    plots.plot_information(**paths, **{kind: tmp_path / f"{kind}.png" for kind in KINDS}, dpi=20)


def test_dollar_signs_in_legends_start_no_formula(tmp_path):
    paths = write(tmp_path, tables(["a$b", "c$"]))
    plots.plot_information(**paths, **{kind: tmp_path / f"{kind}.svg" for kind in KINDS}, dpi=20)
    assert all((tmp_path / f"{kind}.svg").exists() for kind in KINDS)


@pytest.mark.parametrize("kind", ["floor", "spectrum", "sii", "intervals"])
def test_wrong_tables_are_named(tmp_path, kind):
    files = {kind: tmp_path / f"{kind}.png" for kind in KINDS}
    frames = tables(["a"])
    number = frames[kind].columns[-1]
    for wrong, message in (
        (frames[kind].drop(columns=number), f"columns missing: {number}"),
        (frames[kind].iloc[:0], "no rows"),
        (frames[kind].assign(**{number: "x"}), "not a readable table"),
    ):
        paths = write(tmp_path, frames | {kind: wrong})
        with pytest.raises(InputError, match=rf"{kind}.csv: {message}.*Delete it"):
            plots.plot_information(**paths, **files)
    paths[f"{kind}_csv"] = tmp_path / "absent.csv"
    with pytest.raises(InputError, match="absent.csv: not a readable table"):
        plots.plot_information(**paths, **files)
    assert not list(tmp_path.glob("*.png"))


def test_without_a_rate_there_is_nothing_to_draw(tmp_path):
    frames = tables(["a"])
    frames["intervals"]["variant"] = "b"
    with pytest.raises(InputError, match=r"intervals.csv: no word error rate .* \(a\)"):
        drawn_sii(frames, tmp_path)
