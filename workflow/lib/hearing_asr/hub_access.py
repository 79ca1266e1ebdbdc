"""The files of a dataset on the Hugging Face Hub, or in a folder: fetched, read, and explained."""

import errno
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from hearing_asr.errors import InputError

log = logging.getLogger("hearing_asr")

WHOLE = 64 * 2**20  # bytes of a row group up to which it is fetched at once, and else in pieces of
PIECE = 16 * 2**20
RETRIES = 5  # of a connection that breaks, in a row without a row read between
PATIENCE = 2.0  # s before the first of them; doubled each time

Item = TypeVar("Item")


@dataclass(frozen=True)
class HubDataset:
    """The keys of `corpus.hub`.

    Attributes:
        dataset: owner/name on the Hub, or a local folder.
        subset: the dataset's configuration; None where it has one, or a default.
        revision: commit, tag or branch; None is the newest.
        streaming: whether the audio is read over the network rather than downloaded first.
        splits: the dataset's name of each of our splits.
        columns: the dataset's name of our columns audio, path, sentence and client_id.
    """

    dataset: str
    subset: str | None
    revision: str | None
    streaming: bool
    splits: Mapping[str, str]
    columns: Mapping[str, str]

    @property
    def folder(self) -> Path | None:
        """The local folder that `dataset` means, whether it exists or not; None: it is a name."""
        path = Path(self.dataset).expanduser()
        named = not self.dataset.startswith((".", "/", "~")) and self.dataset.count("/") == 1
        return None if named and not path.is_dir() else path.resolve()


@dataclass(frozen=True)
class DataFile:
    """A parquet file: its name within the dataset, size in bytes, rows; in a folder, its age."""

    name: str
    size: int
    rows: int
    mtime_ns: int | None = None


