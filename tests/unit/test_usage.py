"""What jobs requested and used: by hand, and from benchmarks that Snakemake itself has written."""

import json
import logging
import math
import subprocess
import sys

import numpy as np
import pytest

from hearing_asr.errors import InputError
from hearing_asr.usage import LOOK_LONG, LOOK_SHORT, read_usage, usage_by_rule

MIB = 1.048576  # MB: psutil's bytes divided by 1024 twice


def record(rule="mask", seconds=10.0, *, rss=100.0, cpu=8.0, threads=1, **resources):
    """One line of a benchmark file as Snakemake 9.27 writes it; resources as in a rule."""
    return {
        "s": seconds,
        "h:m:s": "0:00:10",
        "max_rss": rss,
        "max_vms": 900.0,
        "max_uss": 90.0,
        "max_pss": 91.0,
        "io_in": 0.0,
        "io_out": 1.5,
        "mean_load": 80.0,
        "cpu_time": cpu,
        "cpu_usage": 800.0,
        "jobid": 3,
        "rule_name": rule,
        "wildcards": {"shard": "00000-of-00002"},
        "params": {},
        "threads": threads,
        "resources": {"_cores": threads, "_nodes": 1, "tmpdir": "/tmp", **resources},
        "input_size_mb": {"a.arrow": 2.5},
    }


def write(path, *records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in records))
    return path


def by_rule(folder, rules=()):
    return usage_by_rule(read_usage(folder), rules).set_index("rule")


def test_requests_and_use_of_a_job(tmp_path):
    write(
        tmp_path / "train/deep/normal.jsonl",
        record("train", 12.0, rss=500.0, cpu=36.0, threads=4, mem_mb=2000, runtime=5, gpu=2),
    )
    (job,) = read_usage(tmp_path).to_dict("records")
    assert job == {
        "file": "train/deep/normal.jsonl",
        "rule": "train",
        "threads": 4,
        "gpus": 2,
        "memory_requested_mb": 2000,
        "memory_used_mb": pytest.approx(500 * MIB),
        "time_requested_minutes": 5,
        "time_minutes": pytest.approx(0.2),
        "cpu_hours": pytest.approx(0.01),
    }


def test_rules_summed_up_by_hand(tmp_path):
    write(
        tmp_path / "mask/a.jsonl",
        record(seconds=12.0, rss=900 / MIB, cpu=9.0, threads=2, mem_mb=1000, runtime=1),
    )
    # The second attempt of a job had asked for more: its share is smaller though it used more.
    write(
        tmp_path / "mask/b.jsonl",
        record(seconds=15.0, rss=1200 / MIB, cpu=21.0, threads=2, mem_mb=2000, runtime=2, gpu=1),
    )
    rule = by_rule(tmp_path).loc["mask"]
    assert rule.to_dict() == {
        "jobs": 2,
        "unmeasured": 0,
        "threads": 2,
        "gpus": 1,
        "memory_requested_least_mb": 1000,
        "memory_requested_mb": 2000,
        "memory_used_mb": pytest.approx(1200),
        "memory_share": pytest.approx(0.9),
        "time_requested_least_minutes": 1,
        "time_requested_minutes": 2,
        "longest_minutes": pytest.approx(0.25),
        "time_share": pytest.approx(0.2),
        "cpu_hours_used": pytest.approx(30 / 3600),
        "cpu_hours_requested": pytest.approx(54 / 3600),
        "cpu_efficiency": pytest.approx(30 / 54),
        "gpu_hours": pytest.approx(15 / 3600),
    }


