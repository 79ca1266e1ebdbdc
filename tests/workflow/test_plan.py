"""The target `plan`, held against what Snakemake plans; runs that no disk holds."""

import re
from collections import Counter

import pytest
import yaml

from tests.workflow.conftest import Checkout

HUGE = {"max_steps": 10**9, "warmup_steps": 1, "save_steps": 1, "save_total_limit": None}


def options(checkout, name, content):
    (checkout / f"{name}.yaml").write_text(yaml.safe_dump({"run": name, **content}))
    return ["--configfile", f"{name}.yaml"]


def jobs_of(text):
    """The table of jobs of what `plan` prints."""
    table = text.split("Jobs of the target all:", 1)[1].split("\n\n")[0]
    return Counter(
        {rule: int(n.replace(",", "")) for rule, n in re.findall(r"(\w+) +([\d,]+)", table)}
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A project of its own: some of these tests run jobs."""
    return Checkout(tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def folder(checkout):
    """A release without clips."""
    folder = checkout / "release/en"
    (folder / "clips").mkdir(parents=True)
    head = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\n"
    for table in ("train", "dev", "test", "validated"):
        (folder / f"{table}.tsv").write_text(head + "s\ta.mp3\tWords.\t2\t0\t\t\t\ten\n" * 3)
    return str(folder)


CASES = {
    "demo": {},
    "quiet": {"training": {"report_to": "none"}},
    "alone": {"variants": {"hfloss": None, "lfloss": None}},
    "shards": {"corpus": {"splits": {"train": {"shards": 7}, "dev": {"shards": 3}}}},
    "hub_model": {"model": {"checkpoint": "openai/whisper-tiny"}},
    "missing": {"corpus": {"source": "release", "release": "nowhere/en"}},
    "archive": {"corpus": {"source": "release", "release": "nowhere/en.tar.gz"}},
    "validated": {
        "corpus": {"source": "release", "release": "nowhere/en.tar.gz", "train_from": "validated"}
    },
    "mdc": {"corpus": {"source": "mdc", "mdc": {"dataset": "abc"}}},
    "hub": {"corpus": {"source": "hub", "hub": {"dataset": "owner/name"}}},
    "folder": {"corpus": {"source": "release"}},
}


@pytest.mark.parametrize("name", CASES)
def test_jobs_are_those_of_a_dry_run(checkout, folder, name):
    content = CASES[name]
    if name == "folder":
        content = {"corpus": {"source": "release", "release": folder}}
    config = options(checkout, name, content)
    printed = checkout.snakemake("plan", "--cores", "1", *config).stdout
    assert jobs_of(printed) == checkout.planned(*config)


def test_jobs_of_the_full_study(checkout):
    config = ["--configfile", "config/full.yaml"]
    printed = checkout.snakemake("plan", "--cores", "1", *config).stdout
    assert jobs_of(printed) == checkout.planned(*config)
    assert "1,200,000" in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_planning_leaves_nothing_behind_but_a_log(checkout):
    checkout.snakemake("plan", "--cores", "1", *options(checkout, "traceless", {}))
    assert not (checkout / "data/traceless").exists()
    left = [path for path in (checkout / "results/traceless").rglob("*") if path.is_file()]
    assert left == [checkout / "results/traceless/logs/plan.log"]


def test_a_run_that_no_disk_holds_is_refused_before_its_first_job(checkout):
    config = options(checkout, "huge", {"training": HUGE})
    result = checkout.snakemake("--cores", "1", *config, check=False)
    output = result.stdout + result.stderr
    assert result.returncode
    assert re.search(r"[\d.]+ TB needed \(with a reserve of 10%\), [\d.]+ [GT]B free", output)
    assert "check_disk: false" in output
    assert not (checkout / "data/huge").exists()
    # Its corpus alone fits, and a dry run writes nothing.
    checkout.snakemake("-n", "--quiet", "all", *config)
    checkout.snakemake("data/huge/release/train.tsv", "--cores", "2", *config)


def test_the_check_can_be_switched_off(checkout):
    config = options(checkout, "anyway", {"training": HUGE, "check_disk": False})
    target = "results/anyway/plots/audiograms.png"
    checkout.snakemake(target, "--cores", "1", *config)