class Repository:
    """The files of a dataset at one commit.

    Args:
        source: the dataset.
        commit: from `find_files`.
        remote: read over the network rather than from this machine.
    """

    def __init__(self, source: HubDataset, commit: str | None, *, remote: bool) -> None:
        self.source = source
        self.commit = commit
        self.remote = remote and source.folder is None
        self._filesystem = None

    def download(self, names: Sequence[str]) -> None:
        """Fetch files into the cache of `huggingface_hub`, in which they are found later.

        Raises:
            InputError: no access, no connection, no space.
        """
        from huggingface_hub import hf_hub_download

        if self.source.folder is not None:
            return
        for number, name in enumerate(names, start=1):
            log.info("%s: file %d of %d, %s", self.source.dataset, number, len(names), name)
            try:
                hf_hub_download(
                    self.source.dataset,
                    name,
                    repo_type="dataset",
                    revision=self.commit,
                    token=hub_token(),
                )
            except Exception as error:
                if not is_hub_error(error) and not _is_full(error):
                    raise
                raise InputError(hub_problem(self.source, error)) from None

    def local(self, name: str) -> Path:
        """Where a file lies on this machine.

        Raises:
            InputError: it is not there.
        """
        if self.source.folder is not None:
            return self.source.folder / name
        from huggingface_hub import errors, hf_hub_download

        try:
            return Path(
                hf_hub_download(
                    self.source.dataset,
                    name,
                    repo_type="dataset",
                    revision=self.commit,
                    local_files_only=True,
                )
            )
        except errors.LocalEntryNotFoundError:
            raise InputError(
                f"{self.source.dataset}: {name} is no longer in the cache of huggingface_hub (see "
                "HF_HOME). Delete the run's release.json: the file is downloaded again then."
            ) from None

    def describe(self, name: str, size: int, rows: int) -> DataFile:
        """What `check` compares with later."""
        if self.source.folder is None:
            return DataFile(name, size, rows)
        return DataFile(name, size, rows, self.local(name).stat().st_mtime_ns)

    def check(self, files: Iterable[DataFile]) -> None:
        """Refuse files that are gone or have changed, by size and, in a folder, by their age too.

        Reading 100 GB to compare a hash would take longer than what follows. On the Hub the
        commit settles it.

        Raises:
            InputError: naming the first such file.
        """
        for file in [] if self.remote else files:
            path = self.local(file.name)
            state = path.stat() if path.is_file() else None
            same = state and state.st_size == file.size
            if not same or file.mtime_ns not in (None, state.st_mtime_ns):
                raise InputError(
                    f"{path}: the file is not the one from which the tables were made (it is gone, "
                    "or its size or time of change differs). Delete the run's release.json to make "
                    "them again."
                )

    def footer(self, name: str) -> tuple[pq.FileMetaData, pa.Schema]:
        """What a file says of its row groups and columns.

        Raises:
            InputError: no access, no connection, or not a parquet file.
        """

        def read() -> Iterator[tuple[pq.FileMetaData, pa.Schema]]:
            with self._open(name) as file:
                parquet = pq.ParquetFile(file)
                yield parquet.metadata, parquet.schema_arrow

        (found,) = list(self._persistently(name, read))
        return found

    def batches(
        self, file: DataFile, columns: Sequence[str], *, rows: int, skip: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """The rows of a file after the first `skip`, at most `rows` at a time.

        Row groups that are skipped are not read. A connection that breaks is taken up again at
        the row group at which it broke.

        Args:
            file: which one.
            columns: names, of a field of a struct as `audio.bytes`.
            rows: most rows of a batch. Memory is bounded by them and a page of the file.
            skip: rows to leave out at the beginning.

        Raises:
            InputError: no access, no connection (for good), not a parquet file, or another
                number of rows than `file` has.
        """
        done = skip

        def read() -> Iterator[pa.RecordBatch]:
            nonlocal done
            with self._open(file.name) as handle:
                metadata = pq.ParquetFile(handle).metadata
                if metadata.num_rows != file.rows:
                    raise InputError(
                        f"{self.source.dataset}: {file.name} has {metadata.num_rows} rows where "
                        f"there were {file.rows}. Delete the run's release.json to read it again."
                    )
                first = 0
                for group in range(metadata.num_row_groups):
                    end = first + metadata.row_group(group).num_rows
                    if end > done:
                        for batch in self._group(handle, metadata, group, columns, rows):
                            fresh = batch.slice(max(done - first, 0))
                            first += batch.num_rows
                            done = max(done, first)
                            if fresh.num_rows:
                                yield fresh
                    first = end

        yield from self._persistently(file.name, read)

    def _group(
        self,
        handle: BinaryIO | pa.NativeFile,
        metadata: pq.FileMetaData,
        group: int,
        columns: Sequence[str],
        rows: int,
    ) -> Iterator[pa.RecordBatch]:
        """The batches of one row group: fetched at once over the network, unless it is large."""
        whole = self.remote and _chunk_bytes(metadata, group, columns) <= WHOLE
        parquet = pq.ParquetFile(
            handle, metadata=metadata, pre_buffer=whole, buffer_size=0 if whole else PIECE
        )
        return parquet.iter_batches(rows, row_groups=[group], columns=list(columns))

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO | pa.NativeFile]:
        if not self.remote:
            with pa.OSFile(str(self.local(name))) as file:
                yield file
            return
        from huggingface_hub import HfFileSystem

        if self._filesystem is None:
            self._filesystem = HfFileSystem(token=hub_token(), skip_instance_cache=True)
        path = f"datasets/{self.source.dataset}@{self.commit}/{name}"
        # Its read-ahead would fetch 5 MB of audio with every column of text.
        with self._filesystem.open(path, "rb", cache_type="none") as file:
            yield file

    def _persistently(self, name: str, read: Callable[[], Iterator[Item]]) -> Iterator[Item]:
        """What `read` yields; it is called again when a connection breaks, to go on from there."""
        failures = 0
        while True:
            try:
                for item in read():
                    failures = 0
                    yield item
                return
            except Exception as error:
                failures += 1
                known = isinstance(error, OSError | pa.ArrowException) or is_hub_error(error)
                if isinstance(error, InputError) or not known:
                    raise
                again = self.remote and _is_passing(error) and failures <= RETRIES
                if not again:
                    raise InputError(self._problem(name, error)) from None
            wait = PATIENCE * 2 ** (failures - 1)
            log.warning("%s: connection lost at %s; again in %g s", self.source.dataset, name, wait)
            time.sleep(wait)

    def _problem(self, name: str, error: Exception) -> str:
        if self.remote and not isinstance(error, pa.ArrowException):
            return hub_problem(self.source, error)
        where = "" if self.source.folder is None else f" in {self.source.folder}"
        return (
            f"{self.source.dataset}: {name}{where} cannot be read as parquet ({error}). Fetch the "
            "file again."
        )


