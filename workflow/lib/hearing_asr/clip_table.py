"""Clip tables: which clips of a split are taken, and the shard of each."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hearing_asr.files import atomic_path

ROW_GROUP = 10_000  # rows that are read together


def clip_hash(path: str, purpose: str) -> int:
    """A 64 bit hash of a clip's path, another one for each purpose, the same everywhere."""
    digest = hashlib.blake2b(path.encode(), digest_size=8, person=purpose.encode()).digest()
    return int.from_bytes(digest, "big")


def clip_hashes(paths: Sequence[str], purpose: str) -> np.ndarray:
    """`clip_hash` of many clips, uint64 (n,)."""
    return np.fromiter((clip_hash(path, purpose) for path in paths), np.uint64, len(paths))


def write_sharded(clips: pa.Table, output: str | Path, shards: int) -> None:
    """Write clips as Parquet, with the number of the shard of each.

    The shard follows from the clip's path alone, whatever other clips there are. The rows are
    sorted by shard, so that a shard's job reads just its part, and keep their order within it.

    Args:
        clips: columns of text, `path` among them.
        output: the columns of `clips`, `shard` (int32) in front.
        shards: of the split.
    """
    shard = (clip_hashes(clips["path"].to_pylist(), "shard") % np.uint64(shards)).astype(np.int32)
    order = np.argsort(shard, kind="stable")
    sharded = clips.add_column(0, "shard", pa.array(shard)).take(pa.array(order))
    with atomic_path(output) as temporary:
        pq.write_table(sharded, temporary, row_group_size=ROW_GROUP)


def shard_clips(clip_table: str | Path, shard: int) -> list[dict[str, str]]:
    """The rows of one shard from what `write_sharded` wrote, without the column `shard`."""
    rows = pq.read_table(clip_table, filters=[("shard", "==", shard)]).drop_columns("shard")
    return rows.to_pylist()


def clip_columns(clip_table: str | Path) -> list[str]:
    """The release's columns in what `write_sharded` wrote."""
    return [name for name in pq.read_schema(clip_table).names if name != "shard"]
