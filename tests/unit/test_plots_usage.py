"""Bars of what was used: lengths, notes and places are what the table says."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from hearing_asr.errors import InputError
from hearing_asr.plots import usage as plots
from hearing_asr.plots.style import COLORS, house_style
from hearing_asr.usage import JOB_COLUMNS, usage_by_rule
from tests.unit.test_usage import record, write

LONG = "a_rule_of_a_rather_long_name"


def table(*jobs, rules=()):
    """Jobs as (rule, threads, gpus, MB requested, MB used, minutes requested, minutes, CPU h)."""
    rows = [(f"{number}.jsonl", *job) for number, job in enumerate(jobs)]
    return usage_by_rule(pd.DataFrame(rows, columns=list(JOB_COLUMNS)), rules)


def draw(usage):
    with house_style():
        fig = Figure(
            figsize=(12, plots.MARGINS + plots.ROW_HEIGHT * len(usage)), layout="constrained"
        )
        plots.draw_usage(fig, usage)
    return fig


def bars(ax):
    """Row -> (share, colour)."""
    found = {}
    for bar in ax.patches:
        row = bar.get_y() + bar.get_height() / 2 - plots.BAR_HEIGHT / 2
        found[round(row, 6)] = (bar.get_width(), to_hex(bar.get_facecolor()).upper())
    return found


def notes(ax):
    return [text.get_text() for text in ax.texts if text.get_ha() == "left"]


def test_bars_and_notes_are_what_the_table_says():
    usage = table(
        ("mask", 1, 0, 1000, 600, 13, 3, 0.04),
        ("train", 16, 4, 64_000, 80_000, 2880, 720, 96),
        rules=["train", "mask"],
    )
    fig = draw(usage)
    memory, time, cpu = fig.axes
    assert [label.get_text() for label in memory.get_yticklabels()] == [
        "train\n1 job, 16 cores, 4 GPUs",
        "mask\n1 job, 1 core",
    ]
    top, bottom = memory.get_ylim()[::-1]
    assert top < 0 < 1 < bottom  # the first rule is at the top
    blue, red = COLORS[:2]
    assert bars(memory) == {0: (pytest.approx(125), red), 1: (pytest.approx(60), blue)}
    assert bars(time) == {0: (pytest.approx(25), blue), 1: (pytest.approx(300 / 13), blue)}
    assert bars(cpu) == {0: (pytest.approx(50), blue), 1: (pytest.approx(80), blue)}
    assert notes(memory) == ["80 of 64 GB", "0.6 of 1.0 GB"]
    assert notes(time) == ["12 of 48 h", "3.0 of 13 min"]
    assert notes(cpu) == ["96 of 192 core h; 48 GPU h", "2.4 of 3.0 core min"]
    for ax in fig.axes:
        assert list(ax.lines[0].get_xdata()) == [100, 100]
        assert ax.get_xlim()[1] > max(share for share, _ in bars(ax).values())


def test_jobs_with_different_requests_show_their_range():
    usage = table(
        ("mask", 1, 0, 1000, 900, 10, 2, 0.01),
        ("mask", 1, 0, 2000, 1200, 20, 12, 0.1),
    )
    memory, time, _ = draw(usage).axes
    assert notes(memory) == ["1.2 of 1.0–2.0 GB"]
    assert notes(time) == ["12 of 10–20 min"]
    assert bars(memory)[0][0] == pytest.approx(90)
    assert bars(time)[0][0] == pytest.approx(60)


def test_what_is_unknown_has_no_bar_and_says_why():
    nan = np.nan
    usage = table(
        ("a", nan, 0, nan, 350, nan, 12, 0.1),
        ("b", 2, 0, 500, nan, 10, 0.01, nan),
        ("c", 2, 0, nan, nan, 10, 0.01, nan),
    )
    memory, time, cpu = draw(usage).axes
    assert notes(memory) == ["350 MB, no request", "not measured (500 MB)", "no request"]
    assert notes(time) == ["12 min, no request", "<0.1 of 10 min", "<0.1 of 10 min"]
    assert notes(cpu) == ["0.1 core h, no request", *["not measured (1.2 core s)"] * 2]
    assert bars(memory) == bars(cpu) == {}
    assert sorted(bars(time)) == [1, 2]


def test_a_bar_that_leaves_the_axes_says_how_long_it_is():
    memory, *_ = draw(table(("a", 1, 0, 100, 1730, 10, 5, 0.05))).axes
    assert memory.get_xlim() == (0, plots.TOP_SHARE)
    assert [text.get_text() for text in memory.texts] == ["1.7 of 0.1 GB", "1,730 % →"]


@pytest.mark.parametrize("count", [1, 4, 16])
@pytest.mark.parametrize("factor", [0.4, 3.0])  # of what was requested
def test_nothing_overlaps(count, factor):
    usage = table(
        *(
            (f"{LONG}_{row}", 16, 4, 64_000, factor * 64_000, 2880, 2000, factor * 16 * 2000 / 60)
            for row in range(count)
            for _ in range(60)
        )
    )
    fig = draw(usage)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    renderer = canvas.get_renderer()
    width, height = fig.canvas.get_width_height()
    for ax in fig.axes:
        boxes = [text.get_window_extent(renderer) for text in ax.texts]
        boxes += [label.get_window_extent(renderer) for label in ax.get_yticklabels()]
        boxes += [ax.xaxis.label.get_window_extent(renderer)]
        boxes = [box for box in boxes if box.width]
        for index, box in enumerate(boxes):
            assert 0 <= box.x0 < box.x1 <= width
            assert 0 <= box.y0 < box.y1 <= height
            assert not any(box.overlaps(other) for other in boxes[:index])
        frame = ax.get_window_extent(renderer)
        drawn = [bar.get_window_extent(renderer) for bar in ax.patches]
        for text in ax.texts:
            box = text.get_window_extent(renderer)
            assert frame.x0 <= box.x0 < box.x1 <= frame.x1
            if text.get_ha() == "left":
                assert not any(box.overlaps(bar) for bar in drawn)
    labels = [ax.xaxis.label.get_window_extent(renderer) for ax in fig.axes]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(labels))


def benchmarks(folder, rules):
    for number, rule in enumerate(rules):
        write(folder / rule / "a.jsonl", record(rule, 6.0 + number / 2, mem_mb=1000, runtime=1))
    return folder


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "jpg"])
def test_figure_and_table_repeat_byte_for_byte(tmp_path, suffix):
    folder = benchmarks(tmp_path / "benchmarks", ["b", "a"])
    for name in "xy":
        plots.plot_usage(
            folder, path=tmp_path / f"{name}.{suffix}", csv=tmp_path / f"{name}.csv", dpi=30
        )
    for kind in (suffix, "csv"):
        first, second = (tmp_path / f"{name}.{kind}" for name in "xy")
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("count", [1, 12])
def test_the_figure_grows_with_the_rules(tmp_path, count):
    from PIL import Image

    names = [f"rule_{index}" for index in range(count)]
    folder = benchmarks(tmp_path / "benchmarks", names)
    plots.plot_usage(
        folder, path=tmp_path / "u.png", csv=tmp_path / "u.csv", rules=names[::-1], dpi=50
    )
    with Image.open(tmp_path / "u.png") as image:
        assert image.size == (600, int(50 * (plots.MARGINS + plots.ROW_HEIGHT * count)))
    written = pd.read_csv(tmp_path / "u.csv")
    assert list(written["rule"]) == names[::-1]
    seconds = 6.0 + np.arange(count)[::-1] / 2
    np.testing.assert_allclose(written["time_share"], seconds / 60, rtol=1e-5)
    np.testing.assert_allclose(written["memory_share"], 0.1048576, rtol=1e-5)
    np.testing.assert_allclose(written["cpu_efficiency"], 8.0 / seconds, rtol=1e-5)


def test_without_benchmarks_nothing_is_written(tmp_path):
    with pytest.raises(InputError, match="absent: no file"):
        plots.plot_usage(tmp_path / "absent", path=tmp_path / "u.png", csv=tmp_path / "u.csv")
    assert not list(tmp_path.iterdir())
