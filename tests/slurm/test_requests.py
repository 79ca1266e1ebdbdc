"""What the jobs of a run through a real Slurm are given is what their rules asked for."""

import csv
from collections import Counter

import pytest

from tests.slurm.conftest import jobs_of, requests_of_the_full_study, rule_of

GPU_RULES = {"finetune", "pretrain", "transcribe"}


@pytest.fixture(scope="module")
def jobs(study):
    return jobs_of(study.folder)


@pytest.fixture(scope="module")
def asked(study):
    return requests_of_the_full_study(study)


def test_every_job_was_run_once_and_well(study, jobs):
    assert {job["state"] for job in jobs} == {"COMPLETED"}
    expected = Counter(
        clip_table=3,
        corpus_shard=4,
        corpus_gather=3,
        masking_shard=4,
        masking_gather=3,
        features_shard=8,
        features_gather=6,
        transcribe=2,
    )
    counted = Counter(rule_of(job) for job in jobs)
    assert {rule: counted[rule] for rule in expected} == dict(expected)
    assert set(counted.values()) - set(expected.values()) == {1}
    with open(study / "results/demo/metrics/scores.csv") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert sum(study.planned(*study.arguments()).values()) == 0


def test_jobs_go_to_their_partition_and_account(jobs):
    for job in jobs:
        wanted = "gpu" if rule_of(job) in GPU_RULES else "cpu"
        assert (job["partition"], job["account"]) == (wanted, "hearing"), job


def test_slurm_grants_what_the_full_study_asks_for(jobs, asked):
    """CPUs, memory, GPUs and time limit, as Slurm's accounts have them."""
    seen = set()
    for job in jobs:
        rule = rule_of(job)
        if rule not in asked:  # of the demo alone
            continue
        seen.add(rule)
        wanted = asked[rule]
        assert int(job["reqcpus"]) == wanted["threads"], job
        extra = 1 if "_" in job["jobid"] else 0  # MB that the plugin adds for an array's commands
        assert job["reqmem"] in {f"{wanted['mem_mb'] + extra}M", f"{wanted['mem_mb'] / 1000:g}G"}
        days, _, clock = job["timelimit"].rpartition("-")
        hours, minutes, _ = clock.split(":")
        assert int(days or 0) * 1440 + int(hours) * 60 + int(minutes) == wanted["runtime"], job
        gpus = dict(part.split("=") for part in job["reqtres"].split(",")).get("gres/gpu", "0")
        assert int(gpus) == wanted["gpu"], job
    assert {"finetune", "transcribe", "score", "masking_shard"} <= seen
    assert asked["finetune"]["gpu"] == 4
    assert asked["finetune"]["threads"] == 24


def test_jobs_see_what_they_were_given(cluster, jobs, asked):
    for job in jobs:
        if rule_of(job) not in ("finetune", "transcribe", "score"):
            continue
        seen = cluster.seen_by(job["jobid"])
        wanted = asked[rule_of(job)]
        assert seen["SLURM_JOB_PARTITION"] == job["partition"]
        assert (
            len([n for n in seen.get("CUDA_VISIBLE_DEVICES", "").split(",") if n])
            == (wanted["gpu"])
        )


def test_shards_are_submitted_as_arrays(jobs):
    """At least the two of `train`: those of the other splits may be ready earlier or later."""
    for rule, most in (("corpus_shard", 3), ("masking_shard", 3), ("features_shard", 6)):
        numbers = [job["jobid"].split("_")[0] for job in jobs if rule_of(job) == rule]
        assert max(Counter(numbers).values()) >= 2
        assert len(set(numbers)) <= most


def test_reports_of_what_the_jobs_took(study, jobs):
    """The plugin's, from Slurm's accounts, and the workflow's own."""
    (report,) = (study / "results/slurm").glob("efficiency_report_*.csv")
    with open(report) as file:
        rows = list(csv.DictReader(file))
    assert {row["MainJobID"] for row in rows} <= {job["jobid"].split("_")[0] for job in jobs}
    assert {"rule_score"} <= {row["RuleName"] for row in rows}
    with open(study / "results/demo/metrics/usage.csv") as file:
        usage = {row["rule"]: row for row in csv.DictReader(file)}
    assert int(usage["masking_shard"]["jobs"]) == 4
