"""Releases from Mozilla Data Collective: found, downloaded, verified.

The platform's own library (`datacollective`) finds the dataset. The transfer is ours: it continues
what was interrupted only where the server really does, and no file is taken that has not the size
and the SHA-256 that the platform, or the configuration, states.

The API key goes to the platform's API and nowhere else; download links carry a signature of their
own. Neither ever appears in a message, a log or a file.
"""

import json
import logging
import os
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import requests

from hearing_asr.archive import sha256_of
from hearing_asr.errors import InputError
from hearing_asr.files import alone, atomic_path
from hearing_asr.transfer import Broken, Expired, Part, TooMany, fetch, patient

log = logging.getLogger("hearing_asr")

KEY = "MDC_API_KEY"
SITE = "https://mozilladatacollective.com"
API = f"{SITE}/api"
TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of an answer
WAITS = 20  # times that a busy server is waited for
LONGEST_WAIT = 900.0  # seconds
DEFAULT_WAIT = 30.0  # seconds, where the server does not say
SESSIONS = 5  # download links in a row that give nothing


@dataclass(frozen=True)
class Release:
    """What the platform says of a dataset.

    Attributes:
        dataset: as the configuration has it, id or slug.
        id: of the dataset.
        name: of the dataset.
        filename: of the archive.
        size: bytes; None if it does not say.
        sha256: of the archive; None if it does not say.
        page: where the dataset is shown.
    """

    dataset: str
    id: str
    name: str | None
    filename: str | None
    size: int | None
    sha256: str | None
    page: str


def download(
    dataset: str, archive: str | Path, receipt: str | Path, *, sha256: str | None = None
) -> None:
    """Bring a release's archive here, unless it is here already, and verify it.

    What is interrupted lies beside `archive` (.part) and is continued by the next call. The API key
    is taken from the environment variable MDC_API_KEY, the API's address from MDC_API_URL where it
    is set.

    Args:
        dataset: id or slug.
        archive: the file to write.
        receipt: JSON file that is written when all is verified: dataset, id, name, filename, size,
            sha256, page, downloaded (date).
        sha256: what the archive's must be.

    Raises:
        InputError: no key, or one that is not accepted; terms not accepted; no such dataset, or it
            was removed; another checksum than expected; the disk is too small or full; the
            connection failed again and again; another process downloads the same.
    """
    archive, receipt = Path(archive), Path(receipt)
    if archive.exists() and sha256 is not None:
        _check(archive, None, sha256, dataset)
        log.info("%s is here already, with the SHA-256 of corpus.sha256", archive)
        _write(receipt, {"dataset": dataset} | _facts(archive, sha256))
        return
    client = _Client(dataset)
    release = client.find()
    expected = _expected(release, sha256)
    if archive.exists():
        log.info("%s is here already; verifying it", archive)
        _check(archive, release.size, expected, dataset)
        digest = expected or sha256_of(archive)
    else:
        with alone(archive, "downloading it"):
            digest = _transfer(client, release, expected, archive)
    known = {key: getattr(release, key) for key in ("dataset", "id", "name", "filename", "page")}
    _write(receipt, known | _facts(archive, digest))


def _expected(release: Release, sha256: str | None) -> str | None:
    if sha256 is not None and release.sha256 is not None and sha256 != release.sha256:
        raise InputError(
            f"corpus.sha256 is {sha256}, but Mozilla Data Collective states {release.sha256} for "
            f"the dataset {release.dataset}. It has been updated, or the key belongs to another "
            "release: correct corpus.mdc.dataset or corpus.sha256."
        )
    if sha256 is None and release.sha256 is None:
        log.warning(
            "%s: no SHA-256 is stated, so only the size can be verified; set corpus.sha256 if you "
            "know it",
            release.dataset,
        )
    return sha256 or release.sha256


def _check(archive: Path, size: int | None, sha256: str | None, dataset: str) -> None:
    """Refuse an archive that is there but is not the one."""
    found = archive.stat().st_size
    remedy = f"Move it away or delete it, and start again: {dataset} is then downloaded anew."
    if size is not None and found != size:
        raise InputError(f"{archive}: {found} bytes, but {size} are expected. {remedy}")
    if sha256 is not None and (digest := sha256_of(archive)) != sha256:
        raise InputError(f"{archive}: its SHA-256 is {digest}, but {sha256} is expected. {remedy}")


def _transfer(client: "_Client", release: Release, expected: str | None, archive: Path) -> str:
    """Download into `archive`, going on as long as anything comes; its SHA-256."""
    part = Part(archive, {"id": release.id, "sha256": expected, "size": release.size})
    fruitless, again = 0, True
    while True:
        before = part.furthest
        link, size = client.session(release)
        _check_disk(archive, size, part.position)
        try:
            patient(lambda: fetch(link, part, size), part, release.dataset)  # noqa: B023
        except Expired as error:
            fruitless = 0 if part.furthest > before else fruitless + 1
            if fruitless == SESSIONS:
                raise InputError(
                    f"{release.dataset}: {SESSIONS} download links in a row were refused "
                    f"({error}); {part.position} bytes are here, and are kept. Start again later."
                ) from None
            log.info("the download link is refused (%s); asking for another one", error)
            continue
        if expected in (None, digest := part.digest()):
            part.publish()
            return digest
        resumed = part.resumed
        part.restart()
        if not (resumed and again):
            part.discard()
            raise InputError(
                f"{release.dataset}: what was downloaded has the SHA-256 {digest}, but {expected} "
                "is expected. It was deleted; start again, and if that does not help, tell "
                "Mozilla Data Collective."
            )
        again = False
        log.warning("what was put together has another SHA-256; downloading all of it again")


