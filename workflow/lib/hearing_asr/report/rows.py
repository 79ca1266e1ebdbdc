"""Tables of the results as the page shows them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hearing_asr.cells import order_models
from hearing_asr.names import ZERO_SHOT
from hearing_asr.report.numbers import NOTHING, model_name

MOST_WORDS = 12  # confusions shown per variant; the table has more
OCTAVES = ((0, 250), (250, 500), (500, 1000), (1000, 2000), (2000, 4000), (4000, 8000))  # Hz


def matrix(intervals: pd.DataFrame, comparisons: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of the matrix: model and cells, each with its rates, differences and shade (0 to 1)."""
    variants = list(dict.fromkeys(intervals["variant"]))
    known = {(row["model"], row["variant"]): row for row in intervals.to_dict("records")}
    made = {
        (row["comparison"], row["model"], row["variant"]): row
        for row in comparisons.to_dict("records")
    }
    told = []
    for model in order_models(list(dict.fromkeys(intervals["model"])), variants):
        cells = []
        for variant in variants:
            cell = known.get((model, variant))
            cells.append(
                {
                    "variant": variant,
                    "matched": model == variant,
                    "rate": cell,
                    "zero_shot": made.get(("zero-shot", model, variant)),
                    "trained": made.get(("matched", model, variant)),
                    "shade": _shade(cell),
                }
            )
        told.append({"model": model, "name": model_name(model), "cells": cells})
    return told


def _shade(cell: dict[str, Any] | None) -> float:
    return min(1.0, cell["wer"]) if cell and math.isfinite(cell["wer"]) else 0.0


def words(table: pd.DataFrame) -> list[dict[str, Any]]:
    """For each variant and its models: the most frequent substitutions and deletions."""
    told = []
    for variant in dict.fromkeys(table["variant"]):
        for model in (ZERO_SHOT, variant):
            of = table[(table["model"] == model) & (table["variant"] == variant)]
            kinds = {
                kind: of[of["kind"] == kind].head(MOST_WORDS).to_dict("records")
                for kind in ("substitution", "deletion", "insertion")
            }
            if any(kinds.values()):
                told.append({"variant": variant, "name": model_name(model), "kinds": kinds})
    return told


def floor_shares(floor: pd.DataFrame) -> list[dict[str, Any]]:
    """Share of mel cells at the floor by octave: variant and shares, in the order of OCTAVES."""
    told = []
    for variant, of in floor.groupby("variant", sort=False):
        shares = []
        for low, high in OCTAVES:
            band = of[(of["frequency_hz"] >= low) & (of["frequency_hz"] < high)]
            shares.append(float(band["share_at_floor"].mean()) if len(band) else np.nan)
        told.append({"variant": variant, "shares": shares, "all": of["share_at_floor"].mean()})
    return told


def usage(table: pd.DataFrame) -> list[dict[str, Any]]:
    """What jobs used: rule, jobs, longest job, memory, CPU and GPU hours; the last row sums up."""
    told = table.to_dict("records")
    sums = {name: float(table[name].sum()) for name in ("jobs", "cpu_hours_used", "gpu_hours")}
    peak = table["memory_used_mb"].max()
    longest = table["longest_minutes"].max()
    return [*told, {"rule": "all", "memory_used_mb": peak, "longest_minutes": longest} | sums]


def plain(table: pd.DataFrame) -> dict[str, Sequence]:
    """A table as it stands: header and rows of text."""
    filled = table.astype(object).where(table.notna(), NOTHING)
    return {"header": list(table.columns), "rows": filled.astype(str).to_numpy().tolist()}
