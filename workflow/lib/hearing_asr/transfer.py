"""A file brought over HTTP: continued where it was interrupted, never taken for more than it is."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests
import urllib3

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path, explained
from hearing_asr.joblog import PROGRESS_INTERVAL

log = logging.getLogger("hearing_asr")

Answer = TypeVar("Answer")

TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of an answer
CHUNK = 1 << 20  # bytes
ATTEMPTS = 8  # in a row that bring nothing
PAUSE = 1.0  # seconds behind the first one, twice as long behind each further one
LONGEST_PAUSE = 60.0  # seconds
REFUSED = (400, 401, 403, 404, 410)  # what storage services say of a link that is no longer valid


class Expired(Exception):
    """The link is no longer valid; the message is the status."""


class TooMany(Exception):
    """The server is busy."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds  # to wait


class Broken(Exception):
    """The answer did not come, or not all of it; the message is what happened."""


class Part:
    """What is there so far of a file: `{file}.part`, and `{file}.part.json` that says of what.

    Attributes:
        position: bytes that are there.
        furthest: the largest position there ever was: more of it is progress.
        resumed: whether the file was put together from several answers.
    """

    def __init__(self, file: Path, origin: dict[str, Any]) -> None:
        self._file = file
        self._part = file.with_name(f"{file.name}.part")
        self._note = file.with_name(f"{file.name}.part.json")
        try:
            same = json.loads(self._note.read_text()) == origin
        except (OSError, ValueError):
            same = False
        if not (same and self._part.exists()):
            self.discard()
            with atomic_path(self._note) as temporary:
                temporary.write_text(json.dumps(origin) + "\n")
        with explained(self._part):
            self._stream = open(self._part, "ab")  # noqa: SIM115
        self.position = self._stream.tell()
        self.furthest = self.position
        self.resumed = self.position > 0
        self._digest = hashlib.sha256()
        if self.resumed:
            log.info("going on behind the first %.1f MB", self.position / 1e6)
            with open(self._part, "rb") as there:
                while data := there.read(CHUNK):
                    self._digest.update(data)

    def add(self, data: bytes) -> None:
        """Append what has come."""
        with explained(self._part):
            self._stream.write(data)
        self._digest.update(data)
        self.position += len(data)
        self.furthest = max(self.furthest, self.position)

    def restart(self) -> None:
        """Forget what is there."""
        with explained(self._part):
            self._stream.truncate(0)
        self._digest = hashlib.sha256()
        self.position, self.resumed = 0, False

    def digest(self) -> str:
        """The SHA-256 of what is there."""
        return self._digest.hexdigest()

    def publish(self) -> None:
        """Give the complete file its name."""
        with explained(self._part):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
            os.replace(self._part, self._file)
        self._note.unlink()

    def discard(self) -> None:
        """Delete what is there."""
        self._part.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def fetch(link: str, part: Part, size: int) -> None:
    """Bring what is missing of a file of `size` bytes.

    Raises:
        Expired: the server refuses the link.
        InputError: the disk is full.
        requests.RequestException, urllib3.exceptions.HTTPError: the connection failed. What they
            say may contain the link; `patient` does not show it.
    """
    if part.position > size:
        part.restart()
    if part.position == size:
        return
    headers = {"Accept-Encoding": "identity"}
    if part.position:
        headers["Range"] = f"bytes={part.position}-"
    with requests.Session() as http:
        http.auth = lambda request: request  # nothing of ~/.netrc
        with http.get(link, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            _accept(answer, part)
            _receive(answer, part, size)


def _accept(answer: requests.Response, part: Part) -> None:
    """Make sure that what comes belongs behind what is there."""
    if answer.status_code in REFUSED:
        raise Expired(str(answer.status_code))
    if answer.status_code == 206:
        begin = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
        if begin == str(part.position):
            part.resumed = part.resumed or part.position > 0
            return
        part.restart()
        raise Broken("another part of the file came than the one asked for")
    if answer.status_code == 416:
        part.restart()
        raise Broken("the server does not know the rest of the file")
    if answer.status_code != 200:
        raise Broken(f"status {answer.status_code}")
    if part.position:
        log.info("the server sends the file from its beginning; what was here does not count")
        part.restart()


def _receive(answer: requests.Response, part: Part, size: int) -> None:
    begin = last = time.monotonic()
    first = part.position
    for data in answer.raw.stream(CHUNK, decode_content=False):
        if part.position + len(data) > size:
            part.restart()
            raise Broken("more came than the file has")
        part.add(data)
        now = time.monotonic()
        if now - last >= PROGRESS_INTERVAL:
            last, rate = now, max((part.position - first) / (now - begin), 1.0)
            log.info(
                "%.2f of %.2f GB, %.1f MB/s, %.0f min left",
                part.position / 1e9,
                size / 1e9,
                rate / 1e6,
                (size - part.position) / rate / 60,
            )
    if part.position < size:
        raise Broken(f"the answer ended early, {size - part.position} bytes are missing")


def patient(ask: Callable[[], Answer], part: Part | None, what: str) -> Answer:
    """What `ask` returns; asks again, with growing pauses, while the connection fails.

    Args:
        part: of the file that is brought, if one is; as long as it grows, there is hope.
        what: is asked for, to be named.

    Raises:
        InputError: the connection failed again and again.
    """
    failed, furthest = 0, part.furthest if part else 0
    while True:
        try:
            return ask()
        except (Broken, requests.RequestException, urllib3.exceptions.HTTPError) as error:
            # What the libraries say may contain the link with its signature.
            reason = str(error) if isinstance(error, Broken) else _plain(error)
        if part and part.furthest > furthest:
            failed, furthest = 0, part.furthest
        failed += 1
        if failed == ATTEMPTS:
            there = f" {part.position} bytes are here, and are kept." if part else ""
            raise InputError(
                f"{what}: the connection failed {ATTEMPTS} times in a row ({reason}).{there} Check "
                "the network and start again."
            )
        pause = min(PAUSE * 2 ** (failed - 1), LONGEST_PAUSE)
        log.info("%s: %s; trying again in %.0f s", what, reason, pause)
        time.sleep(pause)


def _plain(error: Exception) -> str:
    """What an exception is, without what it says."""
    kinds = {
        requests.exceptions.SSLError: "the server's certificate is not accepted",
        requests.exceptions.ConnectTimeout: "no connection in time",
        requests.exceptions.Timeout: "no answer in time",
        requests.exceptions.ProxyError: "the proxy cannot be used",
    }
    for kind, text in kinds.items():
        if isinstance(error, kind):
            return text
    return "the connection failed or broke"
