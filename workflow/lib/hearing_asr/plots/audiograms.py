"""The variants on an audiogram chart, and the gain that they stand for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hearing_asr.audiograms import NYQUIST, Audiogram
from hearing_asr.files import atomic_path
from hearing_asr.plots.style import (
    MUTED,
    OCTAVES,
    Files,
    figure,
    literal,
    series_style,
    shared_legend,
)

HALF_OCTAVES = (750, 1500, 3000, 6000)  # Hz, tested where two octaves differ much
LEVELS = (-10.0, 120.0)  # dB HL, the range of clinical audiometers
DB_PER_OCTAVE = 20.0  # as long as one octave: ASHA (1990), Guidelines for Audiometric Symbols

CHART_TO_GAIN = 1.5  # widths of the two panels

# Grades of hearing loss, WHO (2021), World Report on Hearing, table 1.3: name and lower limit in
# dB HL. They are defined for the mean threshold of GRADED in the better ear.
GRADES = (
    ("normal", -np.inf),
    ("mild", 20.0),
    ("moderate", 35.0),
    ("moderately severe", 50.0),
    ("severe", 65.0),
    ("profound", 80.0),
    ("complete", 95.0),
)
GRADED = (500.0, 1000.0, 2000.0, 4000.0)  # Hz


def plot_audiograms(
    variants: Mapping[str, Mapping[Any, Any]],
    *,
    path: Files,
    csv: str | Path,
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
) -> None:
    """Draw the audiograms of all variants, beside them the gain of the mask over linear frequency.

    Args:
        variants: name -> audiogram, a mapping of Hz to dB HL.
        path: file or files of the figure; the suffix chooses the format.
        csv: the points as a table (variant, frequency_hz, threshold_db_hl, gain_db).
        dpi: pixels per inch.
        figsize: width and height in inches.

    Raises:
        InputError: an audiogram is wrong, or the format is unknown.
    """
    audiograms = {
        name: Audiogram.from_config(points, f"variants.{name}.audiogram")
        for name, points in variants.items()
    }
    with atomic_path(csv) as temporary:
        audiogram_table(audiograms).to_csv(temporary, index=False)
    with figure(path, dpi=dpi, figsize=figsize) as fig:
        chart, gain = fig.subplots(1, 2, width_ratios=(CHART_TO_GAIN, 1.0))
        draw_chart(chart, audiograms)
        draw_gain(gain, audiograms)
        shared_legend(fig, [chart])


def audiogram_table(audiograms: Mapping[str, Audiogram]) -> pd.DataFrame:
    """One row per point: variant, frequency_hz, threshold_db_hl, gain_db (of the mask)."""
    rows = [
        (name, frequency, threshold, -threshold)
        for name, audiogram in audiograms.items()
        for frequency, threshold in zip(audiogram.frequencies, audiogram.thresholds, strict=True)
    ]
    return pd.DataFrame(rows, columns=["variant", "frequency_hz", "threshold_db_hl", "gain_db"])


def mean_threshold(audiogram: Audiogram) -> float:
    """Mean threshold at 500, 1000, 2000 and 4000 Hz in dB HL, which the WHO's grades refer to."""
    return float(audiogram.threshold(np.array(GRADED)).mean())


def grade(mean: float) -> str:
    """The WHO's grade of hearing (2021) for a mean threshold in dB HL."""
    return next(name for name, limit in reversed(GRADES) if mean >= limit)


