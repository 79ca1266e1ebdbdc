"""Which information a variant leaves, and what the models make of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox

from hearing_asr.errors import InputError
from hearing_asr.names import ZERO_SHOT
from hearing_asr.plots.style import (
    BASELINE,
    MUTED,
    OCTAVES,
    Files,
    figure,
    literal,
    series_style,
    shared_legend,
)
from hearing_asr.plots.tables import read_table

FLOOR = ("frequency_hz", "share_at_floor")
SPECTRUM = ("frequency_hz", "level_db")
SII = ("sii",)
INTERVALS = ("wer", "wer_low", "wer_high")

POINTS_PER_MARKER = 8  # on lines of 80 points and more
LABEL_SIZE = 9  # points
MARKER_SIZE = 9  # points
CLEARANCE = 6.5  # points around the middle of a marker that no name may cover
# Where a name may go, best first, in points to the right of and above its marker.
PLACES = [
    (side * right, up)
    for right in (9, 18, 36, 72)
    for up in (0, 7, -7, 12, -12, 18, -18, 24, -24, 36, -36, 48, -48)
    for side in (1, -1)
]
BESIDE = PLACES[:2]  # where it takes no line to tell whose name it is


def plot_information(
    floor_csv: str | Path,
    spectrum_csv: str | Path,
    sii_csv: str | Path,
    intervals_csv: str | Path,
    *,
    floor: Files,
    spectrum: Files,
    sii: Files,
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
) -> None:
    """Draw the tables of `hearing_asr.information`, the index against the word error rate.

    Variants have the colours of the other figures; they come in the order of `sii_csv`. What else
    is in a table (unmasked audio) is black.

    Args:
        floor_csv: variant, frequency_hz, share_at_floor (0 to 1).
        spectrum_csv: variant, frequency_hz, level_db.
        sii_csv: variant, sii (0 to 1).
        intervals_csv: model, variant, wer, wer_low, wer_high (ratios; the ends of 95 % intervals,
            empty where there is none).
        floor: figure of the share of cells at the floor over frequency; the suffix chooses the
            format.
        spectrum: figure of the long-term average spectrum.
        sii: figure of WER over SII: of the zero-shot model and of the model trained on the variant.
        dpi: pixels per inch.
        figsize: width and height in inches.

    Raises:
        InputError: a table cannot be read or lacks a column, or no variant was transcribed.
    """
    shares = read_table(floor_csv, ("variant",), FLOOR)
    levels = read_table(spectrum_csv, ("variant",), SPECTRUM)
    indices = read_table(sii_csv, ("variant",), SII).set_index("variant")["sii"]
    points = matched_points(intervals_csv, indices)
    variants = list(indices.index)
    for path, draw, table in (
        (floor, draw_floor, shares),
        (spectrum, draw_spectrum, levels),
        (sii, draw_sii, points),
    ):
        with figure(path, dpi=dpi, figsize=figsize) as fig:
            ax = fig.subplots()
            draw(ax, table, variants)
            shared_legend(fig, [ax])
            for name in fig.legends[0].get_texts():
                literal(name)
            if table is points:
                place_names(fig, ax, points)


def matched_points(intervals_csv: str | Path, indices: pd.Series) -> pd.DataFrame:
    """The rows of the zero-shot model and of matched models, with their SII; WER in %.

    Args:
        intervals_csv: as for `plot_information`.
        indices: SII by variant. Rows of variants that have none are left out.

    Returns:
        Columns model, variant, sii, wer, wer_low, wer_high.

    Raises:
        InputError: the table cannot be read or lacks a column, or none of its rows is left.
    """
    table = read_table(intervals_csv, ("model", "variant"), INTERVALS)
    wanted = (table["model"] == ZERO_SHOT) | (table["model"] == table["variant"])
    table = table[wanted & table["variant"].isin(indices.index) & table["wer"].notna()]
    if table.empty:
        raise InputError(
            f"{intervals_csv}: no word error rate of the zero-shot model or of a model on its own "
            f"variant ({', '.join(indices.index)}). Delete it, so that it is computed again."
        )
    table = table.assign(sii=table["variant"].map(indices), **(100.0 * table[list(INTERVALS)]))
    return table[["model", "variant", "sii", *INTERVALS]].reset_index(drop=True)


def draw_floor(ax: Axes, table: pd.DataFrame, variants: Sequence[str]) -> None:
    """Draw the share of mel cells at Whisper's floor in % over frequency, a line per variant."""
    shares = table.assign(share=100.0 * table["share_at_floor"])
    _draw_lines(ax, shares, "share", variants)
    ax.set_ylim(0.0, 100.0)
    ax.set_title("Mel cells at Whisper's floor: 80 dB below the maximum of the clip")
    ax.set_ylabel("Share of cells at the floor (%)")


def draw_spectrum(ax: Axes, table: pd.DataFrame, variants: Sequence[str]) -> None:
    """Draw the level in one-third-octave bands over frequency, a line per variant."""
    _draw_lines(ax, table, "level_db", variants)
    ax.set_title("Long-term average spectrum of the audio that the models are given")
    ax.set_ylabel("Level per one-third octave (dB re full scale, mean square 1)")


