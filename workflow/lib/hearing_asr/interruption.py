"""Being told to stop: by SIGTERM (a job's time limit, a cancelled job) or by SIGINT (Ctrl-C)."""

import multiprocessing
import signal
from types import FrameType
from typing import Self

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignals:
    """Within its block, signals to stop are noted instead of ending the process.

    Noted as often as they come, and after the block too once one has come: neither a second one
    nor one that a launcher passes on breaks what is being written, or the way out. Use it in the
    main thread.

    Attributes:
        received: number of the signal that came, 0 while there is none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._note)
            signal.siginterrupt(number, False)  # no write may fail because of it
        return self

    def __exit__(self, *_: object) -> None:
        if not self.received:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = max(self.received, number)


def ignore_stop_signals(worker: int = 0) -> None:
    """Leave it to the main process to stop: for processes that only read data for it.

    A batch system signals all processes of a job. If those that read data died of it, the main
    process could not finish its step.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def end_readers() -> None:
    """End the processes that read data: they ignore what Python ends them with at its exit."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's raises an error for each
    for process in multiprocessing.active_children():
        process.kill()


def stopped_status(number: int) -> int:
    """Exit status of a process that a signal has stopped, as shells count it: 143 for SIGTERM."""
    return 128 + number
