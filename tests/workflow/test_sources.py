"""The same corpus from every source: what the demo synthesised, handed in as each of them."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from hearing_asr.quarantine import read_quarantine
from tests.fakes.archive import link, write_archive
from tests.fakes.mdc import FakeMdc
from tests.workflow.conftest import Checkout

KEY = secrets.token_hex(16)  # in no file: all are searched for it
SPLITS = ("train", "dev", "test")
LANGUAGE = "cv-corpus-99.0-2026-01-01/en"
OTHERS = [
    (f"{LANGUAGE}/clips/in_no_table.mp3", b"no audio"),
    ("../../outside.tsv", b"evil"),
    link(f"{LANGUAGE}/clips/link.mp3", "/etc/passwd"),
]


@pytest.fixture(scope="module")
def release(demo) -> Path:
    """The release that the demo synthesised."""
    return demo / "data/demo/release"


@pytest.fixture(scope="module")
def archive(release, tmp_path_factory) -> Path:
    """It as an archive, its tables behind its clips."""
    clips = {path.name: path.read_bytes() for path in sorted((release / "clips").iterdir())}
    tables = {path.name: path.read_bytes() for path in sorted(release.glob("*.tsv"))}
    path = tmp_path_factory.mktemp("archive") / "release.tar.gz"
    return write_archive(path, clips, tables, root=LANGUAGE, others=OTHERS)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("sources"))


def build(project, name, corpus, environment=None, check=True):
    """Run the stage `corpus` on a source; returns what was printed."""
    (project / f"{name}.yaml").write_text(yaml.safe_dump({"run": name, "corpus": corpus}))
    arguments = ["corpus", "--profile", "profiles/local", "--configfile", f"{name}.yaml"]
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=project.folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
    )
    output = result.stdout + result.stderr
    if check and result.returncode:
        pytest.fail(output[-8000:])
    return output


def corpus_files(project, run):
    folder = project / f"data/{run}/corpus"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".arrow", ".tsv")
    }


def test_an_archive_gives_the_same_shards(demo, project, archive):
    output = build(project, "archive", {"source": "release", "release": str(archive)})
    assert corpus_files(project, "archive") == corpus_files(demo, "demo")
    assert "in_no_table" not in output
    assert "'../../outside.tsv': left aside, for its path leads out of the archive" in output
    assert not list(project.folder.glob("data/archive/**/*.mp3"))
    assert not (project / "data/archive/corpus/.stream").exists()
    assert not project.planned("corpus", "--configfile", "archive.yaml")


def test_an_archive_with_every_defect(project, release, tmp_path):
    """Those that real releases had; each costs what is damaged, and nothing else."""
    clips = {path.name: path.read_bytes() for path in sorted((release / "clips").iterdir())}
    tables = {path.name: path.read_text() for path in sorted(release.glob("*.tsv"))}
    header, *rows = [line.split("\t") for line in tables["train.tsv"].splitlines()]
    sentence = header.index("sentence")
    paths = [row[header.index("path")] for row in rows]
    clips[paths[0]] = b""
    clips[paths[1]] = b"<html>not found</html>"
    clips[paths[2]] = clips[paths[2]][: len(clips[paths[2]]) // 2]
    del clips[paths[3]], clips[paths[4]]  # a link stands for the second
    rows[10][sentence], rows[11][sentence] = '"An unbalanced quote', '"" and "more'
    rows[12][sentence] = "سلام دنیا \N{RIGHT-TO-LEFT MARK}— ﬁn"
    rows[13][sentence] = "A\ttab."
    rows[14][sentence] = "  "
    rows.append(rows[20])
    tables["train.tsv"] = "\n".join("\t".join(row) for row in [header, *rows]) + "\n"
    others = [*OTHERS, link(f"{LANGUAGE}/clips/{paths[4]}", "/etc/passwd")]
    path = write_archive(tmp_path / "bad.tar.gz", clips, tables, root=LANGUAGE, others=others)
    corpus = {"source": "release", "release": str(path), "max_rejected": 0.02}
    output = build(project, "defects", corpus)
    train = datasets.load_from_disk(project / "data/defects/corpus")["train"]
    lost = {*paths[:5], paths[13], paths[14]}
    assert sorted(train["path"]) == sorted(set(paths) - lost)
    sentences = dict(zip(train["path"], train["sentence"], strict=True))
    for row in (10, 11, 12):
        assert sentences[paths[row]] == rows[row][sentence]
    excluded = read_quarantine(project / "data/defects/clips/train.excluded.tsv")
    assert {(name, reason) for name, reason, _ in excluded} == {
        (paths[13], "damaged row"),
        (paths[14], "empty sentence"),
        (paths[20], "duplicate row"),
    }
    rejected = read_quarantine(project / "data/defects/corpus/train/rejected.tsv")
    assert {name: reason for name, reason, _ in rejected} == {
        paths[0]: "empty file",
        paths[1]: "undecodable",
        paths[2]: "truncated",
        paths[3]: "missing",
        paths[4]: "missing",
    }
    assert "1 of 801 rows are damaged and left out (line 15: 14 fields where" in output
    assert "train/rejected.tsv: 5 of 798 clips rejected" in output
    strict = build(project, "strict", corpus | {"max_rejected": 0.001}, check=False)
    assert "1 of 801 rows are damaged (line 15" in strict
    assert "max_rejected = 0.001" in strict
    assert not (project / "data/strict/corpus").exists()


def test_an_extracted_release_gives_the_same_shards(demo, project, release):
    build(project, "extracted", {"source": "release", "release": str(release)})
    assert corpus_files(project, "extracted") == corpus_files(demo, "demo")


def test_a_truncated_archive_stops_before_anything_is_decoded(project, archive, tmp_path):
    shutil.copy(archive, tmp_path / "cut.tar.gz")
    os.truncate(tmp_path / "cut.tar.gz", archive.stat().st_size // 2)
    corpus = {"source": "release", "release": str(tmp_path / "cut.tar.gz")}
    output = build(project, "cut", corpus, check=False)
    assert "cut.tar.gz: the archive is damaged or cut off" in output
    assert "rule corpus_stream" not in output
    assert not list(project.folder.glob("data/cut/**/*.tsv"))


def test_mozilla_data_collective_gives_the_same_shards(demo, project, archive):
    """The connection breaks in the middle; the key is nowhere to be seen."""
    with FakeMdc(archive, key=KEY, cut_after=archive.stat().st_size // 2) as mdc:
        environment = {"MDC_API_URL": mdc.api_url, "MDC_API_KEY": KEY}
        corpus = {"source": "mdc", "mdc": {"dataset": mdc.dataset}}
        output = build(project, "mdc", corpus, environment)
        assert corpus_files(project, "mdc") == corpus_files(demo, "demo")
        known = json.loads((project / f"data/mdc/{mdc.dataset}.json").read_text())
        assert known["size"] == archive.stat().st_size
        assert not project.planned("corpus", "--configfile", "mdc.yaml")
    assert KEY not in output
    for path in project.folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


def test_without_a_key_nothing_starts(project):
    corpus = {"source": "mdc", "mdc": {"dataset": "some-dataset"}}
    environment = {"MDC_API_KEY": "", "MDC_API_URL": "http://127.0.0.1:9"}
    output = build(project, "keyless", corpus, environment, check=False)
    assert "MDC_API_KEY" in output
    assert "rule release_tables" not in output


def test_parquet_files_give_the_same_clips(demo, project, release, tmp_path):
    """As on the Hugging Face Hub: other names for splits and columns, audio in the table."""
    for split, theirs in zip(SPLITS, ("train", "validation", "test"), strict=True):
        table = demo_table(release / f"{split}.tsv")
        audio = [{"bytes": (release / "clips" / path).read_bytes(), "path": path}
                 for path in table["path"]]  # fmt: skip
        columns = {"speaker": table["client_id"], "text": table["sentence"], "audio": audio}
        columns |= {name: table[name] for name in ("age", "gender", "accents", "locale")}
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), tmp_path / f"data/{theirs}-00000-of-00001.parquet")
    corpus = {
        "source": "hub",
        "hub": {
            "dataset": str(tmp_path),
            "columns": {"client_id": "speaker", "sentence": "text"},
        },
    }
    build(project, "hub", corpus)
    ours = datasets.load_from_disk(project / "data/hub/corpus")
    theirs = datasets.load_from_disk(demo / "data/demo/corpus")
    for split in SPLITS:
        by_path = {row["path"]: row for row in rows(theirs[split])}
        assert ours[split].num_rows == len(by_path)
        for row in rows(ours[split]):
            for column in ("audio", "scale", "sentence", "client_id", "age", "duration"):
                assert row[column] == by_path[row["path"]][column]


def rows(dataset):
    return dataset.cast_column("audio", datasets.Audio(decode=False))


def demo_table(path):
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    return {name: column for name, *column in zip(*lines, strict=True)}