def draw_sii(ax: Axes, points: pd.DataFrame, variants: Sequence[str]) -> None:
    """Draw WER in % over the SII with 95 % intervals: hollow zero-shot, filled matched models."""
    for point in points.itertuples():
        style = _style(point.variant, variants)
        color, hollow = style["color"], point.model == ZERO_SHOT
        # Not errorbar: an interval of a biased estimate need not enclose it.
        ax.vlines(point.sii, point.wer_low, point.wer_high, color=color, linewidth=1.4)
        ends = [end for end in (point.wer_low, point.wer_high) if np.isfinite(end)]
        ax.plot([point.sii] * len(ends), ends, color=color, linestyle="", marker="_", markersize=8)
        ax.plot(
            point.sii,
            point.wer,
            color=color,
            linestyle="",
            marker=style["marker"],
            markersize=MARKER_SIZE,
            markerfacecolor="white" if hollow else color,
            markeredgewidth=1.6,
            clip_on=False,
            zorder=4 if hollow else 3,
        )
    _explain_markers(ax, points)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xticks(np.arange(0.0, 1.01, 0.1))
    top = np.nanmax(points[["wer", "wer_high"]].to_numpy(dtype=float))
    ax.set_ylim(0.0, max(1.0, 1.08 * top))
    ax.set_title("What a listener could make use of, and what the models understood")
    ax.set_xlabel("Speech Intelligibility Index (unaided, normal vocal effort, in quiet)")
    ax.set_ylabel("WER (%), with 95 % interval")


def place_names(fig: Figure, ax: Axes, points: pd.DataFrame) -> None:
    """Write the variant beside each marker, where it covers no marker, interval or other name.

    The layout must be final: it is made here, and names do not change it any more.
    """
    fig.draw_without_rendering()
    taken = [_around(ax, point) for point in points.itertuples()]
    for point in points.sort_values(["wer", "sii"], ascending=False, kind="stable").itertuples():
        name = _annotate(ax, point, point.variant, fontsize=LABEL_SIZE, va="center")
        place = _best_place(ax, name, taken)
        _put(name, place)
        taken.append(name.get_window_extent())
        if place not in BESIDE:
            line = {"arrowstyle": "-", "color": MUTED, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 5}
            _annotate(ax, point, "", position=place, arrowprops=line)


def _best_place(ax: Axes, name: Annotation, taken: Sequence[Bbox]) -> tuple[float, float]:
    """The first place within the axes that covers nothing; in a crowd the one that covers least."""
    frame = ax.get_window_extent()
    best, fewest = PLACES[0], np.inf
    for place in PLACES:
        _put(name, place)
        box = name.get_window_extent()
        covered = box.count_overlaps(taken)
        if covered < fewest and all(frame.contains(*corner) for corner in box.corners()):
            best, fewest = place, covered
        if fewest == 0:
            break
    return best


def _put(name: Annotation, place: tuple[float, float]) -> None:
    name.set(position=place, ha="left" if place[0] > 0 else "right")


def _annotate(
    ax: Axes, point: Any, text: str, position: tuple[float, float] = PLACES[0], **options: Any
) -> Annotation:
    """Write `text` at `position`, in points from a point; the layout takes no notice."""
    note = ax.annotate(
        text, (point.sii, point.wer), xytext=position, textcoords="offset points", **options
    )
    note.set_in_layout(False)
    literal(note)
    return note


def _around(ax: Axes, point: Any) -> Bbox:
    """The marker and its interval, in pixels."""
    rates = [rate for rate in (point.wer, point.wer_low, point.wer_high) if np.isfinite(rate)]
    ends = ax.transData.transform([(point.sii, min(rates)), (point.sii, max(rates))])
    half = CLEARANCE * ax.get_figure().dpi / 72
    return Bbox([ends[0] - half, ends[1] + half])


def _explain_markers(ax: Axes, points: pd.DataFrame) -> None:
    """Legend entries: what is hollow and what is filled."""
    for label, face, drawn in (
        ("zero-shot", "white", (points["model"] == ZERO_SHOT).any()),
        ("trained on the variant", MUTED, (points["model"] != ZERO_SHOT).any()),
    ):
        if drawn:
            marker = {"marker": "o", "markersize": MARKER_SIZE, "markerfacecolor": face}
            ax.add_line(Line2D([], [], color=MUTED, linestyle="", label=label, **marker))


def _draw_lines(ax: Axes, table: pd.DataFrame, column: str, variants: Sequence[str]) -> None:
    for name, rows in table.groupby("variant", sort=False):
        every = POINTS_PER_MARKER if len(rows) >= 10 * POINTS_PER_MARKER else 1
        ax.plot(
            rows["frequency_hz"],
            rows[column],
            label=name,
            markevery=every,
            clip_on=False,
            **_style(name, variants),
        )
    ax.set_xscale("log")
    ax.set_xticks(OCTAVES, [str(frequency) for frequency in OCTAVES])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("Frequency (Hz)")


def _style(name: str, variants: Sequence[str]) -> dict[str, Any]:
    """A variant's own; black, wide and behind the others for what is none."""
    if name in variants:
        return series_style(variants.index(name))
    return {"color": BASELINE, "linestyle": "-", "marker": "", "linewidth": 3.0, "zorder": 1.9}
