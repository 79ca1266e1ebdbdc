"""Release archives: read as a stream, never extracted.

An archive of Common Voice English has 2.6 million clips. Its tables are written as files; of its
clips each is handed on as bytes, in the order of the archive.
"""

import gzip
import hashlib
import json
import logging
import os
import shutil
import tarfile
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.joblog import PROGRESS_INTERVAL

log = logging.getLogger("hearing_asr")

SUFFIXES = (".tar.gz", ".tgz", ".tar")
CHUNK = 1 << 20  # bytes that are read at a time
LARGEST_CLIP = 1 << 26  # bytes; a clip is some 30 kB, and is held in memory
CLIPS = "clips"  # the folder with the audio, beside the tables
GZIP = b"\x1f\x8b"
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)


def is_archive(path: str | Path) -> bool:
    """Whether a path is meant as an archive rather than as a folder."""
    return str(path).endswith(SUFFIXES) and not Path(path).is_dir()


class Archive:
    """A tar archive, compressed or not, that is read once from its beginning to its end.

    Args:
        path: of the file.
        digest: whether its SHA-256 is wanted.
    """

    def __init__(self, path: str | Path, digest: bool = False) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(
                f"{self.path}: no such file. Expected an archive of a Common Voice release "
                "(.tar.gz); set corpus.release to where it lies."
            )
        self.size = self.path.stat().st_size
        self._digest = hashlib.sha256() if digest else None
        self._read = 0

    def members(self) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
        """All members, each with its content; None for what is no file (a folder, a link).

        A content must be read before the next member is asked for. To be used within `explained`.
        """
        with open(self.path, "rb") as file, ExitStack() as opened:
            compressed = file.peek(2)[:2] == GZIP
            raw = _Watched(file, self)
            stream = opened.enter_context(gzip.GzipFile(fileobj=raw)) if compressed else raw
            with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8") as tar:
                for member in self._progress(tar):
                    yield member, tar.extractfile(member) if member.isfile() else None
                    tar.members.clear()  # tarfile would keep all of them
            while stream.read(CHUNK):  # to the end, where gzip has its checksum
                pass

    def sha256(self) -> str:
        """Of the file, if it was wanted, once `members` has been read to the end."""
        return self._digest.hexdigest()

    def _watch(self, data: bytes) -> None:
        if self._digest is not None:
            self._digest.update(data)
        self._read += len(data)

    def _progress(self, members: Iterator[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
        begin = last = time.monotonic()
        for member in members:
            yield member
            now = time.monotonic()
            if now - last >= PROGRESS_INTERVAL:
                last, rate = now, self._read / (now - begin)
                log.info(
                    "%s: %.1f of %.1f GB read, %.0f MB/s, %.0f min left",
                    self.path.name,
                    self._read / 1e9,
                    self.size / 1e9,
                    rate / 1e6,
                    (self.size - self._read) / rate / 60,
                )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What is read within the block is the archive's.

        Raises:
            InputError: the archive is damaged or cut off.
        """
        try:
            yield
        except _DAMAGE as error:
            raise InputError(
                f"{self.path}: the archive is damaged or cut off ({error}), after "
                f"{self._read / 1e6:,.1f} of {self.size / 1e6:,.1f} MB. Compare its size and "
                "SHA-256 with those where it came from, and get it again."
            ) from None


class _Watched:
    """A file whose bytes are counted and hashed as they are read."""

    def __init__(self, file: IO[bytes], archive: Archive) -> None:
        self._file = file
        self._archive = archive

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._archive._watch(data)
        return data


def unpack_tables(
    archive: str | Path,
    folder: str | Path,
    *,
    tables: Sequence[str],
    optional: Sequence[str] = (),
    sha256: str | None = None,
) -> None:
    """Read an archive to its end, verify it, and write its tables and what is known of it.

    Args:
        archive: of one release and language.
        folder: for `{table}.tsv`, and release.json: archive, name (of the release's folder in it),
            size (bytes), sha256, clips (files in its `clips/`), tables (the SHA-256 of each).
        tables: names without .tsv that must be there.
        optional: names of tables that old releases lack; an empty file stands for them.
        sha256: what the archive's must be, 64 hexadecimal digits.

    Raises:
        InputError: the archive is damaged, cut off or another one than `sha256` says; a table is
            missing; there are several releases in it. Nothing is written then.
    """
    source, folder = Archive(archive, digest=True), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        atomic_path(folder / "release.json") as info,
        tempfile.TemporaryDirectory(dir=folder, prefix=".unpack-") as unpacked,
    ):
        roots, clips = _unpack(source, {*tables, *optional}, Path(unpacked))
        if sha256 is not None and source.sha256() != sha256:
            raise InputError(
                f"{source.path}: its SHA-256 is {source.sha256()}, but corpus.sha256 is {sha256}. "
                "The file is damaged or another release: get it again, or correct the key."
            )
        root = _one_root(source.path, roots, tables)
        for name in set(optional) - roots.keys():
            log.warning("%s: no %s.tsv in it", source.path.name, name)
            (Path(unpacked) / f"{name}.tsv").touch()
        digests = {path.name: sha256_of(path) for path in sorted(Path(unpacked).iterdir())}
        for name in digests:
            os.replace(Path(unpacked) / name, folder / name)
        known = {
            "archive": source.path.name,
            "name": root,
            "size": source.size,
            "sha256": source.sha256(),
            "clips": clips[root],
            "tables": digests,
        }
        info.write_text(json.dumps(known, indent=2) + "\n")
    log.info("%s: %d clips in %s, SHA-256 %s", source.path.name, clips[root], root, known["sha256"])


def _unpack(source: Archive, wanted: set[str], folder: Path) -> tuple[dict[str, str], Counter[str]]:
    """Write the wanted tables to `folder`; return the folder of each in the archive, and how many
    clips there are in which folder.
    """
    roots: dict[str, str] = {}
    clips: Counter[str] = Counter()
    with source.explained():
        for member, content in source.members():
            parts = _parts(member)
            if parts is None or content is None:
                continue
            *parents, name = parts
            if parents and parents[-1] == CLIPS:
                clips["/".join(parents[:-1])] += 1
            elif name.endswith(".tsv") and name[:-4] in wanted:
                root = "/".join(parents)
                if roots.setdefault(name[:-4], root) != root:
                    raise InputError(
                        f"{source.path}: {name} is there for several languages or releases "
                        f"({roots[name[:-4]]}, {root}). Extract the archive and set "
                        "corpus.release to the folder of one of them."
                    )
                with open(folder / name, "wb") as file:
                    shutil.copyfileobj(content, file, CHUNK)
    return roots, clips


def _one_root(path: Path, roots: dict[str, str], needed: Sequence[str]) -> str:
    missing = [f"{name}.tsv" for name in needed if name not in roots]
    if missing:
        raise InputError(
            f"{path}: no {', '.join(missing)} in it. Expected an archive of a Common Voice "
            "release, with clips/, train.tsv, dev.tsv and test.tsv in one folder."
        )
    if len(set(roots.values())) > 1:
        where = ", ".join(f"{name}.tsv in {root}" for name, root in roots.items())
        raise InputError(f"{path}: the tables are in several folders ({where}); expected one")
    return roots[needed[0]]


def archive_clips(
    archive: str | Path, root: str, skip: int = 0
) -> Iterator[tuple[str, bytes | None]]:
    """The clips of a release in the order of its archive: name and bytes of each.

    Args:
        root: folder of the release in the archive, as release.json has it.
        skip: so many clips at the beginning are passed over.

    Yields:
        The name of each file in `{root}/clips/`, and its bytes; None for a link or a device, which
        is not followed, and for a file that is too large to be a clip.

    Raises:
        InputError: the archive is damaged or cut off.
    """
    folder = (*PurePosixPath(root).parts, CLIPS)
    source, count = Archive(archive), 0
    with source.explained():
        for member, content in source.members():
            parts = _parts(member)
            if parts is None or parts[:-1] != folder or member.isdir():
                continue
            count += 1
            if count > skip:
                usable = content is not None and member.size <= LARGEST_CLIP
                yield parts[-1], content.read() if usable else None


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parts(member: tarfile.TarInfo) -> tuple[str, ...] | None:
    """The parts of a member's name; None, with a warning, if it leads out of its folder."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not name.parts:
        log.warning("%r: left aside, for its path leads out of the archive", member.name)
        return None
    if not (member.isfile() or member.isdir()):
        log.warning("%r: left aside, for it is a link or a device, not a file", member.name)
    return name.parts
