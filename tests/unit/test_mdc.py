import hashlib
import json
import logging
import multiprocessing
import time
import traceback
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest

from hearing_asr import mdc, transfer
from hearing_asr.errors import InputError
from hearing_asr.mdc import download
from tests.fakes.mdc import ID, SIGNATURE, SLUG, FakeMdc

KEY = "key-that-nobody-must-see"
CONTENT = np.random.default_rng(1).bytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setenv("MDC_API_KEY", KEY)
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    monkeypatch.setattr(transfer, "CHUNK", 1 << 16)


@pytest.fixture
def served(tmp_path) -> Path:
    (tmp_path / "served.tar.gz").write_bytes(CONTENT)
    return tmp_path / "served.tar.gz"


class Here:
    """Where the archive is downloaded to."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        self.archive, self.receipt = folder / "a.tar.gz", folder / "a.json"

    def get(self, fake, dataset=ID, **options):
        self.monkeypatch.setenv("MDC_API_URL", fake.api_url)
        download(dataset, self.archive, self.receipt, **options)

    def files(self):
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.exists() else []


@pytest.fixture
def here(tmp_path, monkeypatch):
    return Here(tmp_path / "data", monkeypatch)


@pytest.mark.parametrize("dataset", [ID, SLUG])
def test_an_archive_is_downloaded_and_verified(here, served, dataset):
    with FakeMdc(served, KEY) as fake:
        here.get(fake, dataset, sha256=SHA256)
        assert fake.requests == {"details": 1, "session": 1, "file": 1}
        assert not fake.leaked
    assert here.archive.read_bytes() == CONTENT
    assert here.files() == ["a.json", "a.tar.gz"]
    known = json.loads(here.receipt.read_text())
    assert known.pop("downloaded")[:2] == "20"
    assert known == {
        "dataset": dataset,
        "id": ID,
        "name": "Common Voice 99 - English",
        "filename": "served.tar.gz",
        "page": f"https://mozilladatacollective.com/datasets/{ID}",
        "size": len(CONTENT),
        "sha256": SHA256,
    }


def test_what_is_here_is_verified_and_not_downloaded_again(here, served):
    with FakeMdc(served, KEY) as fake:
        here.get(fake)
        here.receipt.unlink()
        here.get(fake)
        assert fake.requests["file"] == 1
        assert json.loads(here.receipt.read_text())["sha256"] == SHA256


def test_with_a_known_checksum_no_network_and_no_key_are_needed(here, served, monkeypatch):
    here.folder.mkdir()
    here.archive.write_bytes(CONTENT)
    monkeypatch.delenv("MDC_API_KEY")
    monkeypatch.setenv("MDC_API_URL", "http://127.0.0.1:9/api")
    download(ID, here.archive, here.receipt, sha256=SHA256)
    assert json.loads(here.receipt.read_text())["size"] == len(CONTENT)


def test_another_file_in_its_place_is_kept_and_told(here, served):
    here.folder.mkdir()
    for content, message in ((b"mine", "4 bytes, but 3000000"), (bytes(3_000_000), "its SHA-256")):
        here.archive.write_bytes(content)
        with FakeMdc(served, KEY) as fake, pytest.raises(InputError, match=message):
            here.get(fake)
        assert here.archive.read_bytes() == content


@pytest.mark.parametrize("dropped", [0, 3])
def test_what_is_cut_short_is_continued(here, served, dropped):
    with FakeMdc(served, KEY, cut_after=HALF, drop=dropped) as fake:
        here.get(fake)
        assert fake.ranges == [None] * (dropped + 1) + [f"bytes={HALF}-"]
    assert here.archive.read_bytes() == CONTENT


def test_another_start_continues_what_one_left(here, served, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    with FakeMdc(served, KEY, cut_after=HALF) as fake:
        with pytest.raises(InputError, match=rf"1 times in a row.*{HALF} bytes are here"):
            here.get(fake)
        assert here.files() == ["a.tar.gz.part", "a.tar.gz.part.json"]
        here.get(fake)
        assert fake.ranges == [None, f"bytes={HALF}-"]
    assert here.archive.read_bytes() == CONTENT


def test_a_part_of_another_file_is_not_continued(here, served, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    with FakeMdc(served, KEY, cut_after=HALF) as fake, pytest.raises(InputError):
        here.get(fake)
    other = CONTENT[::-1]
    served.write_bytes(other)
    with FakeMdc(served, KEY) as fake:
        here.get(fake)
        assert fake.ranges == [None]
    assert here.archive.read_bytes() == other


def test_as_long_as_something_comes_there_is_hope(here, served, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 3)
    with FakeMdc(served, KEY, cut_after=200_000, cuts=10) as fake:
        here.get(fake)
        assert fake.requests["file"] == 11
    assert here.archive.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("ignored", "sends the file from its beginning"),
        ("wrong", "another part of the file came"),
        ("refused", "does not know the rest"),
    ],
)
def test_a_server_that_cannot_continue_sends_all_of_it(here, served, answer, told, caplog):
    caplog.set_level(logging.INFO)
    with FakeMdc(served, KEY, cut_after=HALF, range=answer) as fake:
        here.get(fake)
        assert fake.ranges[:2] == [None, f"bytes={HALF}-"]
    assert told in caplog.text
    assert here.archive.read_bytes() == CONTENT


def test_a_link_that_expires_is_renewed(here, served):
    with FakeMdc(served, KEY, expire_after=1_000_000) as fake:
        here.get(fake)
        assert fake.requests["session"] >= 3
        assert fake.ranges[0] is None
        assert fake.ranges[-1] == "bytes=2000000-"
    assert here.archive.read_bytes() == CONTENT


def test_links_that_never_work_are_given_up(here, served):
    with FakeMdc(served, KEY, expire_after=0) as fake:
        with pytest.raises(InputError, match=r"5 download links in a row were refused \(403\)"):
            here.get(fake)
        assert fake.requests["session"] == 5


def test_a_damaged_file_is_never_taken(here, served):
    with FakeMdc(served, KEY, corrupt=99) as fake:
        with pytest.raises(InputError, match=rf"SHA-256 [0-9a-f]{{64}}, but {SHA256} is expected"):
            here.get(fake)
        assert fake.requests["file"] == 1
    assert here.files() == []


def test_a_file_that_was_put_together_wrongly_is_downloaded_once_more(here, served):
    with FakeMdc(served, KEY, cut_after=HALF, corrupt=1) as fake:
        fake.cut_after = HALF + 200_000  # behind the wrong byte
        here.get(fake)
        assert fake.ranges == [None, f"bytes={HALF + 200_000}-", None]
    assert here.archive.read_bytes() == CONTENT


def test_more_than_the_file_has_is_not_taken(here, served, monkeypatch):
    monkeypatch.setattr(transfer, "ATTEMPTS", 3)
    told = pytest.raises(InputError, match="more came than the file has")
    with FakeMdc(served, KEY, longer=1000) as fake, told:
        here.get(fake)
    assert not here.archive.exists()


def test_a_checksum_that_was_not_expected_is_told_before_anything_comes(here, served):
    with FakeMdc(served, KEY) as fake:
        with pytest.raises(InputError, match=rf"corpus.sha256 is 0000.*states {SHA256}"):
            here.get(fake, sha256="0" * 64)
        assert fake.requests["file"] == fake.requests["session"] == 0


def test_without_any_checksum_it_is_said_and_recorded(here, served, caplog):
    with FakeMdc(served, KEY, checksum=None) as fake:
        here.get(fake)
    assert "no SHA-256 is stated" in caplog.text
    assert json.loads(here.receipt.read_text())["sha256"] == SHA256


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (402, r"has to be bought"),
        (403, rf"terms are not accepted.*open \S+/datasets/{ID}, accept"),
        (404, r"no such dataset.*corpus.mdc.dataset"),
        (410, r"was removed.*corpus.source: release"),
        (418, r"answers with status 418"),
    ],
)
def test_a_refusal_is_explained(here, served, status, message):
    with FakeMdc(served, KEY, refuse=status) as fake:
        with pytest.raises(InputError, match=message):
            here.get(fake)
        assert fake.requests["session"] == 1
    assert "a.tar.gz" not in here.files()


def test_a_wrong_key_and_a_missing_one_are_told(here, served, monkeypatch):
    with FakeMdc(served, "another key") as fake:
        with pytest.raises(InputError, match=r"does not accept the key in MDC_API_KEY \(401\)"):
            here.get(fake)
        monkeypatch.delenv("MDC_API_KEY")
        with pytest.raises(InputError, match=r"MDC_API_KEY is not set.*Make a key"):
            here.get(fake)


def test_the_key_is_taken_from_no_file(here, served, monkeypatch, tmp_path):
    """The platform's library would read a .env file in the working folder."""
    (tmp_path / ".env").write_text(f"MDC_API_KEY={KEY}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MDC_API_KEY")
    with FakeMdc(served, KEY) as fake, pytest.raises(InputError, match="MDC_API_KEY is not set"):
        here.get(fake)


