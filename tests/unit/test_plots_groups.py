"""Groups and calibration: what is drawn is what the table says."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from hearing_asr.errors import InputError
from hearing_asr.plots import calibration, groups
from hearing_asr.plots.tables import read_table

RNG = np.random.default_rng(4)
VARIANTS = ["normal", "h$loss"]


def group_rows(counts):
    """Rows of the table: groupings of so many groups, the last one too small."""
    for number, count in enumerate(counts):
        for group in range(count):
            small = count > 1 and group == count - 1
            for model in ("zero_shot", *VARIANTS):
                for variant in VARIANTS:
                    wer = np.nan if small else RNG.uniform(0.1, 0.9)
                    size = {"clips": 30 + group, "speakers": 5, "words": 200}
                    names = {"grouping": f"g{number}", "group": f"group {group}"}
                    ends = {"wer": wer, "low": wer - 0.05, "high": wer + 0.1}
                    yield names | {"model": model, "variant": variant} | size | ends


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "groups.csv"
    pd.DataFrame(group_rows([3, 1, 14, 2])).to_csv(path, index=False)
    return path


def test_points_are_the_rates(table):
    rows = read_table(table, groups.NAMES, groups.NUMBERS)
    fig = Figure(figsize=(12, 8))
    groups.draw_groups(fig, rows[rows["variant"] == "h$loss"], "h$loss", 1)
    panels = [ax for ax in fig.axes if ax.get_visible()]
    assert [ax.get_title() for ax in panels] == ["g0", "g1", "g2", "g3"]
    ax = panels[0]
    drawn = {line.get_label(): line.get_xdata() for line in ax.lines if line.get_label()[0] != "_"}
    assert set(drawn) == {"zero-shot", "trained on h$loss"}
    for label, model in (("zero-shot", "zero_shot"), ("trained on h$loss", "h$loss")):
        of = rows[(rows["grouping"] == "g0") & (rows["model"] == model)]
        of = of[(of["variant"] == "h$loss") & of["wer"].notna()]
        assert drawn[label].tolist() == pytest.approx((100 * of["wer"]).tolist())
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["group 0\n5 speakers, 30 clips", "group 1\n5 speakers, 31 clips"]
    assert [text.get_text() for text in ax.texts] == ["32 clips in groups too small"]
    assert len(panels[2].get_yticklabels()) == groups.MOST
    assert "3 smaller groups: see the table" in panels[2].texts[0].get_text()


def test_a_figure_per_variant_repeats_byte_for_byte(table, tmp_path):
    for name in "ab":
        figures = {variant: [tmp_path / f"{name}{number}.{suffix}" for suffix in ("png", "pdf")]
                   for number, variant in enumerate(VARIANTS)}  # fmt: skip
        groups.plot_groups(table, figures=figures, dpi=30)
    for number in range(2):
        for suffix in ("png", "pdf"):
            first, second = (tmp_path / f"{name}{number}.{suffix}" for name in "ab")
            assert first.read_bytes() == second.read_bytes()


def test_a_wrong_table_is_named(tmp_path):
    (tmp_path / "g.csv").write_text("grouping,group\na,b\n")
    with pytest.raises(InputError, match=r"g\.csv: columns missing: model, variant, clips"):
        groups.plot_groups(tmp_path / "g.csv", figures={})


def test_calibration_is_drawn_in_percent(tmp_path):
    bins = pd.DataFrame(
        [
            {
                "model": model,
                "variant": variant,
                "confidence": 0.5 + 0.1 * place,
                "wer": 0.2 * place,
            }
            for model in ("zero_shot", *VARIANTS)
            for variant in VARIANTS
            for place in range(3)
        ]
    )
    ax = Figure().subplots()
    calibration.draw_curve(ax, bins[:3], "h$loss", 1)
    assert ax.lines[0].get_xdata().tolist() == pytest.approx([50, 60, 70])
    assert ax.lines[0].get_ydata().tolist() == pytest.approx([0, 20, 40])
    bins.to_csv(tmp_path / "bins.csv", index=False)
    files = [tmp_path / "c.png", tmp_path / "c.svg"]
    calibration.plot_calibration(tmp_path / "bins.csv", files, dpi=30)
    assert all(path.stat().st_size > 1000 for path in files)
    assert "tested on h$loss" in files[1].read_text() or "h$loss" in files[1].read_text()
