"""Tables that figures are drawn from, read so that what is wrong with them is named."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from hearing_asr.errors import InputError

REMEDY = "Delete it, so that it is computed again."


def read_table(path: str | Path, names: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Read columns of a CSV file: `names` as text as it stands, `numbers` with NaN where empty.

    Raises:
        InputError: the table cannot be read, lacks a column, or has no rows.
    """
    try:
        # A variant may be called `none` or `null`.
        table = pd.read_csv(
            path,
            dtype=dict.fromkeys(names, str) | dict.fromkeys(numbers, float),
            keep_default_na=False,
            na_values={number: ["", "nan"] for number in numbers},
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable table ({error}). {REMEDY}") from error
    missing = [name for name in (*names, *numbers) if name not in table]
    if missing or table.empty:
        wrong = f"columns missing: {', '.join(missing)}" if missing else "no rows"
        raise InputError(f"{path}: {wrong}. {REMEDY}")
    return table