@pytest.mark.parametrize(
    "unseen",
    [{"rss": "NA", "cpu": "NA"}, {"seconds": 0.4, "rss": 0.004, "cpu": 0.0}],
    ids=["marked", "seen before it began"],
)
def test_unmeasured_jobs_count_but_do_not_dilute(tmp_path, unseen):
    write(tmp_path / "mask/a.jsonl", record(seconds=10.0, cpu=8.0, mem_mb=1000, runtime=1))
    write(tmp_path / "mask/b.jsonl", record(**{"seconds": 14.0, "mem_mb": 1000} | unseen))
    rule = by_rule(tmp_path).loc["mask"]
    assert (rule["jobs"], rule["unmeasured"]) == (2, 1)
    assert rule["memory_used_mb"] == pytest.approx(100 * MIB)
    assert rule["cpu_efficiency"] == pytest.approx(0.8)
    elapsed = 10.0 + unseen.get("seconds", 14.0)
    assert rule["cpu_hours_requested"] == pytest.approx(elapsed / 3600)
    (tmp_path / "mask/a.jsonl").unlink()
    alone = by_rule(tmp_path).loc["mask"]
    assert alone["jobs"] == alone["unmeasured"] == 1
    unknown = ["memory_used_mb", "memory_share", "cpu_hours_used", "cpu_efficiency"]
    assert alone[unknown].isna().all()
    assert alone["longest_minutes"] == pytest.approx(unseen.get("seconds", 14.0) / 60)


def test_what_was_not_requested_has_no_share(tmp_path):
    write(tmp_path / "mask/a.jsonl", record(mem_mb=0))
    rule = by_rule(tmp_path).loc["mask"]
    absent = [
        "memory_requested_least_mb",
        "memory_requested_mb",
        "memory_share",
        "time_requested_least_minutes",
        "time_requested_minutes",
        "time_share",
    ]
    assert rule[absent].isna().all()
    assert (rule["gpus"], rule["gpu_hours"]) == (0, 0)
    assert rule.drop(absent).notna().all()


@pytest.mark.parametrize(
    ("seconds", "last_look"),
    [(15.0, 15.0), (15.5, 15.5), (31.0, 15.5), (45.0, 15.5), (91.0, 75.5), (3621.0, 3615.5)],
)
def test_cpu_time_goes_on_after_the_last_look(tmp_path, seconds, last_look):
    write(tmp_path / "mask/a.jsonl", record(seconds=seconds, cpu=0.75 * last_look))
    rule = by_rule(tmp_path).loc["mask"]
    assert rule["cpu_efficiency"] == pytest.approx(0.75)
    assert rule["cpu_hours_used"] == pytest.approx(0.75 * seconds / 3600)


def test_snakemake_looks_as_often_as_is_assumed():
    from snakemake import benchmark

    assert benchmark.BENCHMARK_INTERVAL_SHORT == LOOK_SHORT
    assert benchmark.BENCHMARK_INTERVAL == LOOK_LONG


def test_rules_come_in_the_order_given_then_by_name(tmp_path):
    for name in "cdab":
        write(tmp_path / f"{name}/x.jsonl", record(name))
    jobs = read_usage(tmp_path)
    assert list(usage_by_rule(jobs, ["d", "absent", "c"])["rule"]) == ["d", "c", "a", "b"]
    assert list(usage_by_rule(jobs)["rule"]) == ["a", "b", "c", "d"]


def test_repeated_executions_are_rows_of_their_own(tmp_path):
    write(tmp_path / "mask/a.jsonl", record(seconds=6.0), record(seconds=9.0))
    assert list(read_usage(tmp_path)["time_minutes"]) == pytest.approx([0.1, 0.15])


DAMAGED = {
    "empty.jsonl": b"",
    "cut.jsonl": b'{"s": 3.0, "max_r',
    "list.jsonl": b"[1, 2]",
    "text.jsonl": b'{"s": "long"}',
    "nan.jsonl": b'{"s": NaN}',
    "half.jsonl": b'{"s": 3.0}\nbroken\n',
    "binary.jsonl": b"\xff\xfe\x00",
}


