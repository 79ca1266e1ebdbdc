"""Whether models know when they are wrong: errors over confidence."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from hearing_asr.names import ZERO_SHOT
from hearing_asr.plots.style import MUTED, Files, figure, literal, series_style, shared_legend
from hearing_asr.plots.tables import read_table


def plot_calibration(
    bins_csv: str | Path,
    files: Files,
    *,
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
) -> None:
    """Draw WER over confidence of the zero-shot model and of the matched ones.

    Args:
        bins_csv: table of `hearing_asr.calibration.write_calibration`.
        files: file or files of the figure.
        dpi: pixels per inch.
        figsize: width and height in inches.

    Raises:
        InputError: the table cannot be read, lacks a column or has no rows.
    """
    table = read_table(bins_csv, ("model", "variant"), ("confidence", "wer"))
    variants = list(table["variant"].unique())
    with figure(files, dpi=dpi, figsize=figsize) as fig:
        panels = fig.subplots(1, 2, sharex=True, sharey=True)
        for ax, title in zip(
            panels, ("Zero-shot", "Trained on the variant tested on"), strict=True
        ):
            ax.set_title(title)
        for number, variant in enumerate(variants):
            for ax, model in zip(panels, (ZERO_SHOT, variant), strict=True):
                of = table[(table["model"] == model) & (table["variant"] == variant)]
                draw_curve(ax, of, variant, number)
        for ax in panels:
            ax.plot([0, 100], [100, 0], color=MUTED, lw=1, ls=":", label="perfectly calibrated")
            ax.set_xlabel("Confidence (geometric mean of token probabilities, %)")
        panels[0].set_ylabel("WER (%)")
        panels[0].set_ylim(bottom=0)
        shared_legend(fig, panels)
        for text in fig.legends[0].get_texts() if fig.legends else []:
            literal(text)


def draw_curve(ax: Axes, table: pd.DataFrame, variant: str, number: int) -> None:
    """WER in % over mean confidence in %, from bin to bin."""
    ax.plot(
        100 * table["confidence"],
        100 * table["wer"],
        label=f"tested on {variant}",
        **series_style(number),
    )
