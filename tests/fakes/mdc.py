"""A Mozilla Data Collective on loopback that misbehaves on demand."""

import hashlib
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SIGNATURE = "signature-that-nobody-must-see"
ID = "cmfake0000000000000000000"
SLUG = "common-voice-99-english"


class FakeMdc:
    """The API and the storage of one dataset, to be used in a `with` block.

    Args:
        archive: what it serves.
        key: the API key that it accepts.
        refuse: status with which the API answers (401, 402, 403, 404, 410, 500, ...), if it does.
        refusals: how often; None: always.
        retry_after: what it says with 429.
        cut_after: the storage's answers end behind so many bytes.
        cuts: how many of them.
        range: how the storage answers a Range: `yes` (206), `ignored` (200), `wrong` (206 with
            another part), `refused` (416).
        checksum: what the API states; None: nothing; `right`: what it is.
        corrupt: answers of the storage, from the first on, with a wrong byte.
        expire_after: with these many bytes sent under one link, it is refused from then on.
        drop: connections that are closed without an answer.
        longer: bytes that are sent behind the end.
        pause: seconds between two pieces of 64 kB.
    """

    def __init__(
        self,
        archive: Path,
        key: str = "key",
        *,
        refuse: int | None = None,
        refusals: int | None = None,
        retry_after: str = "0",
        cut_after: int | None = None,
        cuts: int = 1,
        range: str = "yes",
        checksum: str | None = "right",
        corrupt: int = 0,
        expire_after: int | None = None,
        drop: int = 0,
        longer: int = 0,
        pause: float = 0.0,
    ) -> None:
        self.content = archive.read_bytes()
        self.filename, self.key, self.dataset = archive.name, key, ID
        self.refuse, self.refusals, self.retry_after = refuse, refusals, retry_after
        self.cut_after, self.cuts = cut_after, cuts
        self.range, self.corrupt = range, corrupt
        self.expire_after, self.drop, self.longer, self.pause = expire_after, drop, longer, pause
        digest = hashlib.sha256(self.content).hexdigest()
        self.checksum = digest if checksum == "right" else checksum
        self.requests: Counter[str] = Counter()  # details, session, file
        self.ranges: list[str | None] = []  # of the requests for the file
        self.leaked = False  # whether the key came where it does not belong
        self.link = 0  # number of the latest one
        self.sent: Counter[int] = Counter()  # bytes per link

    def __enter__(self) -> "FakeMdc":
        fake = self

        class Handler(_Handler):
            mdc = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.api_url = f"{self.url}/api"
        serve = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        serve.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    mdc: FakeMdc
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith("/file/"):
            self.mdc.leaked |= "Authorization" in self.headers
            self._file(int(path.removeprefix("/file/")), query)
        elif path.startswith("/api/datasets/"):
            self.mdc.requests["details"] += 1
            self._details(path.removeprefix("/api/datasets/"))

    def do_POST(self) -> None:
        mdc = self.mdc
        mdc.requests["session"] += 1
        if self.headers.get("Authorization") != f"Bearer {mdc.key}":
            return self._json(401, {"message": "bad key"})
        if self._refused():
            return None
        mdc.link += 1
        return self._json(
            200,
            {
                "downloadUrl": f"{mdc.url}/file/{mdc.link}?X-Amz-Signature={SIGNATURE}",
                "sizeBytes": len(mdc.content),
                "checksum": mdc.checksum,
            },
        )

    def _details(self, dataset: str) -> None:
        self.mdc.leaked |= "Authorization" in self.headers
        if dataset not in (ID, SLUG):
            return self._json(404, {"message": "not found"})
        return self._json(
            200,
            {
                "id": ID,
                "slug": SLUG,
                "name": "Common Voice 99 - English",
                "filename": self.mdc.filename,
                "sizeBytes": len(self.mdc.content),
                "checksum": self.mdc.checksum,
                "datasetUrl": f"https://mozilladatacollective.com/datasets/{ID}",
            },
        )

    def _refused(self) -> bool:
        mdc = self.mdc
        if mdc.refuse is None or mdc.refusals == 0:
            return False
        if mdc.refusals is not None:
            mdc.refusals -= 1
        self._json(mdc.refuse, {"message": "no"}, {"Retry-After": mdc.retry_after})
        return True

    def _json(self, status: int, content: dict, headers: dict | None = None) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _file(self, link: int, query: str) -> None:
        mdc = self.mdc
        mdc.requests["file"] += 1
        mdc.ranges.append(self.headers.get("Range"))
        if mdc.drop:
            mdc.drop -= 1
            self.close_connection = True
            return
        expired = mdc.expire_after is not None and mdc.sent[link] >= mdc.expire_after
        if SIGNATURE not in query or link != mdc.link or expired:
            return self._json(403, {"message": f"expired: {query}"})
        begin = int((mdc.ranges[-1] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self._send(link, begin)

    def _send(self, link: int, begin: int) -> None:
        mdc = self.mdc
        if begin and mdc.range == "refused":
            return self._json(416, {})
        if begin and mdc.range == "ignored":
            begin = 0
        partial = mdc.ranges[-1] is not None and mdc.range != "ignored"
        stated = begin // 2 if partial and mdc.range == "wrong" else begin
        body = bytearray(mdc.content[stated:] + b"x" * mdc.longer)
        if mdc.corrupt:
            mdc.corrupt -= 1
            body[len(body) // 2] ^= 1
        self.send_response(206 if partial else 200)
        self.send_header("Content-Length", str(len(body)))
        if partial:
            end = len(mdc.content)
            self.send_header("Content-Range", f"bytes {stated}-{end - 1}/{end}")
        self.end_headers()
        left = len(body)
        if mdc.cut_after is not None and mdc.cuts:
            mdc.cuts -= 1
            left = min(left, mdc.cut_after)
        if mdc.expire_after is not None:
            left = min(left, mdc.expire_after - mdc.sent[link])
        for start in range(0, left, 1 << 16):
            piece = bytes(body[start : min(start + (1 << 16), left)])
            self.wfile.write(piece)
            mdc.sent[link] += len(piece)
            time.sleep(mdc.pause)
        self.close_connection = True
