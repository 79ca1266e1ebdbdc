"""Learning curves, drawn from the TensorBoard logs of one training run or of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hearing_asr.plots.logs import (
    COLUMNS,
    TrainingLog,
    read_log,
    smooth_values,
    write_csv,
    write_summary,
    write_table,
)
from hearing_asr.plots.style import (
    BASELINE,
    COLORS,
    MUTED,
    NOT_FINITE,
    Files,
    figure,
    legend_entries,
    literal,
    series_style,
    shared_legend,
)

FEW_POINTS = 30  # up to here every point gets its marker


@dataclass(frozen=True)
class Metric:
    """How a quantity is drawn.

    Attributes:
        title: heading of the panel.
        unit: label of the vertical axis.
        tags: TensorBoard tag -> its name in the legend.
        factor: from the logged value to the unit.
        measured: smoothed on request; a schedule is not.
        from_zero: whether 0 is on the axis.
    """

    title: str
    unit: str
    tags: Mapping[str, str]
    factor: float = 1.0
    measured: bool = True
    from_zero: bool = True


LOSS = "Cross-entropy per token (nat)"
TRAIN_LOSS = Metric("Training loss", LOSS, {"train/loss": "train"}, from_zero=False)
EVAL_LOSS = Metric("Evaluation loss", LOSS, {"eval/loss": "evaluation"}, from_zero=False)
RATE = Metric("Learning rate", "Learning rate", {"train/learning_rate": "schedule"}, measured=False)
NORM = Metric("Gradient norm", "L2 norm before clipping", {"train/grad_norm": "train"})
WER = Metric("Word error rate", "WER (%)", {"eval/wer": "evaluation"}, factor=100.0)

# Figure name -> metric, for one run and for several; the overviews show four of them.
METRICS: Mapping[str, Metric] = {
    "loss_curves": Metric("Loss", LOSS, {**TRAIN_LOSS.tags, **EVAL_LOSS.tags}, from_zero=False),
    "learning_rate": RATE,
    "gradient_norm": NORM,
    "word_error_rate": WER,
}
OVERVIEW = tuple(METRICS)
COMPARED: Mapping[str, Metric] = {
    "train_loss": TRAIN_LOSS,
    "eval_loss": EVAL_LOSS,
    "learning_rate": RATE,
    "gradient_norm": NORM,
    "word_error_rate": WER,
}
COMPARED_OVERVIEW = ("train_loss", "eval_loss", "gradient_norm", "word_error_rate")


def plot_training(
    runs: str | Path,
    *,
    figures: Mapping[str, Files],
    overview: Files,
    summary: str | Path,
    csv: str | Path,
    title: str,
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
    smooth: float = 0.0,
) -> None:
    """Draw the learning curves of one training run.

    Args:
        runs: folder with TensorBoard event files, also in folders below it.
        figures: name in METRICS -> file or files; the suffix chooses the format.
        overview: file of the 2 x 2 figure with all four.
        summary: text file with the statistics of each metric.
        csv: all raw scalars as a long table (tag, step, wall_time, value); one file per tag is
            written beside it.
        title: what was trained, as the name of the variant.
        dpi: pixels per inch.
        figsize: width and height in inches.
        smooth: weight of `smooth_values`, 0.0 (raw) to 1.0.

    Raises:
        InputError: no logs in `runs`, or an option out of range.
    """
    log = read_log(runs)
    write_csv(log, csv)
    write_summary(log, summary, title)
    for name, path in figures.items():
        with figure(path, dpi=dpi, figsize=figsize) as fig:
            literal(fig.suptitle(title))
            draw_metric(fig.subplots(), METRICS[name], log, smooth)
    with figure(overview, dpi=dpi, figsize=figsize) as fig:
        literal(fig.suptitle(title))
        for ax, name in zip(_two_by_two(fig), OVERVIEW, strict=True):
            draw_metric(ax, METRICS[name], log, smooth)


def plot_training_comparison(
    runs: Mapping[str, str | Path],
    *,
    figures: Mapping[str, Files],
    overview: Files,
    csv: str | Path,
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
    smooth: float = 0.0,
) -> None:
    """Overlay the learning curves of several training runs.

    Args:
        runs: name of the run, as the variant -> folder with TensorBoard event files.
        figures: name in COMPARED -> file.
        overview: file of the 2 x 2 figure with the metrics of COMPARED_OVERVIEW.
        csv: the raw scalars of these metrics as a long table (variant, tag, step, wall_time,
            value).
        dpi, figsize, smooth: as for `plot_training`.

    Raises:
        InputError: no logs in one of the folders, or an option out of range.
    """
    logs = {name: read_log(folder) for name, folder in runs.items()}
    write_table(_long_table(logs), csv)
    for name, path in figures.items():
        with figure(path, dpi=dpi, figsize=figsize) as fig:
            ax = fig.subplots()
            draw_comparison(ax, COMPARED[name], logs, smooth)
            shared_legend(fig, [ax])
    with figure(overview, dpi=dpi, figsize=figsize) as fig:
        axes = _two_by_two(fig)
        for ax, name in zip(axes, COMPARED_OVERVIEW, strict=True):
            draw_comparison(ax, COMPARED[name], logs, smooth)
        shared_legend(fig, axes)


def _long_table(logs: Mapping[str, TrainingLog]) -> pd.DataFrame:
    tags = dict.fromkeys(tag for metric in COMPARED.values() for tag in metric.tags)
    rows = [
        log.scalars[tag].assign(variant=name, tag=tag)
        for name, log in logs.items()
        for tag in tags
        if tag in log.scalars
    ]
    columns = ["variant", "tag", *COLUMNS]
    return pd.concat(rows)[columns] if rows else pd.DataFrame(columns=columns)


def draw_metric(ax: Axes, metric: Metric, log: TrainingLog, smooth: float) -> None:
    """Draw a metric of one run; the best evaluated WER is marked."""
    if not any(tag in log.scalars for tag in metric.tags):
        _say_missing(ax, metric)
        return
    several = len(metric.tags) > 1
    for index, (tag, label) in enumerate(metric.tags.items()):
        style = {"color": COLORS[index], "marker": "os"[index], "linestyle": "-"}
        if tag in log.scalars:
            label = label if several or tag.startswith("eval/") else "_nolegend_"
            _draw_series(ax, log.scalars[tag], metric, style, label, smooth)
        else:
            ax.plot([], [], " ", label=f"{label}: nothing logged")
    if "eval/wer" in metric.tags:
        _mark_best(ax, metric, log.scalars["eval/wer"])
    _finish(ax, metric)
    handles = legend_entries([ax])
    if handles:
        ax.legend(
            handles.values(),
            handles.keys(),
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=len(handles),
            borderaxespad=0.2,
        )


def draw_comparison(
    ax: Axes, metric: Metric, logs: Mapping[str, TrainingLog], smooth: float
) -> None:
    """Draw a metric with a single tag for several runs."""
    (tag,) = metric.tags
    if not any(tag in log.scalars for log in logs.values()):
        _say_missing(ax, metric)
        return
    for index, (name, log) in enumerate(logs.items()):
        if tag in log.scalars:
            style, offset = series_style(index), index / len(logs)
            _draw_series(ax, log.scalars[tag], metric, style, name, smooth, offset)
    _finish(ax, metric)


def _draw_series(
    ax: Axes,
    frame: pd.DataFrame,
    metric: Metric,
    style: Mapping[str, Any],
    label: str,
    smooth: float,
    offset: float | None = None,
) -> None:
    """Draw a line with gaps where values are not finite, and crosses under the gaps."""
    steps = frame["step"].to_numpy()
    raw = frame["value"].to_numpy() * metric.factor
    bad = ~np.isfinite(raw)
    raw = np.where(bad, np.nan, raw)
    shown = raw
    if smooth > 0 and metric.measured:
        ax.plot(steps, raw, color=style["color"], alpha=0.25, linewidth=1.0)
        shown = smooth_values(raw, smooth)
    marked = _marked(shown, offset)
    if not marked:
        style = {**style, "marker": ""}
    width = 1.6 if len(steps) <= FEW_POINTS else 1.1
    ax.plot(steps, shown, **style, label=label, linewidth=width, markevery=marked)
    if bad.any():
        ax.plot(
            steps[bad],
            np.full(bad.sum(), 0.02),
            "x",
            color=style["color"],
            transform=ax.get_xaxis_transform(),
            label=NOT_FINITE,
        )


def _marked(values: np.ndarray, offset: float | None) -> list[int]:
    """Which points get a marker: all of few; of many those that no line leads to.

    With an `offset` (0 to 1) every eighth part of a long line is marked too, to tell lines apart;
    different offsets keep the markers from hiding each other.
    """
    finite = np.isfinite(values)
    if len(values) <= FEW_POINTS:
        return np.flatnonzero(finite).tolist()
    marked = np.convolve(finite, [1, 0, 1], mode="same") == 0
    if offset is not None:
        stride = len(values) // 8
        marked[int(offset * stride) :: stride] = True
    return np.flatnonzero(finite & marked).tolist()


def _mark_best(ax: Axes, metric: Metric, frame: pd.DataFrame) -> None:
    finite = frame[np.isfinite(frame["value"])]
    if finite.empty:
        return
    best = finite.loc[finite["value"].idxmin()]
    value = best["value"] * metric.factor
    ax.plot(
        best["step"],
        value,
        "*",
        color=BASELINE,
        markersize=11,
        zorder=3,
        label=f"best: {value:.1f} % at step {best['step']:.0f}",
    )


def _say_missing(ax: Axes, metric: Metric) -> None:
    ax.set_title(metric.title)
    ax.set_axis_off()
    tags = " or ".join(metric.tags)
    ax.text(
        0.5,
        0.5,
        f"Nothing logged yet under {tags}",
        transform=ax.transAxes,
        color=MUTED,
        ha="center",
        va="center",
        fontsize=11,
    )


def _finish(ax: Axes, metric: Metric) -> None:
    ax.set_title(metric.title)
    ax.set_xlabel("Training step")
    ax.set_ylabel(metric.unit)
    ax.set_xlim(left=0.0)
    if metric.from_zero:
        ax.set_ylim(bottom=0.0)
    if not metric.measured:
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")  # 1.5e-05 at the tick itself


def _two_by_two(fig: Figure) -> list[Axes]:
    return list(fig.subplots(2, 2).flat)