def test_an_unknown_dataset_is_told(here, served):
    with FakeMdc(served, KEY) as fake, pytest.raises(InputError, match=r"nonesuch: .*no such"):
        here.get(fake, "nonesuch")


def test_a_busy_server_is_waited_for(here, served, monkeypatch):
    waited = []
    monkeypatch.setattr(mdc.time, "sleep", waited.append)
    with FakeMdc(served, KEY, refuse=429, refusals=3, retry_after="7") as fake:
        here.get(fake)
    assert [seconds for seconds in waited if seconds] == [7.0, 7.0, 7.0]
    assert here.archive.read_bytes() == CONTENT


def test_how_long_to_wait():
    def waited(text):
        return mdc._wait(type("Response", (), {"headers": {"Retry-After": text}}))

    assert waited("99999") == 900
    assert waited("soon") == waited("") == 30
    assert 15 <= waited(formatdate(time.time() + 20, usegmt=True)) <= 20


def test_a_server_that_is_always_busy_or_down_is_given_up(here, served, monkeypatch):
    monkeypatch.setattr(mdc.time, "sleep", lambda seconds: None)
    with FakeMdc(served, KEY, refuse=429) as fake, pytest.raises(InputError, match="429"):
        here.get(fake)
    told = pytest.raises(InputError, match=r"failed 8 times in a row \(status 503\)")
    with FakeMdc(served, KEY, refuse=503) as fake, told:
        here.get(fake)
    with pytest.raises(InputError, match="failed 8 times in a row"):
        here.get(fake)  # it is gone


