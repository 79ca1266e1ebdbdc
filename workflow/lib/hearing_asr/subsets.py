"""Subsets of a split: the same on every machine, each part of every larger one."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hearing_asr.clip_table import clip_hashes
from hearing_asr.errors import InputError
from hearing_asr.release import read_table

log = logging.getLogger("hearing_asr")

UNLISTED = 0.01  # largest share of the clips that clip_durations.tsv may lack
DURATION = "duration_s"  # column of a dataset of the hub that says how long its clips are
MILLISECONDS = "duration[ms]"


def order(paths: Sequence[str], speakers: Sequence[str] | None = None) -> np.ndarray:
    """The order in which clips are taken, as indices (n,).

    Args:
        paths: of the clips; the order is that of a hash of them.
        speakers: of the clips; every speaker's first clip then comes before any one's second.
    """
    hashes = clip_hashes(paths, "subset")
    if speakers is None:
        return np.argsort(hashes, kind="stable")
    _, speaker = np.unique(np.array(speakers, dtype=object), return_inverse=True)
    by_speaker = np.lexsort((hashes, speaker))
    _, first = np.unique(speaker[by_speaker], return_index=True)
    rank = np.empty(len(paths), np.int64)
    rank[by_speaker] = np.arange(len(paths)) - first[speaker[by_speaker]]
    return np.lexsort((hashes, rank))


def prefix(
    ordered: np.ndarray,
    seconds: np.ndarray | None,
    max_clips: int | None,
    max_hours: float | None,
) -> np.ndarray:
    """As much of the beginning of `ordered` as the limits allow.

    Args:
        ordered: indices of clips.
        seconds: duration of each clip; needed for max_hours.
    """
    count = len(ordered)
    if max_clips is not None:
        count = min(count, max_clips)
    if max_hours is not None:
        hours = np.cumsum(seconds[ordered]) / 3600
        count = min(count, int(np.searchsorted(hours, max_hours, side="right")))
    return ordered[:count]


def clip_durations(rows: pa.Table, durations: str | Path | None) -> np.ndarray | None:
    """How long clips are by the release, in s (n,); None where it does not say.

    Args:
        rows: clips; a column `duration_s` counts.
        durations: clip_durations.tsv: columns clip, duration[ms].

    Raises:
        InputError: the table has other columns, or entries that are no numbers.
    """
    if DURATION in rows.column_names:
        text, known = rows[DURATION], pc.not_equal(rows[DURATION], "")
        factor = 1.0
    elif durations is not None and Path(durations).stat().st_size:
        table = read_table(durations).rows
        if not {"clip", MILLISECONDS} <= set(table.column_names):
            raise InputError(
                f"{durations}: expected the columns clip and {MILLISECONDS}; found "
                f"{', '.join(table.column_names)}"
            )
        where = pc.index_in(rows["path"], value_set=table["clip"].combine_chunks())
        text, known = table[MILLISECONDS].take(where), pc.is_valid(where)
        factor = 0.001
    else:
        return None
    try:
        listed = pc.cast(text.filter(known), pa.float64()).to_numpy() * factor
    except pa.ArrowInvalid as error:
        raise InputError(f"{durations or DURATION}: not a duration: {error}") from None
    known = known.to_numpy(zero_copy_only=False)
    if (~known).sum() > UNLISTED * len(known):
        log.warning("%d of %d clips have no duration in the release", (~known).sum(), len(known))
        return None
    seconds = np.full(len(known), listed.mean() if len(listed) else 0.0)
    seconds[known] = listed
    return seconds


def listed_clips(
    paths: Sequence[str], excluded: dict[str, str], clip_list: str | Path, split: str
) -> np.ndarray:
    """Whether each of a split's clips is in a list, bool (n,).

    Args:
        paths: of the clips that may be taken.
        excluded: reasons of those that may not.
        clip_list: TSV file with the columns split and path.

    Raises:
        InputError: not such a file, or a clip of this split is not in `paths`.
    """
    table = read_table(clip_list).rows
    if not {"split", "path"} <= set(table.column_names):
        raise InputError(
            f"{clip_list}: expected the columns split and path; found "
            f"{', '.join(table.column_names)}"
        )
    of_split = table.filter(pc.equal(table["split"], split))
    wanted = set(of_split["path"].to_pylist())
    if missing := sorted(wanted - set(paths)):
        some = ", ".join(
            f"{path} ({excluded[path]})" if path in excluded else path for path in missing[:3]
        )
        raise InputError(
            f"{clip_list}: {len(missing)} of {len(wanted)} clips of {split} cannot be taken from "
            f"this release: {some}{', ...' if len(missing) > 3 else ''}. Take the release and the "
            "settings that the list was made with."
        )
    return np.array([path in wanted for path in paths], bool)
