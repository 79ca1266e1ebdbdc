"""What is refused before jobs are handed to Slurm."""

import os
from pathlib import Path

import pytest

from hearing_asr.errors import InputError
from hearing_asr.slurm import check_arrays, check_queue

GOOD = {
    "array_jobs": "masking_shard",
    "jobs": 9_223_372_036_854_775_807,  # what Snakemake makes of `unlimited`
    "status_command": "squeue",
    "min_job_age": 300,
    "interval": 40,
}


@pytest.fixture
def squeue(tmp_path, monkeypatch):
    """A `squeue` that prints what it is told to."""

    def install(*lines: str, status: int = 0) -> None:
        program = tmp_path / "bin/squeue"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\ncat {tmp_path}/listed\nexit {status}\n")
        program.chmod(0o755)
        (tmp_path / "listed").write_text("".join(f"{line}\n" for line in lines))
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return install


def test_jobs_of_an_earlier_start_are_named(squeue, tmp_path):
    here = tmp_path / "study"
    squeue(
        f"12|{here}|rule_finetune_wildcards_hfloss",
        f"9|{here}|rule_masking_shard_wildcards_a|b",
        f"9|{here}|rule_masking_shard_wildcards_a|b",
        f"13|{tmp_path}/other|rule_finetune_wildcards_hfloss",
        f"14|{here}|(null)",
    )
    with pytest.raises(InputError, match=r"^2 Slurm job\(s\).*scancel 9 12\)"):
        check_queue(here)
    check_queue(tmp_path)


def test_the_folder_is_known_behind_a_link(squeue, tmp_path):
    (tmp_path / "scratch").mkdir()
    Path(tmp_path / "study").symlink_to(tmp_path / "scratch")
    squeue(f"12|{tmp_path}/study|rule_finetune")
    with pytest.raises(InputError, match="scancel 12"):
        check_queue(tmp_path / "scratch")


def test_no_queue_is_no_reason_to_stop(squeue, tmp_path, monkeypatch):
    squeue()
    check_queue(tmp_path)
    squeue(status=1)
    check_queue(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    check_queue(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jobs": 500}, "jobs: 500: the plugin would wait for ever"),
        ({"status_command": "sacct"}, "failed tasks of an array would count as done"),
        ({"min_job_age": 100}, r"Lower slurm-init-seconds-before-status-checks to 33"),
    ],
)
def test_arrays_that_could_not_be_relied_on(change, message):
    check_arrays(**GOOD)
    with pytest.raises(InputError, match=message):
        check_arrays(**(GOOD | change))
    check_arrays(**(GOOD | change | {"array_jobs": None}))


def test_unknown_limits_are_left_to_slurm():
    check_arrays(**(GOOD | {"jobs": None, "min_job_age": None}))
