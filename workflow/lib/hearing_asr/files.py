"""Files that appear whole or not at all."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hearing_asr.errors import InputError

log = logging.getLogger("hearing_asr")


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` once the block has succeeded.

    The temporary name keeps the suffix of `path`, because many writers choose their format by
    it, and carries the process id, so that two jobs never share one. Parent folders are made.
    On any failure the temporary file is removed and `path` stays as it was.

    Raises:
        InputError: the disk is full, the quota is used up, or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _explained(error, path) from error
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Say what to do about an error that comes up while `path` is written.

    Raises:
        InputError: the disk is full, the quota is used up, or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise _explained(error, Path(path)) from error


@contextmanager
def alone(path: str | Path, doing: str) -> Iterator[None]:
    """Keep a second process from doing the same, where the file system can.

    Args:
        path: what is worked on; `{path}.lock` lies beside it meanwhile.
        doing: what is being done there, for the message.

    Raises:
        InputError: another process is at it; or the folder cannot be written.
    """
    path = Path(path)
    lock = path.with_name(f"{path.name}.lock")
    with explained(lock):
        lock.parent.mkdir(parents=True, exist_ok=True)
        handle = open(lock, "w")  # noqa: SIM115
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{path}: another process is {doing}. Wait for it, or end it."
            ) from None
        except OSError as error:
            log.warning("%s: cannot be locked (%s)", lock, error.strerror)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _explained(error: OSError, path: Path) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(
            f"{path}: no space left while writing. Free space or raise the quota there, or put "
            "data_dir/results_dir on a larger disk, then start again; nothing partial was kept."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(
            f"{path}: the folder cannot be written ({error.strerror}). Check its permissions, or "
            "choose another data_dir/results_dir."
        )
    return error
