"""Which sounds of speech are lost: error rates per class, and what is lost of each phoneme."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from hearing_asr.errors import InputError
from hearing_asr.names import ZERO_SHOT
from hearing_asr.plots.scores import COLOR_MAP, text_color
from hearing_asr.plots.style import (
    BASELINE,
    MUTED,
    Files,
    figure,
    literal,
    series_style,
    shared_legend,
)
from hearing_asr.plots.tables import REMEDY, read_table

CLASS_COLUMNS = ("model", "variant", "class", "error_rate", "low", "high")
PHONEME_COLUMNS = ("model", "variant", "phoneme", "class", "error_rate")
RATES = ("error_rate", "low", "high")

# CMUdict's 39 phonemes in the IPA: the table of the dictionary's example words
# (http://www.speech.cs.cmu.edu/cgi-bin/cmudict), symbols of General American as in Ladefoged &
# Johnson, "A Course in Phonetics", chapter 2.
IPA: Mapping[str, str] = dict(
    pair.split(":")
    for pair in (
        "IY:i IH:ɪ EY:eɪ EH:ɛ AE:æ AH:ʌ ER:ɝ AA:ɑ AO:ɔ OW:oʊ UH:ʊ UW:u AY:aɪ AW:aʊ OY:ɔɪ W:w Y:j "
        "L:l R:ɹ M:m N:n NG:ŋ P:p B:b T:t D:d K:k G:ɡ CH:tʃ JH:dʒ F:f V:v TH:θ DH:ð S:s Z:z SH:ʃ "
        "ZH:ʒ HH:h"
    ).split()
)


def plot_phonemes(
    classes_csv: str | Path,
    phonemes_csv: str | Path,
    *,
    classes: Files,
    phonemes: Files,
    reference: str | None = None,
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
) -> None:
    """Draw the tables of `hearing_asr.phonemes.write_phonemes`.

    Args:
        classes_csv: CSV with at least CLASS_COLUMNS; rates are ratios.
        phonemes_csv: CSV with at least PHONEME_COLUMNS.
        classes: file of the error rates per class; the suffix chooses the format.
        phonemes: file of the heat map of what the zero-shot model loses.
        reference: the variant that losses are measured against, by default the first.
        dpi: pixels per inch.
        figsize: width and height in inches.

    Raises:
        InputError: a table cannot be read, lacks a column or the zero-shot model, or has a row
            twice.
    """
    per_class = read_rates(classes_csv, CLASS_COLUMNS)
    losses, groups = loss_table(read_rates(phonemes_csv, PHONEME_COLUMNS), reference)
    with figure(classes, dpi=dpi, figsize=figsize) as fig:
        draw_classes(fig, per_class)
    with figure(phonemes, dpi=dpi, figsize=figsize) as fig:
        draw_losses(fig, losses, groups)


def read_rates(path: str | Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a table of error rates, in % where the file has ratios; names are text.

    Raises:
        InputError: the table cannot be read, lacks one of `columns` or the zero-shot model, or has
            a model, variant and sound (the third column) twice.
    """
    rates = [name for name in columns if name in RATES]
    table = read_table(path, [name for name in columns if name not in RATES], rates)
    if ZERO_SHOT not in set(table["model"]):
        raise InputError(f"{path}: no rows of the model {ZERO_SHOT}. {REMEDY}")
    twice = table[table.duplicated(list(columns[:3]))]
    if len(twice):
        row = " on ".join(twice[["model", "variant"]].iloc[0])
        raise InputError(f"{path}: {twice[columns[2]].iloc[0]} of {row} is in it twice. {REMEDY}")
    table[rates] *= 100.0
    return table[list(columns)]


