"""What each rule used of what it had asked for: memory, time, cores."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hearing_asr.files import atomic_path
from hearing_asr.plots.style import (
    BASELINE,
    COLORS,
    HATCHES,
    MUTED,
    Files,
    figure,
    literal,
    shared_legend,
)
from hearing_asr.usage import read_usage, usage_by_rule

ROW_HEIGHT = 0.55  # inches: a bar, and its numbers above it
MARGINS = 1.8  # inches: titles, axes, legend
BAR_HEIGHT = 0.36  # of a row
TEXT_SIZE = 8
TOP_SHARE = 200.0  # %: where the axes end at the latest
REQUESTED = "100 %: all that was requested"

# title, label of the axis, column of the share
PANELS = (
    ("Memory", "Largest use (% of request)", "memory_share"),
    ("Time", "Longest run (% of limit)", "time_share"),
    ("CPU", "CPU time (% of cores × elapsed time)", "cpu_efficiency"),
)


def plot_usage(
    benchmarks: str | Path,
    *,
    path: Files,
    csv: str | Path,
    rules: Iterable[str] = (),
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
) -> None:
    """Draw what the jobs of every rule used of what they had requested, and write it as a table.

    Args:
        benchmarks: folder of Snakemake's benchmark files, as for `read_usage`.
        path: file or files of the figure; the suffix chooses the format.
        csv: the table of `usage_by_rule`.
        rules: names in the order wanted, from top to bottom; others follow by name.
        dpi: pixels per inch.
        figsize: of it the width in inches counts; the height follows from the number of rules.

    Raises:
        InputError: there are no benchmarks, or the format is unknown.
    """
    usage = usage_by_rule(read_usage(benchmarks), rules)
    with atomic_path(csv) as temporary:
        usage.to_csv(temporary, index=False, float_format="%.6g")
    size = (figsize[0], MARGINS + ROW_HEIGHT * len(usage))
    with figure(path, dpi=dpi, figsize=size) as fig:
        draw_usage(fig, usage)


def draw_usage(fig: Figure, usage: pd.DataFrame) -> None:
    """Draw the table of `usage_by_rule`: one row of bars per rule, from top to bottom."""
    axes = fig.subplots(1, len(PANELS), sharey=True)
    for ax, (title, label, column) in zip(axes, PANELS, strict=True):
        notes = [NOTES[column](rule) for rule in usage.itertuples()]
        draw_shares(ax, 100 * usage[column].to_numpy(dtype=float), notes)
        ax.set_title(title)
        ax.set_xlabel(label)
    axes[0].set_yticks(range(len(usage)), [_row_label(rule) for rule in usage.itertuples()])
    for name in axes[0].get_yticklabels():
        literal(name)
    axes[0].set_ylim(len(usage) - 0.5, -0.5)
    shared_legend(fig, axes)


def draw_shares(ax: Axes, shares: np.ndarray, notes: Sequence[str]) -> None:
    """Draw one horizontal bar per share (%, NaN for none), with a note above each.

    What is above 100 % is hatched in another colour. The axis ends at TOP_SHARE at the latest; the
    number of a bar that goes on is written on it.
    """
    top = float(np.clip(1.1 * np.nanmax(shares, initial=100.0), 110.0, TOP_SHARE))
    rows = np.arange(len(shares))
    for above, label, color, hatch in (
        (False, "used", COLORS[0], HATCHES[0]),
        (True, "used, more than requested", COLORS[1], HATCHES[1]),
    ):
        chosen = (shares > 100) if above else (shares <= 100)
        if chosen.any():
            ax.barh(
                rows[chosen] + BAR_HEIGHT / 2,
                shares[chosen],
                BAR_HEIGHT,
                color=color,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.5,
                label=label,
            )
    ax.axvline(100, color=BASELINE, linestyle="--", linewidth=1.2, label=REQUESTED)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    text = {"va": "center", "fontsize": TEXT_SIZE, "bbox": box}
    for row, (share, note) in enumerate(zip(shares, notes, strict=True)):
        color = BASELINE if np.isfinite(share) else MUTED
        ax.text(0.01 * top, row - 0.2, note, ha="left", color=color, **text)
        if share > top:
            number = f"{share:,.0f} % →"
            ax.text(0.98 * top, row + BAR_HEIGHT / 2, number, ha="right", **text)
    ax.set_xlim(0, top)
    ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)


def _row_label(rule) -> str:
    """Name of a rule, below it how many jobs there were and what each had."""
    parts = [_plural(rule.jobs, "job")]
    if np.isfinite(rule.threads):
        parts.append(_plural(int(rule.threads), "core"))
    if rule.gpus > 0:
        parts.append(_plural(int(rule.gpus), "GPU"))
    return f"{rule.rule}\n{', '.join(parts)}"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _memory_note(rule) -> str:
    largest = np.nanmax([rule.memory_requested_mb, rule.memory_used_mb, 0.0])
    unit, scale = ("GB", 1e-3) if largest >= 1000 else ("MB", 1.0)
    return _note(
        rule.memory_used_mb * scale,
        rule.memory_requested_least_mb * scale,
        rule.memory_requested_mb * scale,
        unit,
    )


def _time_note(rule) -> str:
    largest = np.nanmax([rule.time_requested_minutes, rule.longest_minutes])
    unit, scale = ("h", 1 / 60) if largest >= 180 else ("min", 1.0)
    return _note(
        rule.longest_minutes * scale,
        rule.time_requested_least_minutes * scale,
        rule.time_requested_minutes * scale,
        unit,
    )


def _cpu_note(rule) -> str:
    requested = rule.cpu_hours_requested
    unit, scale = _unit_of_hours(requested)
    note = _note(rule.cpu_hours_used * scale, requested * scale, requested * scale, f"core {unit}")
    if rule.gpu_hours > 0:
        unit, scale = _unit_of_hours(rule.gpu_hours)
        note += f"; {_amount(rule.gpu_hours * scale)} GPU {unit}"
    return note


def _unit_of_hours(hours: float) -> tuple[str, float]:
    """The unit that says `hours` in a number of few digits, and how many of it an hour has."""
    if hours < 3 / 60:
        return "s", 3600.0
    return ("min", 60.0) if hours < 3 else ("h", 1.0)


NOTES = {"memory_share": _memory_note, "time_share": _time_note, "cpu_efficiency": _cpu_note}


def _note(used: float, least: float, most: float, unit: str) -> str:
    """'0.6 of 1.0 GB', '12 of 10–20 min' where requests differ, or what there is of it."""
    if not np.isfinite(most):
        return f"{_amount(used)} {unit}, no request" if np.isfinite(used) else "no request"
    request = _amount(most)
    if _amount(least) != request:
        request = f"{_amount(least)}–{request}"
    if not np.isfinite(used):
        return f"not measured ({request} {unit})"
    return f"{_amount(used)} of {request} {unit}"


def _amount(value: float) -> str:
    """Two digits or all before the point; what is there never reads as nothing."""
    if 0 < value < 0.05:
        return "<0.1"
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
