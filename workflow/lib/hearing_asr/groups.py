"""Word error rates by groups of speakers and clips, where a group is large enough to say so."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from hearing_asr.cells import Cells, Key, load_cells
from hearing_asr.clip_facts import DEMOGRAPHICS, FACTS
from hearing_asr.errors import InputError
from hearing_asr.score_tables import write_csv
from hearing_asr.transcripts import read_rows, some
from hearing_asr.uncertainty import Draws, ratio_intervals, resampled_blocks

NOT_STATED = "not stated"
SMALL = "groups too small"  # what is left of a grouping, together
BINS = 4  # of what is measured: about as many clips in each
MEASURED = {  # grouping: column of the clip facts, unit, decimals
    "clip length": ("duration", "s", 2),
    "signal level": ("level", "dB FS", 1),
    "speaking rate": ("words_per_second", "words/s", 2),
}


@dataclass(frozen=True)
class Least:
    """What a group must have to be reported: speakers that are known, and clips."""

    speakers: int
    clips: int


def write_groups(
    files: Mapping[Key, str | Path],
    facts: str | Path,
    groups_csv: str | Path,
    draws: Draws,
    least: Least,
) -> None:
    """Score every group of clips in every cell.

    Args:
        files: (model, variant, seed) -> prediction file.
        facts: Parquet file of `clip_facts.write_clip_facts` for the same clips.
        groups_csv: a row per grouping, group and cell: grouping, group, model, variant, clips,
            speakers, words, wer, low and high (95 % interval by bootstrap over the group's
            speakers). Groups smaller than `least` are put together in one row of a grouping,
            SMALL, that has clips, speakers and words, but no rate.
        draws: of the bootstrap.

    Raises:
        InputError: as `cells.load_cells`, or the facts are not those of these clips.
    """
    cells = load_cells(files)
    known = read_rows(facts, FACTS).set_index("path")
    missing = [path for path in cells.paths if path not in known.index]
    if missing:
        raise InputError(
            f"{facts}: nothing is known of clips {some(missing)}. The predictions are of another "
            "test split: delete them, so that they are made again."
        )
    known = known.loc[cells.paths]
    rows = [
        row
        for grouping, groups in groupings(known)
        for row in _grouping(cells, grouping, groups, draws, least)
    ]
    write_csv(pd.DataFrame(rows), groups_csv)


def groupings(facts: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Each way to group clips: its name, and the group of each clip, ordered categories.

    What the corpus states is taken as it is. What is measured is cut at its quartiles, rounded,
    into BINS; into fewer where many clips share a value.
    """
    for name in DEMOGRAPHICS:
        values = facts[name].replace("", NOT_STATED)
        order = [value for value in values.value_counts().index if value != NOT_STATED]
        if order:  # a grouping that nobody stated says nothing
            yield name, pd.Series(pd.Categorical(values, [*order, NOT_STATED]), facts.index)
    for name, (column, unit, decimals) in MEASURED.items():
        edges = np.quantile(facts[column], np.linspace(0, 1, BINS + 1))
        inner = np.unique(edges[1:-1].round(decimals))
        labels = _labels(inner, unit, decimals)
        groups = pd.Categorical.from_codes(np.searchsorted(inner, facts[column], "right"), labels)
        yield name, pd.Series(groups, facts.index)


def _labels(inner: np.ndarray, unit: str, decimals: int) -> list[str]:
    told = [f"{edge:.{decimals}f}" for edge in inner]
    between = [f"{low} to {high} {unit}" for low, high in pairwise(told)]
    return [f"below {told[0]} {unit}", *between, f"{told[-1]} {unit} and more"]


def _grouping(
    cells: Cells, grouping: str, groups: pd.Series, draws: Draws, least: Least
) -> Iterator[dict]:
    small = np.zeros(len(groups), bool)
    for group in groups.cat.categories:
        member = (groups == group).to_numpy()
        if not member.any():
            continue
        if cells.named_speakers(member) < least.speakers or member.sum() < least.clips:
            small |= member
            continue
        errors = cells.errors[member]
        words = np.repeat(cells.words[member][:, None], errors.shape[1], axis=1)
        _, blocks = resampled_blocks(cells.speakers[member].tolist())
        ends = ratio_intervals(errors, words, blocks, replicates=draws.replicates, seed=draws.seed)
        rates = errors.sum(axis=0) / words.sum(axis=0)
        yield from _rows(cells, grouping, str(group), member, (rates, *ends))
    if small.any():
        nothing = np.full(len(cells.names), np.nan)
        yield from _rows(cells, grouping, SMALL, small, (nothing, nothing, nothing))


def _rows(
    cells: Cells, grouping: str, group: str, member: np.ndarray, rates: tuple[np.ndarray, ...]
) -> Iterator[dict]:
    size = {
        "clips": int(member.sum()),
        "speakers": cells.named_speakers(member),
        "words": int(cells.words[member].sum()),
    }
    for place, (model, variant) in enumerate(cells.names):
        wer, low, high = (float(values[place]) for values in rates)
        names = {"grouping": grouping, "group": group, "model": model, "variant": variant}
        yield names | size | {"wer": wer, "low": low, "high": high}
