"""Starting a training in several processes on one machine, with torchrun's launcher."""

import ctypes
import logging
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import Sequence
from types import FrameType

from hearing_asr.interruption import STOP_SIGNALS, stopped_status

log = logging.getLogger("hearing_asr")

SAVING_TIMEOUT = 600  # seconds that the processes have to save a checkpoint once told to stop
PR_SET_PDEATHSIG = 1  # of Linux' prctl


def is_worker() -> bool:
    """Whether this process is one of several that a launcher has started."""
    return "RANK" in os.environ


def follow_launcher() -> None:
    """Have the kernel tell this process to stop when its launcher dies.

    Otherwise the processes of a launcher that was killed would train on, and write where the
    next attempt writes.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def launch(program: Sequence[str], processes: int) -> int:
    """Run a Python program in several processes of one training and wait for all of them.

    This is what `torchrun --standalone` does, except that a signal to stop may come more than
    once, and that the log says why a process ended instead of a traceback of the launcher.

    Args:
        program: the program's file and its arguments.
        processes: how many; each finds RANK, WORLD_SIZE and so on in its environment.

    Returns:
        The exit status: 0, that of the first process that failed, or 128 + the signal that ended
        it or the launcher.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    def stop(number: int, frame: FrameType | None) -> None:
        for further in STOP_SIGNALS:  # the launcher would leave its processes alone
            signal.signal(further, signal.SIG_IGN)
        raise SignalException("told to stop", sigval=signal.Signals(number))

    for number in STOP_SIGNALS:
        signal.signal(number, stop)
    logging.getLogger("torch").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",  # host names need not resolve on a compute node
            max_restarts=0,
            signals_to_handle="SIGHUP,SIGQUIT",
            shutdown_timeout=SAVING_TIMEOUT,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)(*program)
        except SignalException as told:
            return stopped_status(told.sigval)
        except ChildFailedError as error:
            return _status(error)
    return 0


def _status(error: "ChildFailedError") -> int:  # noqa: F821 - torch is imported when needed
    rank, failure = error.get_first_failure()
    if failure.exitcode >= 0:
        return failure.exitcode
    log.error(
        "process %d of the training was ended by %s%s",
        rank,
        failure.signal_name(),
        " (too little memory?)" if failure.exitcode == -signal.SIGKILL else "",
    )
    return stopped_status(-failure.exitcode)
