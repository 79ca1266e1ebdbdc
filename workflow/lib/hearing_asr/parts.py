"""What a pass over a stream of clips has stored so far: files that are only ever appended to.

A part is a share of one shard. Each worker appends the clips of its parts to files of its own, in
a folder of the attempt; whatever lies behind the length that was recorded last does not count. So
an attempt that was killed leaves nothing that could be mistaken for a clip, whenever it dies.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hearing_asr.clip_table import clip_columns, shard_clips
from hearing_asr.corpus import MISSING, RejectedClip, StoredClip, write_corpus_shard
from hearing_asr.files import explained

BUFFER = 8 << 20  # bytes of audio that a worker holds before it writes
_NOT_FOUND = RejectedClip(MISSING)


class Stored(NamedTuple):
    """Where the audio of a clip lies."""

    file: Path
    offset: int  # bytes
    size: int  # bytes
    scale: float
    duration: float  # s

    def load(self) -> StoredClip:
        """The clip itself."""
        with open(self.file, "rb", buffering=0) as file:
            flac = os.pread(file.fileno(), self.size, self.offset)
        return StoredClip(flac, self.scale, self.duration)


class PartWriter:
    """The parts of one worker in one attempt."""

    def __init__(self, folder: Path) -> None:
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lengths: dict[int, tuple[int, int]] = {}
        self._pending: dict[int, tuple[list[bytes], list[bytes]]] = {}
        self._touched: set[int] = set()
        self._buffered = 0

    def add(self, part: int, row: int, clip: StoredClip | RejectedClip) -> None:
        """Take the clip of a row of the shard's clip table."""
        audio, index = self._pending.setdefault(part, ([], []))
        if isinstance(clip, RejectedClip):
            entry = [row, clip.reason, clip.detail]
        else:
            entry = [row, len(clip.flac), clip.scale, clip.duration]
            audio.append(clip.flac)
            self._buffered += len(clip.flac)
        index.append(json.dumps(entry).encode() + b"\n")
        if self._buffered >= BUFFER:
            self._write()

    def flush(self) -> tuple[dict[int, tuple[int, int]], list[Path]]:
        """Write what is held; return the lengths of all parts, and files that were written to
        since the last time.
        """
        self._write()
        files = [file for part in self._touched for file in _files(self._folder, part)]
        self._touched.clear()
        return dict(self._lengths), files

    def _write(self) -> None:
        for part, pending in self._pending.items():
            lengths = []
            for file, data in zip(_files(self._folder, part), pending, strict=True):
                with explained(file), open(file, "ab") as opened:
                    opened.writelines(data)
                    lengths.append(opened.tell())
            self._lengths[part] = tuple(lengths)
        self._touched |= self._pending.keys()
        self._pending.clear()
        self._buffered = 0


def sync(files: Iterable[Path]) -> None:
    """Have files written to the disk itself, so that they survive a machine that fails."""
    for file in files:
        with explained(file), open(file, "ab") as opened:
            os.fsync(opened.fileno())


def is_whole(folder: Path, part: int, lengths: tuple[int, int]) -> bool:
    """Whether what was recorded of a part is there."""
    return all(
        file.exists() and file.stat().st_size >= length
        for file, length in zip(_files(folder, part), lengths, strict=True)
    )


def read_part(
    folder: Path, part: int, lengths: tuple[int, int]
) -> Iterator[tuple[int, Stored | RejectedClip]]:
    """What an attempt has stored of a part, up to the lengths that were recorded.

    Yields:
        The row in the shard's clip table, and where its audio lies or why it was rejected.
    """
    audio, index = _files(folder, part)
    with open(index, "rb") as file:
        lines = file.read(lengths[1]).splitlines()
    offset = 0
    for row, *entry in map(json.loads, lines):
        if isinstance(entry[0], str):
            yield row, RejectedClip(*entry)
        else:
            size, scale, duration = entry
            yield row, Stored(audio, offset, size, scale, duration)
            offset += size


@dataclass(frozen=True)
class ShardParts:
    """A shard to be written, and what it is made of.

    Attributes:
        clip_table: Parquet file; says which clips, in which order.
        number: of the shard in it.
        output: Arrow file to write.
        rejected: TSV file to write.
        parts: folder, number and recorded lengths of each part.
    """

    clip_table: Path
    number: int
    output: Path
    rejected: Path
    parts: tuple[tuple[Path, int, tuple[int, int]], ...]


def write_from_parts(shard: ShardParts) -> None:
    """Write a shard in the order of its clip table, and delete its parts.

    A clip that was in the stream twice is taken as it came last, as when an archive is extracted.
    """
    found: dict[int, Stored | RejectedClip] = {}
    for part in shard.parts:
        found.update(read_part(*part))
    rows = shard_clips(shard.clip_table, shard.number)
    clips = (
        (row, clip.load() if isinstance(clip, Stored) else clip)
        for row, clip in ((row, found.get(k, _NOT_FOUND)) for k, row in enumerate(rows))
    )
    write_corpus_shard(shard.output, shard.rejected, clip_columns(shard.clip_table), clips)
    for folder, part, _ in shard.parts:
        for file in _files(folder, part):
            file.unlink()


def _files(folder: Path, part: int) -> tuple[Path, Path]:
    return folder / f"{part}.flac", folder / f"{part}.jsonl"
