"""Word error rates by groups of speakers and clips, one figure per variant tested on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hearing_asr.names import ZERO_SHOT
from hearing_asr.plots.style import (
    BASELINE,
    MUTED,
    Files,
    figure,
    literal,
    series_style,
    shared_legend,
)
from hearing_asr.plots.tables import read_table

NAMES = ("grouping", "group", "model", "variant")
NUMBERS = ("clips", "speakers", "wer", "low", "high")
COLUMNS = 3  # panels beside each other
MOST = 10  # groups in a panel: the largest; the table has all
LONGEST = 28  # characters of a group's name


def plot_groups(
    groups_csv: str | Path,
    *,
    figures: Mapping[str, Files],
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
) -> None:
    """Draw, for each variant, the zero-shot model and the one trained on the variant.

    Args:
        groups_csv: table of `hearing_asr.groups.write_groups`.
        figures: variant -> file or files.
        dpi: pixels per inch.
        figsize: width and height in inches.

    Raises:
        InputError: the table cannot be read, lacks a column or has no rows.
    """
    table = read_table(groups_csv, NAMES, NUMBERS)
    variants = list(table["variant"].unique())
    for variant, files in figures.items():
        with figure(files, dpi=dpi, figsize=figsize) as fig:
            draw_groups(fig, table[table["variant"] == variant], variant, variants.index(variant))


def draw_groups(fig: Figure, table: pd.DataFrame, variant: str, number: int) -> None:
    """A panel per grouping, a row per group, WER in % with its 95 % interval."""
    groupings = list(table["grouping"].unique())
    rows = -(-len(groupings) // COLUMNS)
    panels = fig.subplots(rows, min(COLUMNS, len(groupings)), sharex=True, squeeze=False).ravel()
    for ax, grouping in zip(panels, groupings, strict=False):
        _draw_panel(ax, table[table["grouping"] == grouping], variant, number)
        ax.set_title(grouping)
    for ax in panels[len(groupings) :]:
        ax.set_visible(False)
    for ax in panels[max(0, len(groupings) - COLUMNS) : len(groupings)]:
        ax.set_xlabel("WER (%)")
        ax.tick_params(labelbottom=True)
    panels[0].set_xlim(left=0)
    literal(fig.suptitle(f"Word error rate on {variant} by group, with 95 % intervals"))
    shared_legend(fig, panels[: len(groupings)])


def _draw_panel(ax: Axes, table: pd.DataFrame, variant: str, number: int) -> None:
    sizes = table.drop_duplicates("group").set_index("group")
    shown = sizes[sizes.index.isin(table.loc[table["wer"].notna(), "group"])]
    left_out = sizes[~sizes.index.isin(shown.index)]
    kept = shown if len(shown) <= MOST else shown.nlargest(MOST, "clips")
    groups = [group for group in shown.index if group in kept.index]
    color = series_style(number)["color"]
    for model, label, offset, style in (
        (ZERO_SHOT, "zero-shot", -0.15, {"color": BASELINE, "marker": "o", "mfc": "white"}),
        (variant, f"trained on {variant}", 0.15, {"color": color, "marker": "s"}),
    ):
        if model not in set(table["model"]):  # a variant that is tested only
            continue
        of = table[table["model"] == model].set_index("group").reindex(groups)
        wer, low, high = (100 * of[name].to_numpy(dtype=float) for name in ("wer", "low", "high"))
        ends = np.nan_to_num(np.maximum([wer - low, high - wer], 0))
        places = np.arange(len(groups)) + offset
        ax.errorbar(wer, places, xerr=ends, fmt="none", ecolor=style["color"], capsize=2, lw=1.2)
        ax.plot(wer, places, linestyle="none", label=label, **style)
    told = [_name(group, kept.loc[group]) for group in groups]
    ax.set_yticks(range(len(groups)), told, fontsize=8)
    for label in ax.get_yticklabels():
        literal(label)
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    notes = []
    if len(left_out):
        notes.append(f"{left_out['clips'].sum():.0f} clips in groups too small")
    if len(shown) > len(kept):
        notes.append(f"{len(shown) - len(kept)} smaller groups: see the table")
    if notes:
        ax.text(0.99, 0.01, "\n".join(notes), transform=ax.transAxes, ha="right", va="bottom",
                fontsize=7.5, color=MUTED)  # fmt: skip


def _name(group: str, size: pd.Series) -> str:
    short = group if len(group) <= LONGEST else f"{group[: LONGEST - 1]}…"
    return f"{short}\n{size['speakers']:.0f} speakers, {size['clips']:.0f} clips"