def _check_disk(archive: Path, size: int, there: int) -> None:
    free = shutil.disk_usage(archive.parent).free
    if free < size - there:
        raise InputError(
            f"{archive.parent}: {(size - there) / 1e9:.1f} GB are still to come, but only "
            f"{free / 1e9:.1f} GB are free. Free space there, or put data_dir on a larger disk."
        )


class _Client:
    """Mozilla Data Collective's API for one dataset."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset
        self._page = f"{SITE}/datasets/{dataset}"
        # Read before the platform's library is imported, which would read a .env file.
        self._key = os.environ.get(KEY, "").strip()
        self._api = os.environ.get("MDC_API_URL", API).rstrip("/")
        if not self._key:
            raise InputError(
                f"the environment variable {KEY} is not set, which Mozilla Data Collective needs "
                f"for the dataset {dataset}. Make a key ({SITE}/api-reference) and export it where "
                "Snakemake is started."
            )
        self._http = requests.Session()
        self._http.auth = lambda request: request  # nothing of ~/.netrc

    def find(self) -> Release:
        """What the platform says of the dataset; no key is sent."""
        os.environ.setdefault("PYTHON_DOTENV_DISABLED", "1")
        import datacollective

        known = self._patient(lambda: datacollective.get_dataset_details(self._dataset))
        try:
            size = int(known.sizeBytes) if known.sizeBytes else None
            digest = known.checksum.lower() if known.checksum else None
        except ValueError:
            raise InputError(self._unexpected("details")) from None
        page = known.datasetUrl or self._page
        return Release(self._dataset, known.id, known.name, known.filename, size, digest, page)

    def session(self, release: Release) -> tuple[str, int]:
        """A download link, and the size of what it leads to."""
        answer = self._patient(lambda: self._post(f"/datasets/{release.id}/download"))
        link, size = answer.get("downloadUrl"), answer.get("sizeBytes") or release.size
        if not link or not size:
            raise InputError(self._unexpected("a download link"))
        return str(link), int(size)

    def _post(self, path: str) -> dict[str, Any]:
        answer = self._http.post(
            f"{self._api}{path}",
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=TIMEOUT,
            allow_redirects=False,
        )
        answer.raise_for_status()
        content = answer.json()
        if answer.is_redirect or not isinstance(content, dict):
            raise InputError(self._unexpected("a download link"))
        return content

    def _patient(self, ask: Any) -> Any:
        """The answer of the API; waits where it is busy or cannot be reached."""
        for _ in range(WAITS):
            try:
                return patient(lambda: self._explained(ask), None, self._dataset)
            except TooMany as busy:
                log.info("Mozilla Data Collective is busy (429); waiting %.0f s", busy.seconds)
                time.sleep(busy.seconds)
        raise InputError(
            f"{self._dataset}: Mozilla Data Collective refuses too many requests (429), {WAITS} "
            "times in a row. Start again later."
        )

    def _explained(self, ask: Any) -> Any:
        """An answer, or what a refusal means and what to do."""
        import datacollective.errors as known

        try:
            return ask()
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema):
            raise InputError("MDC_API_URL: not an address, such as https://host/api") from None
        except requests.HTTPError as error:
            status, response = error.response.status_code, error.response
        except known.RateLimitError as error:
            status, response = 429, error.response
        except known.AuthenticationError:
            status = 401
        except PermissionError:
            status = 403
        except known.ResourceRemovedError:
            status = 410
        except FileNotFoundError:
            status = 404
        except ValueError:  # no JSON, or without what the platform's library needs
            raise InputError(self._unexpected("details")) from None
        if status == 429:
            raise TooMany(_wait(response)) from None
        if status >= 500:
            raise Broken(f"status {status}") from None
        raise InputError(self._refused(status)) from None

    def _refused(self, status: int) -> str:
        name = self._dataset
        return {
            401: f"{name}: Mozilla Data Collective does not accept the key in {KEY} (401). Make a "
            f"new one ({SITE}/api-reference).",
            402: f"{name}: the dataset has to be bought (402), at {self._page}.",
            403: f"{name}: access is refused (403), most likely because its terms are not accepted "
            f"yet. Log in with the account of the key, open {self._page}, accept them, and start "
            "again.",
            404: f"{name}: Mozilla Data Collective has no such dataset (404). Correct "
            "corpus.mdc.dataset: the id or the slug on the dataset's page.",
            410: f"{name}: the dataset was removed from Mozilla Data Collective (410). Choose "
            "another release (corpus.mdc.dataset), or bring an archive that you have "
            "(corpus.source: release).",
        }.get(status, f"{name}: Mozilla Data Collective answers with status {status}.")

    def _unexpected(self, what: str) -> str:
        return (
            f"{self._dataset}: Mozilla Data Collective's answer has no {what} that could be read; "
            "its API may have changed. Download the archive in a browser and set corpus.source to "
            "release."
        )


def _wait(response: requests.Response | None) -> float:
    """Seconds that a server asks to wait: a number, or a date."""
    text = (response.headers.get("Retry-After", "") if response is not None else "").strip()
    if text.isdigit():
        seconds = float(text)
    else:
        try:
            seconds = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            seconds = DEFAULT_WAIT
    return min(max(seconds, 0.0), LONGEST_WAIT)


def _facts(archive: Path, sha256: str) -> dict[str, Any]:
    """What is known of the file itself."""
    status = archive.stat()
    date = datetime.fromtimestamp(status.st_mtime, UTC).date().isoformat()
    return {"size": status.st_size, "sha256": sha256, "downloaded": date}


def _write(receipt: Path, known: dict[str, Any]) -> None:
    with atomic_path(receipt) as temporary:
        temporary.write_text(json.dumps(known, indent=2) + "\n")
