"""The corpus in one figure: how long the clips are, who speaks, what was left out."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from hearing_asr.plots.style import (
    COLORS,
    HATCHES,
    LINES,
    MUTED,
    Files,
    figure,
    literal,
    shared_legend,
)

MOST = 8  # bars of a panel; what is rarer is summed up
NAME = 24  # characters of a name that are shown
OTHERS = "others"
AGES = (  # as Common Voice spells them
    "teens", "twenties", "thirties", "fourties", "fifties", "sixties", "seventies", "eighties",
    "nineties",
)  # fmt: skip


def plot_corpus(
    card: str | Path,
    excluded: str | Path,
    demographics: str | Path,
    path: Files,
    *,
    dpi: float,
    figsize: Sequence[float],
) -> None:
    """Draw what `corpus_card.write_card` wrote.

    Args:
        card, excluded, demographics: its files.
        path: figure to write; its suffix chooses the format.
        dpi: pixels per inch.
        figsize: width and height in inches.
    """
    splits = json.loads(Path(card).read_text())["splits"]
    left_out = pd.read_csv(excluded, keep_default_na=False)
    people = pd.read_csv(demographics, keep_default_na=False)
    with figure(path, dpi=dpi, figsize=figsize) as fig:
        draw_corpus(fig, splits, left_out, people)


def draw_corpus(
    fig: Figure, splits: Mapping[str, Any], left_out: pd.DataFrame, people: pd.DataFrame
) -> None:
    """Six panels, each with all splits."""
    axes = fig.subplots(2, 3)
    lengths = ", ".join(f"{name} {_length(known['hours'])}" for name, known in splits.items())
    fig.suptitle(f"Corpus: {lengths}")
    draw_durations(axes[0, 0], splits)
    draw_speakers(axes[0, 1], splits)
    names = list(splits)
    for ax, column, title in (
        (axes[0, 2], "gender", "Gender"),
        (axes[1, 0], "age", "Age"),
        (axes[1, 1], "accents", "Accents"),
    ):
        of_column = people[people["column"] == column]
        shares = of_column.pivot_table(index="value", columns="split", values="clips", sort=False)
        if column == "age":
            shares = shares.reindex(sorted(shares.index, key=_age))
        draw_bars(ax, 100 * (shares / shares.sum()).fillna(0.0), names, keep=column == "age")
        ax.set_title(title)
        ax.set_xlabel("share of the split's clips (%)")
    draw_left_out(axes[1, 2], left_out, names)
    axes[0, 0].legend()  # of lines; that of bars is shared
    shared_legend(fig, [axes[0, 2]])


def draw_durations(ax: Axes, splits: Mapping[str, Any]) -> None:
    """Share of the clips over their duration, a step line per split."""
    for index, (name, known) in enumerate(splits.items()):
        edges, clips = (np.array(known["durations"][key]) for key in ("edges", "clips"))
        style = {"color": COLORS[index % len(COLORS)], "linestyle": LINES[index % len(LINES)]}
        ax.stairs(100 * clips / clips.sum(), edges, label=name, linewidth=1.8, **style)
    ax.set_title("Duration")
    ax.set_xlabel("duration of a clip (s)")
    ax.set_ylabel("share of the split's clips (%)")
    ax.set_xlim(left=0)
    ax.set_ylim(bottom=0)


def draw_speakers(ax: Axes, splits: Mapping[str, Any]) -> None:
    """Clips of each speaker, the one with most first."""
    for index, (name, known) in enumerate(splits.items()):
        clips = np.array(known["clips_per_speaker"])
        style = {"color": COLORS[index % len(COLORS)], "linestyle": LINES[index % len(LINES)]}
        marker = "o" if len(clips) == 1 else None
        ax.plot(np.arange(1, len(clips) + 1), clips, label=name, marker=marker, **style)
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_formatter(NullFormatter())
    ax.set_ylim(
        0.8, 2 * max([1, *(max(k["clips_per_speaker"], default=1) for k in splits.values())])
    )
    ax.set_title("Clips per speaker")
    ax.set_xlabel("speakers, the one with most clips first")
    ax.set_ylabel("clips")


def draw_bars(ax: Axes, values: pd.DataFrame, splits: Sequence[str], keep: bool = False) -> None:
    """Horizontal bars: a group per row of `values`, a bar per split (its columns).

    Args:
        keep: whether to keep all rows in their order; else the largest come first, and many small
            ones are added up.
    """
    values = values.reindex(columns=splits, fill_value=0.0)
    values = values if keep else _most(values)
    height = 0.8 / len(splits)
    rows = np.arange(len(values))
    for index, split in enumerate(splits):
        ax.barh(
            rows + (index - (len(splits) - 1) / 2) * height,
            values[split],
            height,
            color=COLORS[index % len(COLORS)],
            hatch=HATCHES[index % len(HATCHES)],
            edgecolor="white",
            linewidth=0.5,
            label=split,
        )
    names = [f"{name[:NAME]}…" if len(name) > NAME else name for name in map(str, values.index)]
    for label in ax.set_yticks(rows, names):
        literal(label.label1)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0, labelsize=9)


def draw_left_out(ax: Axes, left_out: pd.DataFrame, splits: Sequence[str]) -> None:
    """Clips by the reason why they are not in the corpus."""
    ax.set_title("Left out, by reason")
    some = left_out[left_out["clips"] > 0]
    if some.empty:
        ax.text(0.5, 0.5, "no clip was left out", ha="center", color=MUTED, transform=ax.transAxes)
        ax.set_axis_off()
        return
    clips = some.pivot_table(index="reason", columns="split", values="clips", aggfunc="sum")
    draw_bars(ax, clips.fillna(0.0), splits)
    ax.set_xlabel("clips")
    ax.set_xscale("symlog", linthresh=1)
    ax.set_xlim(0, 1.5 * some["clips"].max())


def _length(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"


def _age(value: str) -> tuple[int, str]:
    """Decades in their order, anything else behind."""
    return (AGES.index(value) if value in AGES else len(AGES), value)


def _most(values: pd.DataFrame) -> pd.DataFrame:
    """The rows with the largest values, the others added up."""
    ordered = values.loc[values.max(axis=1).sort_values(ascending=False, kind="stable").index]
    if len(ordered) <= MOST:
        return ordered
    rest = ordered.iloc[MOST - 1 :].sum().to_frame(f"{len(ordered) - MOST + 1} {OTHERS}").T
    return pd.concat([ordered.iloc[: MOST - 1], rest])
