"""Numbers as the report writes them, and the main table for papers."""

import math
from collections.abc import Sequence

import pandas as pd

from hearing_asr.cells import order_models
from hearing_asr.names import MIXED, ZERO_SHOT

NOTHING = "–"
LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def percent(ratio: float, digits: int = 1) -> str:
    """A ratio in %, without the sign."""
    return f"{100 * ratio:.{digits}f}" if math.isfinite(ratio) else NOTHING


def points(ratio: float) -> str:
    """A difference of ratios in percentage points, with its sign."""
    return f"{100 * ratio:+.1f}".replace("-", "−") if math.isfinite(ratio) else NOTHING


def chance(share: float) -> str:
    """A share of replicates: none or all of them are still no certainty."""
    if share < 0.001:
        return "<\u00a00.001"
    return f"{share:.3f}" if share <= 0.999 else ">\u00a00.999"


def signed(value: float, digits: int = 1) -> str:
    """A number as it stands, with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "−") if not math.isnan(value) else NOTHING


def between(low: float, high: float) -> str:
    """An interval of ratios in %, or nothing where it is not known."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return NOTHING
    return f"{100 * low:.1f} to {100 * high:.1f}".replace("-", "−")


def p_value(value: float) -> str:
    """A p-value with as many digits as it is worth."""
    if not math.isfinite(value):
        return NOTHING
    return "<\u00a00.001" if value < 0.001 else f"{value:.3f}"


def model_name(model: str) -> str:
    """How a model is called in text."""
    return {ZERO_SHOT: "zero-shot", MIXED: "all variants, mixed"}.get(model, model)


def main_table(intervals: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """WER in % with its interval: header and rows, models in their order."""
    variants = list(dict.fromkeys(intervals["variant"]))
    known = {(row.model, row.variant): row for row in intervals.itertuples()}
    rows = []
    for model in order_models(list(dict.fromkeys(intervals["model"])), variants):
        cells = [known.get((model, variant)) for variant in variants]
        rows.append([model_name(model), *(_main_cell(cell) for cell in cells)])
    return ["trained on", *variants], rows


def _main_cell(cell) -> str:
    if cell is None:
        return NOTHING
    ends = between(cell.wer_low, cell.wer_high)
    return percent(cell.wer) + ("" if ends == NOTHING else f" ({ends})")


def caption(intervals: pd.DataFrame) -> str:
    """What the main table shows."""
    over = intervals["resampled"].iloc[0]
    clips, speakers = intervals["clips"].iloc[0], intervals["speakers"].iloc[0]
    return (
        f"Word error rates (%) on {clips:,} clips of {speakers:,} speakers, by the variant tested "
        f"on, with 95 % intervals by bootstrap over {over}."
    )


def markdown(intervals: pd.DataFrame) -> str:
    """The main table in Markdown, its caption below."""
    header, rows = main_table(intervals)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    written = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines
    ]
    return "\n".join([*written, "", caption(intervals)]) + "\n"


def latex(intervals: pd.DataFrame) -> str:
    """The main table in LaTeX, for the package booktabs; nothing in it needs Unicode."""
    header, rows = main_table(intervals)
    body = [_latex_row(header), r"\midrule", *map(_latex_row, rows)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(caption(intervals))}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def _latex(text: str) -> str:
    plain = text.replace(NOTHING, "--").replace("−", "-")
    return "".join(LATEX.get(letter, letter) for letter in plain)
