"""What every job says while it runs: a log file, progress, and errors a user can act on."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hearing_asr.errors import InputError

Item = TypeVar("Item")

PROGRESS_INTERVAL = 5.0  # seconds between two progress lines
FIRST_TO_FAIL = 3.0  # seconds within which a launcher ends the others when a process has failed

log = logging.getLogger("hearing_asr")


@contextmanager
def job_log(path: str | Path, rank: int | None = None) -> Iterator[logging.Logger]:
    """Log a job to the file `path` and to standard error.

    The file is appended to; each attempt begins with a line that says when and where. Snakemake,
    though, removes a job's log before it tries again: `keep_log` is for what must outlive that.

    An InputError ends the process with exit status 1 and its message alone; any other exception
    is logged with its traceback and raised again.

    Args:
        rank: of one of several processes that a launcher has started. All of them log to the same
            file: the first everything, the others why they fail. When one has failed, the others
            fail as well for want of it, and say nothing: the launcher ends them.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    process = f"process {rank}: " if rank else ""
    logging.basicConfig(
        level=logging.ERROR if rank else logging.INFO,
        format=f"%(asctime)s %(levelname)s {process}%(message)s",
        datefmt="%H:%M:%S",
        handlers=[logging.FileHandler(path), logging.StreamHandler(sys.stderr)],
        force=True,
    )
    logging.captureWarnings(True)
    if rank is None:
        log.info("attempt of %s", _when_and_where())
    try:
        yield log
    except InputError as error:
        if rank:
            time.sleep(FIRST_TO_FAIL)
        log.error("%s", error)
        sys.exit(1)
    except Exception as error:
        if rank is not None and signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            # The launcher's SIGTERM came before the error that is due to the other's end.
            log.error("failed after being told to stop: %s", str(error).partition("\n")[0])
            sys.exit(1)
        if rank is not None:
            time.sleep(FIRST_TO_FAIL)
        log.exception("unexpected error")
        raise


def keep_log(path: str | Path) -> None:
    """Append what this process logs from here on to the file `path` as well."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    kept = logging.FileHandler(path)
    kept.setFormatter(root.handlers[0].formatter)
    root.addHandler(kept)
    log.info("%s; all attempts: %s", _when_and_where(), path)


def _when_and_where() -> str:
    """Date, host and, where Slurm has started this, the job's id."""
    job = os.environ.get("SLURM_JOB_ID")
    restarts = os.environ.get("SLURM_RESTART_COUNT")
    slurm = f", Slurm job {job}" if job else ""
    requeued = f" (requeued {restarts} x)" if job and restarts else ""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S %z')} on {socket.gethostname()}{slurm}{requeued}"


def progress(
    items: Iterable[Item], what: str, total: int | None = None, unit: str = "clips"
) -> Iterator[Item]:
    """Yield `items`, logging count and rate every few seconds and once at the end."""
    begin = last = time.monotonic()
    count = 0
    of = f" of {total}" if total is not None else ""
    for item in items:
        yield item
        count += 1
        now = time.monotonic()
        if now - last >= PROGRESS_INTERVAL:
            last = now
            log.info("%s: %d%s %s, %.0f/s", what, count, of, unit, count / (now - begin))
    seconds = time.monotonic() - begin
    log.info("%s: %d %s in %.1f s", what, count, unit, seconds)