def _chunk_bytes(metadata: pq.FileMetaData, group: int, columns: Sequence[str]) -> int:
    chunks = metadata.row_group(group)
    parts = [chunks.column(index) for index in range(chunks.num_columns)]
    return sum(
        part.total_compressed_size
        for part in parts
        if any(f"{part.path_in_schema}.".startswith(f"{column}.") for column in columns)
    )


def hub_token() -> str | bool:
    """The token of HF_TOKEN; False, unlike None, keeps a token that was saved earlier unused.

    Raises:
        InputError: it is no token, by its characters.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    if not re.fullmatch(r"[!-~]*", token):  # else the error about the header would show it
        raise InputError("HF_TOKEN holds characters that no token has. Copy the token again.")
    return token or False


def hub_answer(error: BaseException) -> tuple[int | None, str | None]:
    """Status and error code of the Hub's answer that is behind an error."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        response = getattr(error, "response", None)
        if response is not None:
            return response.status_code, response.headers.get("X-Error-Code")
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None, None


def is_hub_error(error: Exception) -> bool:
    """Whether the Hub or the way to it failed; the Hub's client shows its HTTP library's errors."""
    return isinstance(error, OSError) or type(error).__module__.startswith("httpx")


def _is_passing(error: Exception) -> bool:
    status, _ = hub_answer(error)
    if status is not None:
        return status in (408, 429) or status >= 500
    return is_hub_error(error) and not isinstance(error, FileNotFoundError | PermissionError)


def _is_full(error: Exception) -> bool:
    """Whether a disk is full; the library that downloads tells it in the text of a RuntimeError."""
    return any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT))


def hub_problem(source: HubDataset, error: Exception, *, gated: bool = False) -> str:
    """Why the Hub did not deliver, and what to do; never the error's own text, nor the token."""
    from huggingface_hub import constants

    status, code = hub_answer(error)
    here = f"corpus.hub.dataset: {source.dataset}"
    known = "" if status is None else f" ({status})"
    unset = "" if hub_token() else " (it is not set)"
    if code == "RevisionNotFound":
        return (
            f"corpus.hub.revision: {source.dataset} has no revision {source.revision!r} on the "
            "Hugging Face Hub."
        )
    if gated or code == "GatedRepo" or status == 403:
        return (
            f"{here}: access denied{known}. Accept the dataset's conditions on its page, "
            f"{constants.ENDPOINT}/datasets/{source.dataset}, and set the environment variable "
            f"HF_TOKEN{unset} to a token of that account with read access."
        )
    if status in (401, 404):
        return (
            f"{here}: the Hugging Face Hub shows no dataset of this name ({status}). Check the "
            f"spelling; for a private one, set the environment variable HF_TOKEN{unset} to a valid "
            "token of an account with access."
        )
    if status is not None:
        return f"{here}: the Hugging Face Hub answered {status}. Try again later."
    if _is_full(error):
        return (
            f"{here}: no space left for the download. Set HF_HOME to a folder on a larger disk, or "
            "corpus.hub.streaming to true; what is complete is kept."
        )
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{here}: {error.filename} cannot be written: {error.strerror}. See HF_HOME."
    return (
        f"{here}: no connection to the Hugging Face Hub. Run this step on a machine with a "
        "connection, or set corpus.hub.dataset to a folder that holds the dataset."
    )