def draw_chart(ax: Axes, audiograms: Mapping[str, Audiogram]) -> None:
    """Draw the chart as audiologists do: octaves to the right, worse hearing downwards."""
    best, worst = _levels(audiograms)
    ax.set_title("Audiograms")
    ax.set_xscale("log", base=2)
    right = OCTAVES[-1] * 2**0.5
    ax.set_xlim(right / 2 ** _octaves(audiograms), right)
    ax.set_ylim(worst, best)
    ax.set_aspect(1.0 / DB_PER_OCTAVE)
    ax.spines[:].set_visible(True)
    _put_frequency_on_top(ax)
    ax.set_xticks(OCTAVES, [str(frequency) for frequency in OCTAVES])
    ax.set_xticks(HALF_OCTAVES, [""] * len(HALF_OCTAVES), minor=True)
    ax.grid(which="minor", axis="x", linestyle=(0, (2, 3)))
    ax.grid(which="both", color="#C0C0C0")
    ax.set_yticks(np.arange(best, worst + 1, 10))
    ax.set_ylabel("Hearing threshold (dB HL)")
    _shade_grades(ax, best, worst)
    for index, (name, audiogram) in enumerate(audiograms.items()):
        mean = mean_threshold(audiogram)
        label = f"{name} (mean {mean:.1f} dB HL, {grade(mean)})"
        ax.plot(audiogram.frequencies, audiogram.thresholds, label=label, **_style(index))


def draw_gain(ax: Axes, audiograms: Mapping[str, Audiogram]) -> None:
    """Draw the mask's gain: minus the threshold, linear over Hz, constant outside its points."""
    best, worst = _levels(audiograms)
    frequency = np.linspace(0.0, NYQUIST, 1001)
    for index, audiogram in enumerate(audiograms.values()):
        style = _style(index)
        marker = {key: style.pop(key) for key in list(style) if key.startswith("marker")}
        ax.plot(frequency, -audiogram.threshold(frequency), **style)
        points = -np.array(audiogram.thresholds)
        ax.plot(
            audiogram.frequencies,
            points,
            color=style["color"],
            linestyle="",
            clip_on=False,
            **marker,
        )
    ax.set_title("Gain of the mask")
    _put_frequency_on_top(ax)
    ax.set_xlim(0.0, NYQUIST)
    ax.set_xticks(np.arange(0.0, NYQUIST + 1, 2000.0))
    ax.set_ylim(-worst, -best)
    ax.set_yticks(np.arange(-worst, -best + 1, 10))
    ax.set_box_aspect(CHART_TO_GAIN * (worst - best) / DB_PER_OCTAVE / _octaves(audiograms))
    ax.set_ylabel("Gain (dB)")


def _levels(audiograms: Mapping[str, Audiogram]) -> tuple[float, float]:
    """The chart's range in dB HL in tens, wider than usual where a threshold asks for it."""
    thresholds = [LEVELS[0], LEVELS[1]]
    for audiogram in audiograms.values():
        thresholds.extend(audiogram.thresholds)
    return float(np.floor(min(thresholds) / 10) * 10), float(np.ceil(max(thresholds) / 10) * 10)


def _octaves(audiograms: Mapping[str, Audiogram]) -> float:
    """The chart's width: down to 125 Hz, or to a lower point, and half an octave at either end."""
    lowest = min([OCTAVES[0], *(audiogram.frequencies[0] for audiogram in audiograms.values())])
    return float(np.log2(OCTAVES[-1] / lowest)) + 1.0


def _put_frequency_on_top(ax: Axes) -> None:
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("Frequency (Hz)")
    ax.tick_params(which="both", length=0)


def _style(index: int) -> dict[str, Any]:
    """Open markers, smaller for later variants: where they coincide all of them are seen."""
    sizes = (10.0, 8.0, 6.5, 5.0)
    return {
        **series_style(index),
        "markerfacecolor": "none",
        "markeredgewidth": 1.6,
        "markersize": sizes[index % len(sizes)],
        "clip_on": False,
    }


def _shade_grades(ax: Axes, best: float, worst: float) -> None:
    limits = [best, *(limit for _, limit in GRADES[1:]), worst]
    for index, (name, _) in enumerate(GRADES):
        top, bottom = limits[index], limits[index + 1]
        ax.axhspan(top, bottom, color="black", alpha=0.015 * index, linewidth=0)
        literal(
            ax.text(
                1.015,
                (top + bottom) / 2,
                name.replace(" ", "\n"),
                transform=ax.get_yaxis_transform(),
                va="center",
                fontsize=8.5,
                color=MUTED,
            )
        )
