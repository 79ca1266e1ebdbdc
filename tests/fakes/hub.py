"""As much of the Hugging Face Hub as a dataset takes, on this machine."""

import hashlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

API = re.compile(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.*))?)?")
FILE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Hub(ThreadingHTTPServer):
    """Its datasets, how it treats its callers, and what they did.

    Attributes:
        datasets: name -> revision -> commit.
        commits: commit -> name of the file -> content.
        tokens: per private dataset, the tokens that may see it.
        gated: per dataset that shows its list of files to all, the tokens that may have the files.
        shown: files that a gated dataset shows to all, too.
        breaks: how many of the next transfers of a file's part of at least `break_from` bytes end
            in their middle, after the first `spared`.
        down: a status with which everything is answered.
        sent: bytes of the files' contents sent, per file.
        requests: method and path of every request.
        authorizations: all that came as such, None for none.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.datasets: dict[str, dict[str, str]] = {}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.reset()

    def reset(self) -> None:
        self.tokens: dict[str, set[str]] = {}
        self.gated: dict[str, set[str]] = {}
        self.shown: set[str] = set()
        self.breaks, self.break_from, self.spared, self.down = 0, 10_000, 0, None
        self.sent: Counter[str] = Counter()
        self.requests: list[str] = []
        self.authorizations: set[str | None] = set()
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def push(self, dataset: str, files: Mapping[str, bytes], revision: str = "main") -> str:
        """Put files there as a new commit of a branch, and return the commit."""
        digest = hashlib.sha1(repr([dataset, revision]).encode())
        for name, content in sorted(files.items()):
            digest.update(name.encode() + content)
        commit = digest.hexdigest()
        self.commits[commit] = dict(files)
        self.datasets.setdefault(dataset, {})[revision] = commit
        return commit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_GET(self) -> None:
        authorization = self.headers.get("Authorization")
        with self.server.lock:
            self.server.requests.append(f"{self.command} {self.path}")
            self.server.authorizations.add(authorization)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.token = (authorization or "").removeprefix("Bearer ")
        path = urlsplit(self.path).path
        if self.server.down:
            self.refuse(self.server.down)
        elif match := API.fullmatch(path):
            self.api(*match.groups(), body)
        elif match := FILE.fullmatch(path):
            self.file(*map(unquote, match.groups()))
        else:
            self.refuse(404)

    do_HEAD = do_POST = do_GET

    def commit(self, dataset: str, revision: str | None) -> str | None:
        """The commit of a revision, or None after having refused."""
        private = self.server.tokens.get(dataset)
        if dataset not in self.server.datasets or (private and self.token not in private):
            # The Hub does not tell what is missing from what is private.
            self.refuse(404 if self.token else 401, "RepoNotFound")
            return None
        revisions = self.server.datasets[dataset]
        revision = unquote(revision or "main")
        commit = revisions.get(revision, revision if revision in self.server.commits else None)
        if commit is None:
            self.refuse(404, "RevisionNotFound")
        return commit

    def api(self, dataset: str, what: str, revision: str, folder: str, body: bytes) -> None:
        commit = self.commit(dataset, revision)
        if commit is None:
            return
        files = self.server.commits[commit]
        if what in (None, "revision"):
            siblings = [{"rfilename": name} for name in files]
            self.answer({"id": dataset, "sha": commit, "siblings": siblings, "tags": []})
            return
        folders = {
            "/".join(name.split("/")[:k]) for name in files for k in range(1, name.count("/") + 1)
        }
        entries = [
            {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
            for name, content in files.items()
        ] + [{"type": "directory", "path": name, "oid": "0" * 40} for name in sorted(folders)]
        if what == "paths-info":
            wanted = parse_qs(body.decode()).get("paths", [])
            if body.startswith(b"{"):
                wanted = json.loads(body)["paths"]
            self.answer([entry for entry in entries if entry["path"] in wanted])
            return
        inside = f"{unquote(folder)}/" if folder else ""
        below = [entry for entry in entries if entry["path"].startswith(inside)]
        if parse_qs(urlsplit(self.path).query).get("recursive", [""])[0].lower() != "true":
            below = [e for e in below if "/" not in e["path"].removeprefix(inside)]
        if inside and not below:
            self.refuse(404, "EntryNotFound")
        else:
            self.answer(below)

    def file(self, dataset: str, revision: str, name: str) -> None:
        commit = self.commit(dataset, revision)
        if commit is None:
            return
        gated = self.server.gated.get(dataset)
        if gated is not None and self.token not in gated and name not in self.server.shown:
            self.refuse(403 if self.token else 401, "GatedRepo")
            return
        content = self.server.commits[commit].get(name)
        if content is None:
            self.refuse(404, "EntryNotFound", **{"X-Repo-Commit": commit})
            return
        first, last, status = 0, len(content) - 1, 200
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": commit,
            "Accept-Ranges": "bytes",
        }
        if wanted := re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range") or ""):
            first = int(wanted[1] or 0)
            last = min(int(wanted[2] or last), last)
            status = 206
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        if self.command == "HEAD":
            headers["X-Linked-Size"] = str(len(content))
        self.part(name, content[first : last + 1], status, headers)

    def part(self, name: str, content: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        with self.server.lock:
            breaks = self.server.breaks > 0 and len(content) >= self.server.break_from
            if breaks and self.server.spared:
                self.server.spared, breaks = self.server.spared - 1, False
            self.server.breaks -= breaks
            content = content[: len(content) // 2] if breaks else content
            self.server.sent[name] += len(content)
        self.wfile.write(content)
        self.close_connection = breaks

    def refuse(self, status: int, code: str | None = None, **headers: str) -> None:
        self.answer(
            {"error": "refused"}, status, ({"X-Error-Code": code} if code else {}) | headers
        )

    def answer(
        self, content: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        given = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        for key, value in {**given, **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def fake_hub() -> Iterator[Hub]:
    """A Hub without datasets, which answers until the block ends."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
