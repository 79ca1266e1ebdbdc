"""One pass over a stream of clips: decoded on all cores, into the shards of all splits.

The clips of an archive come in an order of their own, those of all shards mixed. Each is handed to
the worker that its shard's part belongs to, which decodes it and appends it to the part; behind the
last clip, the shards are written from their parts, in the order of the clip tables. So the shards
are the same, byte for byte, as those made of an extracted release, whatever the number of workers.

Every so often all workers write what they hold, and how far the pass has come is recorded: it goes
on from there after an interruption. All of that lies in one folder until the shards are complete.
"""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from hearing_asr.clip_table import clip_hash
from hearing_asr.corpus import Limits
from hearing_asr.errors import InputError
from hearing_asr.files import alone, atomic_path
from hearing_asr.ingest_workers import Workers
from hearing_asr.joblog import progress
from hearing_asr.parts import ShardParts, is_whole

log = logging.getLogger("hearing_asr")

CHECKPOINT_INTERVAL = 60.0  # seconds
PARTS = 256  # at least so many, so that they divide evenly among any number of workers

# Called with a number of clips to pass over; gives the name and the file of those behind them.
ClipStream = Callable[[int], Iterable[tuple[str, bytes | None]]]


@dataclass(frozen=True)
class ShardOutput:
    """A shard to write.

    Attributes:
        clip_table: Parquet file of its split; says which clips, in which order.
        number: of the shard in it.
        output: Arrow file.
        rejected: TSV file.
    """

    clip_table: Path
    number: int
    output: Path
    rejected: Path


def shard_outputs(
    counts: Mapping[str, int],
    clip_tables: Sequence[str | Path],
    outputs: Sequence[str | Path],
    rejected: Sequence[str | Path],
) -> list[ShardOutput]:
    """The shards of all splits.

    Args:
        counts: shards of each split.
        clip_tables: of each split, in that order.
        outputs: Arrow files of all shards, those of the first split first.
        rejected: TSV files, in the same order.
    """
    shards = [
        (Path(clip_table), number)
        for clip_table, count in zip(clip_tables, counts.values(), strict=True)
        for number in range(count)
    ]
    files = zip(map(Path, outputs), map(Path, rejected), strict=True)
    return [ShardOutput(*shard, *pair) for shard, pair in zip(shards, files, strict=True)]


