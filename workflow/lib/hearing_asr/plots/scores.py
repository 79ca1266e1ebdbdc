"""What every model understands of every variant: a heat map and bars of the word error rate."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from hearing_asr.errors import InputError
from hearing_asr.names import MIXED, ZERO_SHOT
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
from hearing_asr.plots.tables import REMEDY, read_table

RATES = ("wer", "wer_low", "wer_high")
COLOR_MAP = "cividis_r"  # light is few errors, dark is many; told apart by everybody
MISSING_COLOR = "#EEEEEE"
LABELLED_BARS = 24  # up to here every bar gets its value


def plot_scores(
    intervals: str | Path,
    *,
    matrix: Files,
    bars: Files,
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
) -> None:
    """Draw the word error rates of all models on all variants.

    Args:
        intervals: CSV with at least model, variant, wer, wer_low and wer_high (ratios).
        matrix: file or files of the heat map, trained on x tested on; the suffix chooses the
            format.
        bars: file or files of the bars, grouped by the variant tested on.
        dpi: pixels per inch.
        figsize: width and height in inches.

    Raises:
        InputError: the table cannot be read, lacks a column, or has a pair twice.
    """
    table, low, high = read_matrices(intervals)
    with figure(matrix, dpi=dpi, figsize=figsize) as fig:
        draw_matrix(fig, table, low, high)
    with figure(bars, dpi=dpi, figsize=figsize) as fig:
        ax = fig.subplots()
        draw_bars(ax, table, low, high)
        shared_legend(fig, [ax])


def read_matrices(intervals: str | Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read WER in % and its ends, with models as rows and variants as columns; NaN for gaps.

    Variants keep their order; rows are the zero-shot model first, then the models in the order
    of the variants that they were trained on, then the one trained on all.

    Raises:
        InputError: the table cannot be read, lacks a column, or has a pair twice.
    """
    table = read_table(intervals, ("model", "variant"), RATES)
    twice = table[table.duplicated(["model", "variant"])]
    if len(twice):
        model, variant = twice[["model", "variant"]].iloc[0]
        raise InputError(
            f"{intervals}: model {model} on variant {variant} is in it twice. {REMEDY}"
        )
    variants = list(table["variant"].unique())
    models = list(table["model"].unique())
    order = [name for name in [ZERO_SHOT, *variants, MIXED] if name in models]
    order += [name for name in models if name not in order]
    wide = [table.pivot(index="model", columns="variant", values=rate) for rate in RATES]
    return tuple(100.0 * rates.loc[order, variants] for rates in wide)


def draw_matrix(fig: Figure, table: pd.DataFrame, low: pd.DataFrame, high: pd.DataFrame) -> None:
    """Draw a heat map of WER in % with its interval; the matched conditions are outlined."""
    ax = fig.subplots()
    values = table.to_numpy(dtype=float)
    scale, extend = _scale(values)
    colors = matplotlib.colormaps[COLOR_MAP].with_extremes(bad=MISSING_COLOR)
    image = ax.imshow(np.ma.masked_invalid(values), cmap=colors, norm=scale, aspect="auto")
    size = float(np.clip(90.0 / max(values.shape), 8.0, 18.0))
    for (row, column), value in np.ndenumerate(values):
        matched = table.index[row] == table.columns[column]
        color = text_color(colors(scale(value))) if np.isfinite(value) else MUTED
        _annotate(ax, row, column, value, matched=matched, color=color, size=size)
        ends = low.iloc[row, column], high.iloc[row, column]
        if np.isfinite(ends).all():
            told = f"{ends[0]:.1f} to {ends[1]:.1f}"
            small = max(6.0, 0.6 * size)
            below = {"ha": "center", "va": "top", "fontsize": small, "color": color}
            ax.annotate(told, (column, row), (0, -0.75 * size), textcoords="offset points", **below)
    ax.grid(False)
    ax.set_xticks(np.arange(values.shape[1] - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(values.shape[0] - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1.5)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    _name_ticks(ax, table)
    ax.set_title(
        "Word error rate (%) on the test split, 95 % intervals below;\n"
        "outlined: trained and tested on the same"
    )
    fig.colorbar(image, ax=ax, label="WER (%)", extend=extend, pad=0.02)


def _annotate(
    ax: Axes, row: int, column: int, value: float, *, matched: bool, color: str, size: float
) -> None:
    ax.text(
        column,
        row,
        f"{value:.1f}" if np.isfinite(value) else "–",
        ha="center",
        va="center",
        fontsize=size,
        fontweight="bold" if matched else "normal",
        color=color,
    )
    if matched:
        outline = {"fill": False, "linewidth": 3, "edgecolor": COLORS[1], "zorder": 3}
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, clip_on=False, **outline))