def test_damaged_files_are_named_and_left_out(tmp_path, caplog):
    write(tmp_path / "mask/good.jsonl", record())
    for name, content in DAMAGED.items():
        (tmp_path / "mask" / name).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        jobs = read_usage(tmp_path)
    assert list(jobs["file"]) == ["mask/good.jsonl"]
    assert len(caplog.messages) == len(DAMAGED)
    for name in DAMAGED:
        assert any(name in message for message in caplog.messages), name


def test_no_benchmarks_name_the_folder(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}/absent: no file"):
        read_usage(tmp_path / "absent")
    (tmp_path / "a.tsv").touch()
    with pytest.raises(InputError, match=f"{tmp_path}: no file"):
        read_usage(tmp_path)
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(InputError, match="none of 1 files"):
        read_usage(tmp_path)


SNAKEFILE = """
rule all:
    input: "busy.txt", "quick.txt"

rule busy:
    output: "busy.txt"
    benchmark: "benchmarks/busy/deep/a.jsonl"
    threads: 2
    resources: mem_mb=lambda wildcards, attempt: attempt * 500, runtime=3, gpu=1
    params: python=PYTHON
    shell: "{params.python} busy.py > {output}"

rule quick:
    output: "quick.txt"
    benchmark: "benchmarks/quick/a.jsonl"
    shell: "touch {output}"
"""
# Holds 200 MB and one core for two seconds, and says what it has used itself.
BUSY = """
import os, time
held = b"x" * 200_000_000
begin = time.time()
while time.time() < begin + 2:
    pass
print(sum(os.times()[:2]))
"""


@pytest.fixture(scope="module")
def snakemake_run(tmp_path_factory):
    """Run a small workflow; return a function that runs it again with more options."""
    folder = tmp_path_factory.mktemp("usage")
    (folder / "Snakefile").write_text(f"PYTHON = {sys.executable!r}\n" + SNAKEFILE)
    (folder / "busy.py").write_text(BUSY)

    def run(*options):
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "--forceall", *options]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
        return folder

    return run


def test_benchmarks_that_snakemake_has_written(snakemake_run):
    folder = snakemake_run("--benchmark-extended")
    table = by_rule(folder / "benchmarks", ["quick", "busy"])
    assert list(table.index) == ["quick", "busy"]
    busy = table.loc["busy"]
    assert (busy["jobs"], busy["unmeasured"], busy["threads"], busy["gpus"]) == (1, 0, 2, 1)
    assert busy["memory_requested_mb"] == 500
    assert 200 < busy["memory_used_mb"] < 280
    assert busy["memory_share"] == pytest.approx(busy["memory_used_mb"] / 500)
    assert busy["time_requested_minutes"] == 3
    assert 2 < 60 * busy["longest_minutes"] < 30
    assert busy["gpu_hours"] == pytest.approx(busy["longest_minutes"] / 60)
    assert busy["cpu_hours_requested"] == pytest.approx(2 * busy["longest_minutes"] / 60)
    own = float((folder / "busy.txt").read_text())  # seconds; the last look is up to 0.5 s before
    assert 0.5 * own < 3600 * busy["cpu_hours_used"] < 1.1 * own + 0.5
    quick = table.loc["quick"]
    assert (quick["jobs"], quick["gpus"]) == (1, 0)
    assert math.isnan(quick["memory_requested_mb"])


def test_without_the_option_only_requests_are_unknown(snakemake_run, caplog):
    folder = snakemake_run()
    with caplog.at_level(logging.WARNING):
        table = by_rule(folder / "benchmarks")
    assert "2 of 2 jobs" in caplog.text
    assert "--benchmark-extended" in caplog.text
    assert list(table.index) == ["busy", "quick"]
    busy = table.loc["busy"]
    assert 200 < busy["memory_used_mb"] < 280
    assert busy["longest_minutes"] > 2 / 60
    assert busy["cpu_hours_used"] > 0
    assert np.isnan(
        busy[["threads", "memory_share", "time_share", "cpu_efficiency"]].to_list()
    ).all()
