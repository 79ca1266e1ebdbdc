"""Archives of releases, with every defect that real ones had."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = "cv-corpus-99.0-2026-01-01/en"


def write_archive(
    path: Path,
    clips: Mapping[str, bytes],
    tables: Mapping[str, str | bytes],
    *,
    root: str = ROOT,
    tables_first: bool = False,
    others: Iterable[tarfile.TarInfo | tuple[str, bytes]] = (),
) -> Path:
    """Write a release as the archive that Common Voice would make of it.

    Args:
        clips: name and content of each file in clips/.
        tables: name (with .tsv) and content of each table.
        tables_first: whether they come before the clips.
        others: further members: links and the like, or a path and a content.
    """
    files = [(f"{root}/clips/{name}", data) for name, data in clips.items()]
    texts = [(f"{root}/{name}", _bytes(text)) for name, text in tables.items()]
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        tar.addfile(folder(root))
        for name, data in [*texts, *files] if tables_first else [*files, *texts]:
            _add(tar, name, data)
        for other in others:
            if isinstance(other, tarfile.TarInfo):
                tar.addfile(other)
            else:
                _add(tar, *other)
    return path


def folder(name: str) -> tarfile.TarInfo:
    """A member that is a folder."""
    member = tarfile.TarInfo(name)
    member.type = tarfile.DIRTYPE
    return member


def link(name: str, target: str) -> tarfile.TarInfo:
    """A member that is a symbolic link."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