def identity_of(files: Iterable[str | Path], *values: object) -> str:
    """A name for what files have in them, and for values."""
    digest = hashlib.sha256(repr(values).encode())
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def ingest(
    stream: ClipStream,
    shards: Sequence[ShardOutput],
    folder: str | Path,
    limits: Limits,
    *,
    workers: int,
    identity: str,
) -> None:
    """Write all shards from one pass over `stream`.

    Args:
        stream: the clips, in the same order whenever it is called.
        shards: of all splits.
        folder: for what is not complete yet, on the same disk as the shards; removed at the end.
        limits: durations to accept.
        workers: processes that decode.
        identity: of everything that the result depends on. A pass that was interrupted goes on if
            it is the same, and begins anew if not.

    Raises:
        InputError: another process works in `folder`; a clip is in two shards; the stream is
            damaged; the disk is full; a worker was killed.
    """
    folder = Path(folder)
    with Workers(workers, limits) as crew, alone(folder, "at work there"):
        state = _State.resume(folder, identity, -(-PARTS // len(shards)))
        if not state.complete:
            _decode(stream, shards, crew, state)
        finished = _assemble(shards, crew, state)
        for shard, (output, rejected) in zip(shards, finished, strict=True):
            _publish(rejected, shard.rejected)
            _publish(output, shard.output)
        state.file.unlink()  # first: a folder without it counts for nothing
        shutil.rmtree(folder)


def _decode(
    stream: ClipStream, shards: Sequence[ShardOutput], crew: Workers, state: "_State"
) -> None:
    """Hand every clip that is wanted to a worker, and record now and then what is stored."""
    places, parts = _places(shards), state.parts_per_shard
    crew.store_in(state.new_attempt())
    if state.position:
        log.info("going on behind the first %d clips, which are decoded", state.position)
    recorder = _Recorder(crew, state)
    position, unwanted = state.position, 0
    for path, data in progress(stream(state.position), "clips of the release"):
        position += 1
        if (place := places.get(path)) is None:
            unwanted += 1
        else:
            shard, row = divmod(place, _ROWS)
            crew.store(shard * parts + clip_hash(path, "part") % parts, row, data)
        recorder.look(position)
    recorder.finish(position)
    log.info("%d clips in the release, %d of them not wanted here", position, unwanted)


class _Recorder:
    """Records now and then how far the pass has come, without holding it up."""

    def __init__(self, crew: Workers, state: "_State") -> None:
        self._crew = crew
        self._state = state
        self._last = time.monotonic()
        self._position: int | None = None  # of the checkpoint that is under way

    def look(self, position: int) -> None:
        """Begin a checkpoint if it is time, record one that has been completed."""
        if self._position is None:
            if time.monotonic() - self._last >= CHECKPOINT_INTERVAL:
                self._crew.begin_checkpoint()
                self._position = position
        elif (lengths := self._crew.checkpoint()) is not None:
            self._state.record(self._position, lengths)
            self._position, self._last = None, time.monotonic()

    def finish(self, position: int) -> None:
        """Wait until all is stored, and record that.

        Not until it is on the disk itself, which takes a while: the shards are written next, and
        should the machine fail meanwhile, `_State.is_whole` tells.
        """
        self._crew.checkpoint(wait=True)
        self._crew.begin_checkpoint(sync=False)
        self._state.record(position, self._crew.checkpoint(wait=True), complete=True)


_ROWS = 1 << 32  # more than a shard has


def _places(shards: Sequence[ShardOutput]) -> dict[str, int]:
    """Where each clip goes: number in `shards` times _ROWS, plus its row in that shard."""
    numbers = {(shard.clip_table, shard.number): k for k, shard in enumerate(shards)}
    places: dict[str, int] = {}
    for clip_table in dict.fromkeys(shard.clip_table for shard in shards):
        table = pq.read_table(clip_table, columns=["shard", "path"])
        number = table["shard"].to_numpy()
        first = np.searchsorted(number, number)  # the table is sorted by shard
        which = np.array([numbers[clip_table, n] for n in range(number.max() + 1)])
        place = which[number].astype(np.int64) * _ROWS + np.arange(len(number)) - first
        paths = table["path"].to_pylist()
        taken = len(places) + len(paths)
        places.update(zip(paths, place.tolist(), strict=True))
        if len(places) < taken:
            raise InputError(
                f"{clip_table}: has clips that another split has as well. Delete the folder it "
                "is in, and run the workflow again."
            )
    return places


def _assemble(
    shards: Sequence[ShardOutput], crew: Workers, state: "_State"
) -> list[tuple[Path, Path]]:
    """Write the shards that are not written yet; the files of all of them."""
    finished = [
        (state.folder / f"{k}.arrow", state.folder / f"{k}.tsv") for k in range(len(shards))
    ]
    parts = state.parts_per_shard
    waiting = []
    for k, (shard, (output, rejected)) in enumerate(zip(shards, finished, strict=True)):
        if not output.exists():
            of_shard = range(k * parts, (k + 1) * parts)
            pieces = tuple(piece for part in of_shard for piece in state.pieces(part))
            waiting.append(ShardParts(shard.clip_table, shard.number, output, rejected, pieces))
    for _ in progress(crew.write(waiting), "writing", total=len(waiting), unit="shards"):
        pass
    return finished


@dataclass
class _State:
    """How far a pass has come, as state.json in its folder has it.

    Attributes:
        folder: of the pass.
        identity: see `ingest`.
        parts_per_shard: number of parts.
        position: clips of the stream that are dealt with.
        attempts: for each start of the pass, the lengths of its parts' files.
        complete: whether the stream has been read to its end.
    """

    folder: Path
    identity: str
    parts_per_shard: int
    position: int
    attempts: list[dict[int, tuple[int, int]]]
    complete: bool

    @classmethod
    def resume(cls, folder: Path, identity: str, parts_per_shard: int) -> "_State":
        """What an earlier pass has left in `folder`, if it was the same; else an empty one."""
        new = cls(folder, identity, parts_per_shard, 0, [], False)
        if new.file.exists():
            known = json.loads(new.file.read_text())
            if known.pop("identity") == identity:
                known["attempts"] = [
                    {int(part): tuple(lengths) for part, lengths in attempt.items()}
                    for attempt in known["attempts"]
                ]
                state = cls(folder, identity, parts_per_shard, **known)
                if state.is_whole():
                    return state
                log.warning("%s: not all that was stored is there; beginning anew", folder)
            else:
                log.info("%s: other clips, or another code; beginning anew", folder)
            new.file.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return new

    @property
    def file(self) -> Path:
        return self.folder / "state.json"

    def new_attempt(self) -> Path:
        """The folder of a new attempt. That of one which was killed may still be written to."""
        self.attempts.append({})
        self.record(self.position, {})
        return self._folder(len(self.attempts))

    def record(
        self, position: int, lengths: dict[int, tuple[int, int]], complete: bool = False
    ) -> None:
        """Note what the present attempt has on the disk."""
        self.position, self.attempts[-1], self.complete = position, lengths, complete
        known = {
            "identity": self.identity,
            "position": self.position,
            "attempts": self.attempts,
            "complete": self.complete,
        }
        with atomic_path(self.file) as temporary:
            temporary.write_text(json.dumps(known))

    def pieces(self, part: int) -> Iterator[tuple[Path, int, tuple[int, int]]]:
        """Folder, number and lengths of what each attempt has of a part."""
        for number, lengths in enumerate(self.attempts, start=1):
            if part in lengths:
                yield self._folder(number), part, lengths[part]

    def is_whole(self) -> bool:
        """Whether all that was recorded is there, or is part of a shard already."""
        written = {int(file.stem) for file in self.folder.glob("[0-9]*.arrow")}
        return all(
            part // self.parts_per_shard in written or is_whole(*piece)
            for lengths in self.attempts
            for part in lengths
            for piece in self.pieces(part)
        )

    def _folder(self, attempt: int) -> Path:
        return self.folder / f"attempt-{attempt}"


def _publish(file: Path, output: Path) -> None:
    """Put a finished file under its name; it stays here too, should this be interrupted."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    try:
        os.link(file, output)
    except OSError:  # a file system without hard links
        os.replace(file, output)
