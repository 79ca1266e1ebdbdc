"""What every job says while it runs: a log file, progress, and errors a user can act on."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hearing_asr.errors import InputError

Item = TypeVar("Item")

PROGRESS_INTERVAL = 5.0  # seconds between two progress lines

log = logging.getLogger("hearing_asr")


@contextmanager
def job_log(path: str | Path) -> Iterator[logging.Logger]:
    """Log a job to the file `path` and to standard error.

    An InputError ends the process with exit status 1 and its message alone; any other exception
    is logged with its traceback and raised again.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handlers = [logging.FileHandler(path, mode="w"), logging.StreamHandler(sys.stderr)]
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%H:%M:%S",
        handlers=handlers,
        force=True,
    )
    logging.captureWarnings(True)
    try:
        yield log
    except InputError as error:
        log.error("%s", error)
        sys.exit(1)
    except Exception:
        log.exception("unexpected error")
        raise


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
