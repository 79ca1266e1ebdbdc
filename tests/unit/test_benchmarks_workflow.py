"""The measurements of the workflow itself run and say what is true; no time is asserted."""

import re

import pytest
from benchmarks import checkout, jobs, planning, training
from benchmarks.common import Size, render
from benchmarks.planning import Plan
from benchmarks.training import Training

SPLITS = {"train": 2, "dev": 1, "test": 1}
TINY = {"d_model": 16, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return checkout.copy(tmp_path_factory.mktemp("benchmark") / "project")


def test_a_copy_has_the_files_and_nothing_that_was_made(project):
    for name in ("Snakefile", "config/full.yaml", "workflow/scripts/finetune.py"):
        assert (project / name).read_bytes() == (checkout.ROOT / name).read_bytes()
    assert not (project / ".snakemake").exists()
    assert not (project / ".git").exists()


def test_a_run_tells_what_it_took_and_what_it_said(tmp_path):
    held = b"x" * 600_000_000  # what this process holds is not the program's
    code = "import time; time.sleep(0.3); x = bytearray(200 * 2**20); print('said')"
    run = checkout.run(tmp_path, ["-c", code])
    assert run.output == "said\n"
    assert run.seconds >= 0.3 > run.cpu > 0
    assert 200 < run.peak < 300 < len(held) / 2**20


def test_a_run_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"ended with 3:\nwhy"):
        checkout.run(tmp_path, ["-c", "print('why'); raise SystemExit(3)"])


def test_a_run_inherits_neither_threads_nor_settings_of_snakemake(tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "SNAKEMAKE_PROFILE", "PYTHONPATH"):
        monkeypatch.setenv(name, "1")
    code = "import os; print([k for k, v in os.environ.items() if v == '1'])"
    assert not re.search("OMP|SNAKEMAKE|PYTHONPATH", checkout.run(tmp_path, ["-c", code]).output)


def test_plans_count_all_jobs_and_grow_with_the_shards(project):
    """A shard more of one split is a job more in the corpus, and two more per variant."""
    plans = [planning.dry_run(project, SPLITS | {"train": shards}) for shards in (2, 5)]
    assert plans[1].jobs - plans[0].jobs == 3 * (1 + 2 * 3)
    listed = checkout.snakemake(
        project, "-n", "--configfile", planning.STUDY, "shards.yaml"
    ).output.split("Job stats:")[1]
    assert plans[1].jobs == len(re.findall(r"^(?:local)?rule \w+:", listed, re.MULTILINE))


def test_the_plain_workflow_has_the_shards_and_gathers_of_the_study(tmp_path):
    (tmp_path / "Snakefile").write_text(planning.PLAIN)
    plan = planning.dry_run_plain(tmp_path, SPLITS)
    folders, shards = 1 + 2 * 3, sum(SPLITS.values())
    assert plan.jobs == folders * (shards + len(SPLITS)) + 1


def test_planning(tmp_path):
    time, memory, growth = planning.measure(tmp_path, (1, 2), rounds=1, splits=SPLITS)
    assert len(time.rows) == len(memory.rows) == 2
    assert len(growth.rows) == 1
    assert all(row.ratio > 0 for row in [*time.rows, *memory.rows, *growth.rows])


def test_growth_compares_the_time_of_a_job_in_both_plans():
    plain = Plan(1000, 1.0, 100)
    plans = {1: (plain, Plan(1000, 2.0, 100)), 10: (plain, Plan(10_000, 200.0, 500))}
    time, memory, growth = planning.sections(plans)
    assert [row.other for row in time.rows] == [1, 1]
    assert [row.here for row in memory.rows] == [100, 500]
    (row,) = growth.rows
    assert (row.other, row.here) == (2, 20)
    assert not row.kept
    assert "10,000 jobs" in render(time)


def test_the_study_has_the_shards_of_its_configuration():
    assert planning.study_splits() == {"train": 256, "dev": 4, "test": 4}


def test_overhead_of_a_job(tmp_path):
    section = jobs.measure(tmp_path, jobs=2, rounds=1)
    alone, empty = section.rows
    assert alone.here == empty.here
    (call,) = re.findall(r"takes ([\d.]+) ms", section.note)
    assert 0 < float(call) < alone.other  # the call is inside of the program
    shards = sorted((tmp_path / "project/data/overhead/corpus/train").glob("data-*.arrow"))
    assert [path.name for path in shards] == [f"data-0000{n}-of-00003.arrow" for n in range(3)]


def test_training(tmp_path):
    time, waiting = training.measure(tmp_path, steps=8, sizes=TINY)
    assert [row.what for row in time.rows] == list(training.WAYS)
    assert len(waiting.rows) == 3
    assert all(row.here > 0 for row in [*time.rows, *waiting.rows])
    log = (tmp_path / "2-2.log").read_text()
    assert "effective batch size: 16" in log
    assert "step 8 of 8" in log


def test_a_step_takes_the_median_time_after_the_first_lines():
    lines = [f"step {n} of 5, loss 1.0, lr 1, {rate} clips/s, 0:00:01 left" for n, rate in RATES]
    log = "\n".join([*lines, "trained in 0:00:05, 1.3 % of it waiting for data"])
    assert training.read_log(log, batch=16) == Training(step=16 / 40, waiting=1.3)


RATES = ((1, 2.0), (2, 32.0), (3, 40.0), (4, 41.5), (5, 10.0), (5, 80.0))


def test_only_everything_plans_a_hundred_times_the_study():
    assert Size.quick().scales == (1,)
    assert max(Size().scales) == 10
    assert max(Size.everything().scales) == 100