def draw_classes(fig: Figure, table: pd.DataFrame) -> None:
    """Draw one panel per variant: error rates (%) per class with their 95 % intervals.

    Hollow black circles are the zero-shot model, filled markers the model trained on the variant
    of the panel, in the colour of the variant.
    """
    variants = list(table["variant"].unique())
    names = list(table["class"].unique())
    columns = 1 if len(variants) <= 3 else 2 if len(variants) <= 8 else 3
    rows = math.ceil(len(variants) / columns)
    panels = fig.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for index, (ax, variant) in enumerate(zip(panels, variants, strict=False)):
        tested = table[table["variant"] == variant].set_index(["model", "class"])
        both = variant in tested.index
        _draw_model(ax, tested, ZERO_SHOT, names, -0.14 if both else 0.0, _ZERO_SHOT_STYLE)
        if both:
            _draw_model(ax, tested, variant, names, 0.14, series_style(index))
        literal(ax.set_title(variant))
        ax.grid(axis="x", visible=False)
    for ax in panels[len(variants) :]:
        ax.remove()
    _finish_classes(fig, panels[: len(variants)], names, columns)


_ZERO_SHOT_STYLE: Mapping[str, Any] = {
    "color": BASELINE,
    "marker": "o",
    "markerfacecolor": "white",
    "markeredgewidth": 1.4,
}


def _draw_model(
    ax: Axes,
    tested: pd.DataFrame,
    model: str,
    names: Sequence[str],
    offset: float,
    style: Mapping[str, Any],
) -> None:
    if model not in tested.index:
        return
    rates = tested.loc[model].reindex(names)
    places = np.arange(len(names)) + offset
    label = "zero-shot" if model == ZERO_SHOT else f"trained on {model}"
    ax.vlines(places, rates["low"], rates["high"], colors=style["color"], linewidth=1.6)
    points = dict(style) | {"linestyle": "none", "markersize": 6, "zorder": 3}
    ax.plot(places, rates["error_rate"], label=label, **points)


def _finish_classes(
    fig: Figure, panels: Sequence[Axes], names: Sequence[str], columns: int
) -> None:
    for index, ax in enumerate(panels):
        ax.set_xticks(range(len(names)), names)
        ax.tick_params(axis="x", length=0, labelbottom=index + columns >= len(panels))
        if columns > 1:
            for label in ax.get_xticklabels():
                label.set(rotation=35, ha="right", rotation_mode="anchor")
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.set_ylim(bottom=0.0)
    fig.suptitle("Errors per class of phonemes, by the variant tested on; bars: 95 % intervals")
    fig.supylabel("Substituted or deleted phonemes (%)", fontsize=10)
    shared_legend(fig, panels)
    for text in fig.legends[0].get_texts():
        literal(text)


def loss_table(rates: pd.DataFrame, reference: str | None = None) -> tuple[pd.DataFrame, pd.Series]:
    """Compare the zero-shot model on all variants with the reference.

    Args:
        rates: PHONEME_COLUMNS, error_rate in %.
        reference: a variant; the first one where it is None or was not tested.

    Returns:
        Phonemes as rows, variants as columns: the first column is its error rate in %, the others
        are the increase over it in percentage points; NaN where there is none. And the class of
        each phoneme. Both keep the order in which they first appear.
    """
    zero_shot = rates[rates["model"] == ZERO_SHOT]
    groups = zero_shot.drop_duplicates("phoneme").set_index("phoneme")["class"]
    wide = zero_shot.pivot(index="phoneme", columns="variant", values="error_rate")
    variants = list(zero_shot["variant"].unique())
    variants.sort(key=lambda name: name != reference)  # stable: the others keep their order
    wide = wide.loc[groups.index, variants]
    wide.iloc[:, 1:] = wide.iloc[:, 1:].sub(wide.iloc[:, 0], axis=0)
    return wide, groups


def draw_losses(fig: Figure, losses: pd.DataFrame, groups: pd.Series) -> None:
    """Draw the tables of `loss_table` as a heat map in two halves, phonemes below their class.

    The first column is another quantity than the others, and has no colour.
    """
    scale, extend = _scale(losses.to_numpy(dtype=float)[:, 1:])
    halves = _halves(groups)
    height = max(len(half) + half.nunique() for half in halves)
    panels = fig.subplots(1, len(halves), squeeze=False).ravel()
    for ax, half in zip(panels, halves, strict=True):
        _draw_half(ax, losses, half, scale, height)
    fig.suptitle(
        "Phonemes that the zero-shot model substitutes or deletes, by the variant tested on"
    )
    if losses.shape[1] > 1:
        bar = fig.colorbar(
            ScalarMappable(scale, COLOR_MAP), ax=list(panels), extend=extend, pad=0.02, aspect=40
        )
        bar.set_label(f"Increase of the error rate over {losses.columns[0]} (percentage points)")
        literal(bar.ax.yaxis.label)


