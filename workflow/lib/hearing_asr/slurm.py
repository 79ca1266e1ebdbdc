"""Checks before jobs are handed to Slurm."""

import subprocess
from pathlib import Path

from hearing_asr.errors import InputError

MANY = 100_000  # jobs at a time that stand for "all of them"
LOOKS = 3  # intervals that the plugin wants the queue to remember; else it asks sacct instead


def check_queue(folder: str | Path) -> None:
    """Make sure that no job of an earlier start is still about.

    The jobs of a Snakemake that died live on. A second job for the same files would write them
    at the same time.

    Args:
        folder: the working directory of the workflow.

    Raises:
        InputError: Slurm's queue has a job that was submitted there by a Snakemake.
    """
    try:
        listed = subprocess.run(
            ["squeue", "--me", "--noheader", "--format=%A|%Z|%k"],
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return  # no Slurm here, or one that does not answer: submitting will say so
    folder = Path(folder).resolve()
    left = set()
    for line in listed.splitlines():
        number, where, comment = line.split("|", 2)
        if comment.startswith(("rule_", "group_")) and Path(where).resolve() == folder:
            left.add(number)
    if left:
        numbers = " ".join(sorted(left, key=int))
        raise InputError(
            f"{len(left)} Slurm job(s) that an earlier Snakemake submitted from {folder} are still "
            f"in the queue. Wait until they are done, or stop them (scancel {numbers}); then start "
            "again: what they finish is not computed twice."
        )


def check_arrays(
    array_jobs: str | None,
    jobs: int | None,
    status_command: str | None,
    min_job_age: int | None,
    interval: int,
) -> None:
    """Make sure that the plugin sees to every job of an array.

    It submits jobs as an array once all that are ready have been handed to it: if a limit makes
    Snakemake hold some back, those handed over are never submitted. And it asks `sacct` for
    numbers by which the tasks of an array are not known: all of them would count as done when the
    last one is, failed ones too.

    Args:
        array_jobs: of the plugin: rules whose jobs are submitted as arrays.
        jobs: of Snakemake: how many jobs may be in the queue at a time.
        status_command: of the plugin: squeue or sacct.
        min_job_age: seconds for which Slurm's queue remembers a job that has ended, if known.
        interval: seconds between two looks at the queue, at first.

    Raises:
        InputError: arrays are asked for, but could not be relied on.
    """
    if not array_jobs:
        return
    alone = "or take slurm-array-jobs out, so that each job is submitted by itself."
    if jobs is not None and jobs < MANY:
        raise InputError(
            f"slurm-array-jobs ({array_jobs}) does not go together with jobs: {jobs}: the plugin "
            f"would wait for ever for the rest of an array. Set jobs: unlimited, {alone}"
        )
    if status_command != "squeue":
        raise InputError(
            f"slurm-array-jobs ({array_jobs}) does not go together with slurm-status-command: "
            f"{status_command}: failed tasks of an array would count as done. Set it to squeue, "
            f"{alone}"
        )
    needed = LOOKS * interval
    if min_job_age is not None and min_job_age < needed:
        raise InputError(
            f"Slurm forgets a job {min_job_age} s after its end (MinJobAge), too soon for "
            f"slurm-array-jobs ({array_jobs}), which take {needed} s. Lower "
            f"slurm-init-seconds-before-status-checks to {min_job_age // LOOKS}, {alone}"
        )
