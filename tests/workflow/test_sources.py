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
