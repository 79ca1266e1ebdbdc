"""One look for all figures, and files that depend on nothing but what they show.

Figures are made without pyplot, so that no state outlives them and no display is needed.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path

Files = str | Path | Sequence[str | Path]  # a figure may be written in several formats

# Okabe & Ito (2008), "Color Universal Design": told apart by colour-blind readers too. Their yellow
# is left out, because a yellow line on white is seen by nobody, and black is kept for BASELINE.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BASELINE = "#000000"  # what the variants are compared with: the zero-shot model, unmasked audio
MUTED = "#6B6B6B"  # notes

# Numbers of colours, lines, markers and hatches share few factors: the combinations of 30 series
# differ in colour and line, and neighbours differ in both on a grey print as well.
LINES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (10, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
NOT_FINITE = "not finite"  # legend entry of values that a line leaves out
HATCHES = ("", "//", "..", "\\\\", "xx", "++", "oo")

OCTAVES = (125, 250, 500, 1000, 2000, 4000, 8000)  # Hz

RC = {
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same everywhere
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.7,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # TrueType: text stays text, as journals ask
    "svg.hashsalt": "hearing-asr",  # ids from the content instead of random ones
}

JPEG = {"quality": 95, "subsampling": 0}  # thin coloured lines survive
SAVE_OPTIONS: Mapping[str, Mapping[str, Any]] = {  # no dates: same figure, same bytes
    ".png": {"metadata": {"Software": None}},
    ".pdf": {"metadata": {"CreationDate": None}},
    ".svg": {"metadata": {"Date": None}},
    ".jpg": {"pil_kwargs": JPEG},
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's defaults and RC: a user's own matplotlibrc has no say meanwhile."""
    defaults = {
        key: value
        for key, value in matplotlib.rcParamsDefault.items()
        if not key.startswith(("backend", "interactive", "toolbar"))
    }
    with matplotlib.rc_context({**defaults, **RC}):
        yield


@contextmanager
def figure(
    files: Files, *, dpi: float = 300, figsize: Sequence[float] = (12, 8)
) -> Iterator[Figure]:
    """Yield an empty figure; save it to `files` when the block has succeeded.

    Args:
        files: one or several; each suffix chooses a format: png, pdf, svg or jpg.
        dpi: pixels per inch (in pdf and svg of embedded images only).
        figsize: width and height in inches.

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    files = [files] if isinstance(files, (str, Path)) else list(files)
    for path in files:
        _save_options(path)
    with house_style():
        fig = Figure(figsize=tuple(figsize), layout="constrained")
        yield fig
        for path in files:
            save_figure(fig, path, dpi)


def save_figure(fig: Figure, path: str | Path, dpi: float) -> None:
    """Write a figure whole or not at all; the same figure gives the same bytes.

    Raises:
        InputError: the suffix is none of png, pdf, svg, jpg, or the file cannot be written.
    """
    options = _save_options(path)
    with house_style(), atomic_path(path) as temporary:
        fig.savefig(temporary, dpi=dpi, **options)


def _save_options(path: str | Path) -> Mapping[str, Any]:
    suffix = Path(path).suffix.lower()
    if suffix not in SAVE_OPTIONS:
        formats = ", ".join(known.lstrip(".") for known in SAVE_OPTIONS)
        raise InputError(f"{path}: figures are written as {formats}; choose plots.formats of these")
    return SAVE_OPTIONS[suffix]


def series_style(index: int) -> dict[str, Any]:
    """Colour, line and marker of the series number `index` (0, 1, ...), as keywords of `plot`."""
    return {
        "color": COLORS[index % len(COLORS)],
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def legend_entries(axes: Iterable[Axes]) -> dict[str, Artist]:
    """Label -> handle of what is drawn in `axes`; each label once, crosses for gaps last."""
    entries: dict[str, Artist] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if NOT_FINITE in entries:
        entries[NOT_FINITE] = entries.pop(NOT_FINITE)
    return entries


def shared_legend(fig: Figure, axes: Iterable[Axes]) -> None:
    """One legend for all `axes`, below them, in as many columns as the figure is wide for."""
    entries = legend_entries(axes)
    if entries:
        column = 0.068 * max(map(len, entries)) + 0.7  # inches: 9 pt letters, handle, gap
        columns = max(1, int(fig.get_figwidth() / column))
        rows = math.ceil(len(entries) / columns)
        fig.legend(
            entries.values(),
            entries.keys(),
            loc="outside lower center",
            ncols=math.ceil(len(entries) / rows),
        )


def literal(text: Text) -> Text:
    """Show `text` as it is: a dollar sign in a sentence or name starts no formula."""
    text.set_parse_math(False)
    return text
