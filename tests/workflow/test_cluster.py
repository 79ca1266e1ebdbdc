"""The full study on a cluster, as far as a machine without one can tell."""

import os
import re
from collections import Counter

import pytest
import yaml

from tests.slurm.conftest import ON_THE_LOGIN_NODE, requests_of_the_full_study

ARRAYS = ("masking_shard", "features_shard")
# How many datasets each makes of a split; the shards of one become ready together.
TOGETHER = {"masking_shard": 3, "features_shard": 3}


@pytest.fixture(scope="module")
def asked(checkout):
    return requests_of_the_full_study(checkout)


@pytest.fixture(scope="module")
def table(checkout):
    """The README's table: rule -> partition, CPUs, GPUs, memory, run time, jobs."""
    rows = {}
    for line in (checkout / "README.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 8 and cells[0].startswith("`"):
            for rule in re.findall(r"`(\w+)`", cells[0]):
                rows[rule] = cells[1:7]
    return rows


def test_the_table_in_the_readme_is_true(asked, table):
    assert set(table) == set(asked) | ON_THE_LOGIN_NODE
    for rule, amounts in asked.items():
        partition, cpus, gpus, memory, runtime, jobs = table[rule]
        assert partition == ("GPU" if amounts["gpu"] else "CPU")
        told = [cpus, gpus, memory, runtime, jobs.removesuffix(" each")]
        wanted = ("threads", "gpu", "mem_mb", "runtime", "jobs")
        assert told == [str(amounts[key]) for key in wanted], rule


def test_the_readme_counts_the_jobs_and_the_calls(checkout, asked):
    readme = (checkout / "README.md").read_text()
    submitted = sum(amounts["jobs"] for amounts in asked.values())
    profile = yaml.safe_load((checkout / "profiles/slurm/config.yaml").read_text())
    limit = profile["slurm-array-limit"]
    config = yaml.safe_load((checkout / "config/full.yaml").read_text())
    shards = [split["shards"] for split in config["corpus"]["splits"].values()]
    calls = submitted - sum(asked[rule]["jobs"] for rule in ARRAYS)
    calls += sum(TOGETHER[rule] * -(-count // limit) for rule in ARRAYS for count in shards)
    told = re.search(r"about (\d+)\s`sbatch` calls for the ([\d,]+) jobs", readme)
    assert int(told[2].replace(",", "")) == submitted
    assert abs(int(told[1]) - calls) <= 10, calls


def test_a_machine_without_slurm_shows_the_dag(checkout, monkeypatch, tmp_path):
    """Of one variant, with data and results where there is room, and the code where it is."""
    for name in ("bash", "sh", "which"):
        for folder in os.environ["PATH"].split(":"):
            if os.path.exists(f"{folder}/{name}") and not (tmp_path / name).exists():
                (tmp_path / name).symlink_to(f"{folder}/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    elsewhere = ["--directory", str(tmp_path / "scratch"), "--config", "results_dir=/elsewhere"]
    planned = checkout.planned("hfloss", "--profile", "slurm", *elsewhere)
    assert planned["masking_shard"] == 264
    assert planned["finetune"] == 1


def test_each_attempt_asks_for_more(checkout, asked):
    """Memory and time; a training's time alone stays, for it goes on from its checkpoint."""
    rules = (checkout / "workflow/rules/resources.smk").read_text()
    (checkout / "workflow/rules/resources.smk").write_text(
        rules.replace("attempt *", "3 *").replace("3 + attempt", "3 + 3")
    )
    try:
        third = requests_of_the_full_study(checkout)
    finally:
        (checkout / "workflow/rules/resources.smk").write_text(rules)
    ratios = Counter()
    for rule, amounts in asked.items():
        assert third[rule]["mem_mb"] > amounts["mem_mb"]
        ratios[third[rule]["runtime"] / amounts["runtime"]] += 1
    assert ratios == {3: len(asked) - 1, 1: 1}