def test_a_full_disk_is_told_before(here, served, monkeypatch):
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr(mdc.shutil, "disk_usage", lambda path: usage)
    with FakeMdc(served, KEY) as fake:
        with pytest.raises(InputError, match=r"0.0 GB are still to come, but only 0.0 GB are free"):
            here.get(fake)
        assert fake.requests["file"] == 0


def test_two_downloads_of_one_archive_are_refused(here, served):
    with FakeMdc(served, KEY, pause=0.1) as fake:
        process = multiprocessing.get_context("fork").Process(target=here.get, args=(fake,))
        process.start()
        while not here.folder.exists() or "a.tar.gz.part" not in here.files():
            time.sleep(0.02)
        with pytest.raises(InputError, match="another process is downloading it"):
            here.get(fake)
        process.join()
    assert here.archive.read_bytes() == CONTENT


def test_no_secret_is_told_or_written(here, served, monkeypatch, caplog):
    """Whatever goes wrong: searched are messages, causes, logs and files."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(transfer, "ATTEMPTS", 3)
    monkeypatch.setattr(mdc, "WAITS", 2)
    troubles = [
        {"key": "another"}, {"refuse": 403}, {"refuse": 410}, {"refuse": 429}, {"refuse": 500},
        {"expire_after": 0}, {"expire_after": HALF}, {"cut_after": HALF}, {"drop": 99},
        {"corrupt": 99}, {"range": "refused", "cut_after": HALF}, {"longer": 10},
    ]  # fmt: skip
    told = ""
    for number, trouble in enumerate(troubles):
        with FakeMdc(served, **{"key": KEY} | trouble) as fake:
            place = Here(here.folder / str(number), monkeypatch)
            try:
                place.get(fake)
            except InputError as error:
                told += "".join(traceback.format_exception(error))
            assert not fake.leaked
    written = b"".join(path.read_bytes() for path in here.folder.rglob("*.json"))
    for secret in (KEY, SIGNATURE):
        assert secret not in told + caplog.text
        assert secret.encode() not in written
    assert told.count("InputError") >= 8