def _scale(increases: np.ndarray) -> tuple[Normalize, str]:
    """0 to the largest increase in tens of points; what decreases has the first colour."""
    top = max(10.0, math.ceil(np.nanmax(increases, initial=0.0) / 10) * 10)
    falls = np.nanmin(increases, initial=0.0) < 0
    return Normalize(0.0, top), "min" if falls else "neither"


def _halves(groups: pd.Series) -> list[pd.Series]:
    """Cut between two classes, where both halves are about as high."""
    sizes = groups.value_counts(sort=False)
    ends = sizes.cumsum()
    heights = (sizes + 1).cumsum()
    cut = ends[(2 * heights - heights.iloc[-1]).abs().idxmin()]
    return [half for half in (groups.iloc[:cut], groups.iloc[cut:]) if len(half)]


def _draw_half(
    ax: Axes, losses: pd.DataFrame, groups: pd.Series, scale: Normalize, height: int
) -> None:
    """Draw the phonemes of `groups` in a panel of `height` rows, a heading above each class."""
    colors = matplotlib.colormaps[COLOR_MAP].with_extremes(bad="white")
    size = _text_size(ax.get_figure(), height, losses.shape[1])
    cells = np.full((height, losses.shape[1]), np.nan)
    rows: dict[int, str] = {}
    for name, members in groups.groupby(groups, sort=False):
        heading = len(rows) + len(set(groups[list(rows.values())]))
        heading_text = {"fontsize": size, "fontweight": "bold", "va": "center"}
        literal(ax.text(-0.5, heading, str(name), **heading_text))
        rows |= dict(enumerate(members.index, heading + 1))
    for row, phoneme in rows.items():
        cells[row, 1:] = losses.loc[phoneme].iloc[1:]
        for column, value in enumerate(losses.loc[phoneme]):
            _annotate(ax, row, column, value, colors(scale(value)), size)
    ax.imshow(np.ma.masked_invalid(cells), cmap=colors, norm=scale, aspect="auto")
    _name_cells(ax, losses.columns, rows, size)


def _text_size(fig: Figure, rows: int, columns: int) -> float:
    """Points in which rows do not touch, nor values of six characters side by side."""
    width, height = fig.get_size_inches()
    return float(np.clip(min(35 * height / rows, 6 * width / columns), 4.0, 11.0))


def _annotate(
    ax: Axes, row: int, column: int, value: float, color: Sequence[float], size: float
) -> None:
    """Write a rate ("4.2 %") in the first column, an increase ("+4.2") in the others."""
    colored = column > 0 and np.isfinite(value)
    text = "–"
    if np.isfinite(value):
        text = f"{value:+.1f}".replace("-", "−") if column else f"{value:.1f} %"
    ax.text(
        column,
        row,
        text,
        ha="center",
        va="center",
        fontsize=size,
        color=text_color(color) if colored else MUTED,
    )


def _name_cells(ax: Axes, variants: Sequence[str], rows: Mapping[int, str], size: float) -> None:
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_yticks(list(rows), [f"{name}  {IPA.get(name, '')}".strip() for name in rows.values()])
    ax.tick_params(axis="y", labelsize=size)
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(variants)), variants)
    room = ax.get_figure().get_figwidth() * 0.36 / len(variants)  # inches
    if 0.09 * max(map(len, variants)) > room:
        for label in ax.get_xticklabels():
            label.set(rotation=30, ha="left", rotation_mode="anchor")
    for label in [*ax.get_xticklabels(), *ax.get_yticklabels()]:
        literal(label)