def _scale(values: np.ndarray) -> tuple[Normalize, str]:
    """0 to the largest WER in tens, at most 100 %: what lies above has the last colour."""
    largest = np.nanmax(values, initial=0.0)
    top = float(np.clip(np.ceil(largest / 10) * 10, 10.0, 100.0))
    return Normalize(0.0, top), "max" if largest > top else "neither"


def text_color(background: Sequence[float]) -> str:
    """Black or white, whichever has more contrast: WCAG 2.2, relative luminance."""
    rgb = np.array(to_rgb(background))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ (0.2126, 0.7152, 0.0722)
    return "black" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _name_ticks(ax: Axes, table: pd.DataFrame) -> None:
    ax.set_xticks(range(table.shape[1]), table.columns)
    ax.set_yticks(range(table.shape[0]), [_model_name(model) for model in table.index])
    _tilt_if_long(ax, table.columns)
    for label in [*ax.get_xticklabels(), *ax.get_yticklabels()]:
        literal(label)
    ax.set_xlabel("Tested on")
    ax.set_ylabel("Trained on")


def _model_name(model: str) -> str:
    return {ZERO_SHOT: "zero-shot", MIXED: "all, mixed"}.get(model, model)


def _tilt_if_long(ax: Axes, names: Sequence[str]) -> None:
    """Tilt the names under the horizontal axis where they would run into each other."""
    room = ax.get_figure().get_figwidth() * 0.75 / len(names)  # inches
    if 0.09 * max(map(len, names)) > room:
        ax.tick_params(axis="x", labelrotation=30)
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def draw_bars(ax: Axes, table: pd.DataFrame, low: pd.DataFrame, high: pd.DataFrame) -> None:
    """Draw WER in % as bars with 95 % intervals, a group per variant, a bar per model."""
    models, variants = table.shape
    width = 0.84 / models
    for index, model in enumerate(table.index):
        offset = (index - (models - 1) / 2) * width
        values = table.loc[model]
        ends = np.maximum([values - low.loc[model], high.loc[model] - values], 0)
        bars = ax.bar(
            np.arange(variants) + offset,
            values,
            width,
            yerr=np.nan_to_num(ends),
            error_kw={"ecolor": MUTED, "capsize": 3, "lw": 1.2},
            label=_bar_label(model),
            linewidth=0.5,
            **_bar_style(model, table),
        )
        if table.size <= LABELLED_BARS:
            ax.bar_label(
                bars,
                fmt=lambda value: f"{value:.1f}" if np.isfinite(value) else "",
                padding=2,
                fontsize=9,
            )
    ax.grid(axis="x", visible=False)
    ax.tick_params(axis="x", length=0)
    ax.set_xticks(range(variants), table.columns)
    _tilt_if_long(ax, table.columns)
    for label in ax.get_xticklabels():
        literal(label)
    ax.set_xlim(-0.6, variants - 0.4)
    ax.set_ylim(bottom=0.0)
    ax.set_title("Word error rate on the test split, with 95 % intervals")
    ax.set_xlabel("Tested on")
    ax.set_ylabel("WER (%)")


def _bar_label(model: str) -> str:
    if model == ZERO_SHOT:
        return "zero-shot"
    return "trained on all, mixed" if model == MIXED else f"trained on {model}"


def _bar_style(model: str, table: pd.DataFrame) -> dict[str, str]:
    """A variant has the colour that it has in the other figures, the zero-shot model is black."""
    if model == ZERO_SHOT:
        return {"color": BASELINE, "edgecolor": "white"}
    columns = list(table.columns)
    others = [name for name in table.index if name not in (*columns, ZERO_SHOT)]
    index = columns.index(model) if model in columns else len(columns) + others.index(model)
    return {
        "color": COLORS[index % len(COLORS)],
        "hatch": HATCHES[index % len(HATCHES)],
        "edgecolor": "white",
    }
