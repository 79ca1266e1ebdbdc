"""The log of a job: what each attempt says, and what is left of the ones before."""

import logging
import re

import pytest

from hearing_asr import joblog
from hearing_asr.errors import InputError
from hearing_asr.joblog import job_log, keep_log


@pytest.fixture(autouse=True)
def root_logger():
    """Put the logging of the tests back in place."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before[0], before[1]
    logging.captureWarnings(False)


def test_a_second_attempt_leaves_the_reason_of_the_first(tmp_path, monkeypatch):
    path = tmp_path / "logs/job.log"
    with pytest.raises(SystemExit) as end, job_log(path):
        raise InputError("the disk is full")
    assert end.value.code == 1
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    with job_log(path) as log:
        log.info("done")
    lines = path.read_text().splitlines()
    assert re.search(r"INFO attempt of \d{4}-\d\d-\d\d .* on \S+$", lines[0])
    assert lines[1].endswith("ERROR the disk is full")
    assert lines[2].endswith(", Slurm job 4711 (requeued 2 x)")
    assert lines[3].endswith("INFO done")


def test_a_kept_log_has_every_attempt(tmp_path):
    """Snakemake removes the job's own log before it tries again."""
    path, kept = tmp_path / "job.log", tmp_path / "model/training.log"

    def attempt(reason):
        with job_log(path):
            keep_log(kept)
            raise InputError(reason)

    for reason in ("the disk is full", "no GPU"):
        with pytest.raises(SystemExit):
            attempt(reason)
        path.unlink()
    lines = kept.read_text().splitlines()
    assert [line.split("ERROR ")[-1] for line in lines[1::2]] == ["the disk is full", "no GPU"]
    assert all("all attempts: " in line for line in lines[::2])


def test_an_unexpected_error_keeps_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), job_log(tmp_path / "log"):
        raise ZeroDivisionError
    assert "Traceback" in (tmp_path / "log").read_text()


def test_further_processes_say_only_why_they_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(joblog, "FIRST_TO_FAIL", 0)
    with job_log(tmp_path / "log", rank=0) as log:
        log.info("step 1")
    with job_log(tmp_path / "log", rank=1) as log:
        log.info("step 1")
        log.warning("slow")
    with pytest.raises(SystemExit), job_log(tmp_path / "log", rank=1):
        raise InputError("the disk is full")
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO step 1",
        "ERROR process 1: the disk is full",
    ]
