"""The processes of a pass over a stream of clips: each decodes, and stores what is its own."""

import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hearing_asr.corpus import MISSING, Limits, RejectedClip, StoredClip, store_clip
from hearing_asr.errors import InputError
from hearing_asr.parts import PartWriter, ShardParts, sync, write_from_parts

CHUNK_BYTES = 1 << 20  # of files that are handed over at once
CHUNK_CLIPS = 64
CHUNKS = 4  # that wait for a worker: so much is read ahead, and no more
PATIENCE = 1.0  # seconds between two looks whether the other side is still alive


class Workers:
    """Processes that decode clips, to be used in a `with` block.

    Part k belongs to worker k modulo their number, so no two write to the same file. Every method
    raises InputError for what a worker could not do, and if one was killed.
    """

    def __init__(self, count: int, limits: Limits) -> None:
        # Forked: a script that Snakemake runs cannot be imported by new processes.
        context = multiprocessing.get_context("fork")
        self._results = context.Queue()
        self._tasks = [context.Queue(CHUNKS) for _ in range(count)]
        self._chunks: list[list[tuple[int, int, bytes | None]]] = [[] for _ in range(count)]
        self._bytes = [0] * count
        self._lengths: dict[int, tuple[int, int]] = {}
        self._awaited = 0  # workers that a checkpoint still waits for
        self._processes = [
            context.Process(target=_Worker(number, tasks, self._results, limits).run, daemon=True)
            for number, tasks in enumerate(self._tasks)
        ]

    def __enter__(self) -> "Workers":
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()
        for tasks in [*self._tasks, self._results]:
            tasks.cancel_join_thread()

    def store_in(self, folder: Path) -> None:
        """Where the parts are stored from here on."""
        for worker in range(len(self._tasks)):
            self._put(worker, "store_in", folder)

    def store(self, part: int, row: int, data: bytes | None) -> None:
        """Have a clip decoded and stored; waits while its worker has enough to do.

        Args:
            part: where it belongs.
            row: of the shard's clip table.
            data: its file; None if there is no such file.
        """
        worker = part % len(self._tasks)
        self._chunks[worker].append((part, row, data))
        self._bytes[worker] += len(data or b"")
        if len(self._chunks[worker]) == CHUNK_CLIPS or self._bytes[worker] >= CHUNK_BYTES:
            self._hand_over(worker)

    def begin_checkpoint(self, sync: bool = True) -> None:
        """Have all clips so far written, while the work goes on.

        Args:
            sync: to the disk itself, so that they survive a failure of the machine.
        """
        for worker in range(len(self._tasks)):
            self._hand_over(worker)
            self._put(worker, "checkpoint", sync)
        self._awaited = len(self._tasks)
        self._lengths = {}

    def checkpoint(self, wait: bool = False) -> dict[int, tuple[int, int]] | None:
        """The lengths of the parts' files at the last checkpoint; None until it is complete."""
        while self._awaited and (wait or not self._results.empty()):
            self._lengths |= self._result()[1]
            self._awaited -= 1
        return None if self._awaited else self._lengths

    def write(self, shards: Sequence[ShardParts]) -> Iterator[ShardParts]:
        """Write shards from their parts; yields each as soon as it is complete."""
        waiting = list(shards)[::-1]
        working: dict[int, ShardParts] = {}
        for worker in range(min(len(self._tasks), len(waiting))):
            self._put(worker, "write", working.setdefault(worker, waiting.pop()))
        while working:
            worker, _ = self._result()
            yield working.pop(worker)
            if waiting:
                self._put(worker, "write", working.setdefault(worker, waiting.pop()))

    def _hand_over(self, worker: int) -> None:
        if self._chunks[worker]:
            self._put(worker, "store", self._chunks[worker])
            self._chunks[worker], self._bytes[worker] = [], 0

    def _put(self, worker: int, task: str, value: Any = None) -> None:
        while True:
            try:
                self._tasks[worker].put((task, value), timeout=PATIENCE)
                return
            except queue.Full:
                self._check()

    def _result(self) -> tuple[int, Any]:
        while True:
            try:
                worker, value = self._results.get(timeout=PATIENCE)
            except queue.Empty:
                self._check()
                continue
            if isinstance(value, Exception):
                raise value
            return worker, value

    def _check(self) -> None:
        """Raise what a worker has failed with, or that it was killed."""
        dead = [process for process in self._processes if not process.is_alive()]
        if not dead:
            return
        while True:
            try:
                _, value = self._results.get(timeout=PATIENCE)
            except queue.Empty:
                break
            if isinstance(value, Exception):
                raise value
        raise InputError(
            f"a process that decodes clips was ended (exit code {dead[0].exitcode}), perhaps for "
            "want of memory. Ask for more, or set a smaller corpus.num_cpus, and start again: what "
            "is decoded is kept."
        )


class _Worker:
    """What runs in each process."""

    def __init__(self, number: int, tasks: Any, results: Any, limits: Limits) -> None:
        self._number = number
        self._tasks = tasks
        self._results = results
        self._limits = limits
        self._parts: PartWriter | None = None
        self._syncing: threading.Thread | None = None

    def run(self) -> None:
        """Do what is asked for until the process that asks is gone."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; that process decides
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        parent = os.getppid()
        try:
            while os.getppid() == parent:
                try:
                    task, value = self._tasks.get(timeout=PATIENCE)
                except queue.Empty:
                    continue
                getattr(self, f"_{task}")(value)
        except InputError as error:
            self._fail(error)
        except Exception:
            self._fail(RuntimeError(f"a process that decodes clips:\n{traceback.format_exc()}"))

    def _fail(self, error: Exception) -> None:
        self._results.put((self._number, error))
        self._results.close()
        self._results.join_thread()

    def _store_in(self, folder: Path) -> None:
        self._parts = PartWriter(folder)

    def _store(self, clips: list[tuple[int, int, bytes | None]]) -> None:
        for part, row, data in clips:
            self._parts.add(part, row, self._decoded(data))

    def _decoded(self, data: bytes | None) -> StoredClip | RejectedClip:
        if data is None:
            return RejectedClip(MISSING, "what stands for it is not a file")
        try:
            return store_clip(data, self._limits)
        except RejectedClip as rejection:
            return rejection

    def _checkpoint(self, synced: bool) -> None:
        lengths, files = self._parts.flush()
        if self._syncing is not None:
            self._syncing.join()
        files = files if synced else []
        self._syncing = threading.Thread(target=self._sync, args=(lengths, files))
        self._syncing.start()

    def _sync(self, lengths: dict[int, tuple[int, int]], files: list[Path]) -> None:
        try:
            sync(files)
            self._results.put((self._number, lengths))
        except Exception as error:
            self._results.put((self._number, error))

    def _write(self, shard: ShardParts) -> None:
        write_from_parts(shard)
        self._results.put((self._number, None))
