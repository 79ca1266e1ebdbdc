import gzip
import hashlib
import json

import pytest

from hearing_asr import archive
from hearing_asr.archive import archive_clips, is_archive, unpack_tables
from hearing_asr.errors import InputError
from tests.fakes.archive import ROOT, folder, link, write_archive

CLIPS = {f"common_voice_en_{k}.mp3": bytes([k]) * (k + 1) for k in range(30)}
TABLES = {f"{name}.tsv": f"path\tsentence\n{name}.mp3\tسلام, \"{name}\n" for name in
          ("train", "dev", "test", "validated", "clip_durations", "reported")}  # fmt: skip
SPLITS = ["train", "dev", "test"]


def unpack(path, out, **changed):
    unpack_tables(path, out, **{"tables": SPLITS, "optional": ["clip_durations"]} | changed)
    return json.loads((out / "release.json").read_text())


def left(out):
    return sorted(path.name for path in out.rglob("*")) if out.exists() else []


@pytest.mark.parametrize("name", ["release.tar.gz", "release.tar"])
@pytest.mark.parametrize("first", [True, False])
def test_tables_are_found_before_and_behind_the_clips(tmp_path, name, first):
    path = write_archive(tmp_path / name, CLIPS, TABLES, tables_first=first)
    known = unpack(path, tmp_path / "out")
    for table in [*SPLITS, "clip_durations"]:
        assert (tmp_path / f"out/{table}.tsv").read_text() == TABLES[f"{table}.tsv"]
    assert left(tmp_path / "out") == sorted(
        ["clip_durations.tsv", "dev.tsv", "release.json", "test.tsv", "train.tsv"]
    )
    data = path.read_bytes()
    digest = hashlib.sha256(TABLES["train.tsv"].encode()).hexdigest()
    assert known["tables"]["train.tsv"] == digest
    assert {key: known[key] for key in ("archive", "name", "size", "sha256", "clips")} == {
        "archive": name,
        "name": ROOT,
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "clips": 30,
    }


def test_clips_come_in_the_order_of_the_archive(tmp_path):
    path = write_archive(tmp_path / "a.tar.gz", CLIPS, TABLES)
    assert list(archive_clips(path, ROOT)) == list(CLIPS.items())
    assert list(archive_clips(path, ROOT, skip=12)) == list(CLIPS.items())[12:]
    assert list(archive_clips(path, "another/en")) == []


def test_an_archive_without_a_folder_is_read(tmp_path):
    path = write_archive(tmp_path / "a.tar.gz", CLIPS, TABLES, root=".")
    name = unpack(path, tmp_path / "out")["name"]
    assert dict(archive_clips(path, name)) == CLIPS


def test_a_table_that_old_releases_lack_is_empty(tmp_path, caplog):
    tables = {name: text for name, text in TABLES.items() if name != "clip_durations.tsv"}
    path = write_archive(tmp_path / "a.tar.gz", CLIPS, tables)
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out/clip_durations.tsv").read_bytes() == b""
    assert "no clip_durations.tsv" in caplog.text


def test_another_checksum_is_refused_and_nothing_is_left(tmp_path):
    path = write_archive(tmp_path / "a.tar.gz", CLIPS, TABLES)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=rf"a.tar.gz.*{digest}.*corpus.sha256 is 0000"):
        unpack(path, tmp_path / "out", sha256="0" * 64)
    assert left(tmp_path / "out") == []
    assert unpack(path, tmp_path / "out", sha256=digest)["sha256"] == digest


@pytest.mark.parametrize("cut", [0.999, 0.5, 0.01])
def test_a_truncated_archive_is_told(tmp_path, cut):
    clips = {name: hashlib.sha512(data).digest() * 200 for name, data in CLIPS.items()}
    path = write_archive(tmp_path / "a.tar.gz", clips, TABLES, tables_first=True)
    data = path.read_bytes()
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(InputError, match=r"a.tar.gz: the archive is damaged or cut off.*SHA-256"):
        unpack(path, tmp_path / "out")
    assert left(tmp_path / "out") == []
    with pytest.raises(InputError, match="damaged or cut off"):
        list(archive_clips(path, ROOT))


def test_a_damaged_byte_is_told(tmp_path):
    path = write_archive(tmp_path / "a.tar.gz", CLIPS, TABLES)
    content = gzip.decompress(path.read_bytes())
    stored = bytearray(gzip.compress(content, compresslevel=0))
    stored[len(stored) // 3] ^= 1  # within a file's content: only the checksum sees it
    path.write_bytes(stored)
    with pytest.raises(InputError, match="damaged or cut off"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"")])
def test_what_is_no_archive_is_told(tmp_path, content):
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(InputError, match=r"a.tar.gz: (the archive is damaged|no train.tsv)"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "out")
    assert left(tmp_path / "out") == []


def test_a_missing_archive_and_a_missing_table_are_told(tmp_path):
    with pytest.raises(InputError, match=r"b.tar.gz: no such file.*corpus.release"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")
    path = write_archive(tmp_path / "a.tar.gz", CLIPS, {"train.tsv": "path\n"})
    with pytest.raises(InputError, match=r"a.tar.gz: no dev.tsv, test.tsv in it"):
        unpack(path, tmp_path / "out")


def test_two_languages_are_refused(tmp_path):
    others = [("cv-corpus-99.0-2026-01-01/de/train.tsv", b"path\n")]
    path = write_archive(tmp_path / "a.tar.gz", CLIPS, TABLES, others=others)
    with pytest.raises(InputError, match=r"several languages.*/en.*/de"):
        unpack(path, tmp_path / "out")
    assert left(tmp_path / "out") == []


def test_nothing_leads_out_of_the_folder(tmp_path, caplog):
    """A path with .. or a link is never followed: not written, not read."""
    (tmp_path / "secret").write_text("secret")
    others = [
        (f"{ROOT}/clips/../../../../evil.tsv", b"evil"),
        ("/train.tsv", b"evil"),
        (f"../{ROOT}/clips/up.mp3", b"evil"),
        (f"{ROOT}/clips/../clips/sly.mp3", b"evil"),
        link(f"{ROOT}/clips/linked.mp3", str(tmp_path / "secret")),
        link(f"{ROOT}/train.tsv", str(tmp_path / "secret")),
        folder(f"{ROOT}/clips/common_voice_en_99.mp3"),
    ]
    path = write_archive(tmp_path / "a.tar.gz", CLIPS, TABLES, others=others)
    before = sorted(tmp_path.rglob("*"))
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out/train.tsv").read_text() == TABLES["train.tsv"]
    outside = [file for file in sorted(tmp_path.rglob("*")) if "out" not in file.parts]
    assert [file for file in outside if file.name != "out"] == before
    assert dict(archive_clips(path, ROOT)) == CLIPS | {"linked.mp3": None}
    for name in ("evil.tsv", "up.mp3", "sly.mp3", "linked.mp3"):
        assert name in caplog.text


def test_a_file_that_is_too_large_for_a_clip_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LARGEST_CLIP", 20)
    path = write_archive(tmp_path / "a.tar.gz", CLIPS, TABLES)
    clips = dict(archive_clips(path, ROOT))
    assert [name for name, data in clips.items() if data is None] == list(CLIPS)[20:]


def test_archives_are_told_by_their_names(tmp_path):
    assert is_archive("cv-corpus-26.0-2026-06-12-en.tar.gz")
    assert is_archive("en.tgz")
    assert not is_archive("cv-corpus-26.0-2026-06-12/en")
    (tmp_path / "folder.tar.gz").mkdir()
    assert not is_archive(tmp_path / "folder.tar.gz")
