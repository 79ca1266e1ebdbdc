"""Whether the disks hold what a run is going to write; asked before its first job."""

import logging
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hearing_asr.errors import InputError
from hearing_asr.plan import HUB_CACHE, Study, job_bytes
from hearing_asr.plan_text import byte_text

log = logging.getLogger("hearing_asr")

RESERVE = 0.1  # of what is needed: tables, logs, files that are still being written
LARGEST = 3  # stages that a message names


def check_disk(
    study: Study,
    jobs: Iterable[tuple[str, str | None]],
    left: Mapping[str, Iterable[str | Path]] | None = None,
) -> None:
    """Make sure that every file system holds what jobs are going to write there, and a tenth more.

    What the jobs write is reckoned with, as `plan.job_bytes` says, less what interrupted ones have
    left behind and will go on from. Stages of unknown size are not, and nothing is checked for a
    release that is not there (the job that stands for it says so first), or of which nobody knows
    how large it is (a dataset of the hub, another one than English of Mozilla Data Collective).

    Args:
        study: the run.
        jobs: rule and split (None where a job has none) of each job that is going to run.
        left: of a stage, the files and folders that its interrupted jobs go on from.

    Raises:
        InputError: a file system has too little room.
    """
    if study.kind == "missing":
        return
    if not all(speech.certain for speech in study.splits.values()):
        log.warning("how much disk this run needs is not known before its tables are there")
        return
    needed: dict[int, Counter] = defaultdict(Counter)
    folders: dict[int, set[Path]] = defaultdict(set)
    for (rule, split), count in Counter(jobs).items():
        written = job_bytes(study, rule, split)
        if written is None or not written.size:
            continue
        folder = folder_of(study, written.folder)
        device = _existing(folder).stat().st_dev
        folders[device].add(folder)
        needed[device][written.stage] += count * written.size
    for stages in needed.values():
        for stage in stages.keys() & (left or {}).keys():
            stages[stage] = max(0, stages[stage] - sum(map(size_of, left[stage])))
    problems = [
        problem
        for device, stages in needed.items()
        if (problem := _problem(sorted(folders[device]), stages)) is not None
    ]
    if problems:
        raise InputError(
            "not enough space on disk for what this run is going to write:\n"
            + "\n".join(problems)
            + "\nSet data_dir or results_dir to a larger disk, or take fewer clips (max_clips or "
            "max_hours of corpus.splits).\n`snakemake plan` shows what takes how much. These are "
            "estimates: check_disk: false starts anyway."
        )


def folder_of(study: Study, name: str) -> Path:
    """The folder that `plan.Disk.folder` stands for."""
    if name != HUB_CACHE:
        return Path(study.config[name])
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    return Path(os.environ.get("HF_HUB_CACHE", f"{home}/hub")).expanduser()


def size_of(path: str | Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 if there is none."""
    path = Path(path)
    files = [path] if path.is_file() else (file for file in path.rglob("*") if file.is_file())
    return sum(file.stat().st_size for file in files)


def free_bytes(folder: Path) -> int:
    """Bytes that a user may still write on the file system that a folder lies on, or will."""
    status = os.statvfs(_existing(folder))
    return status.f_bavail * status.f_frsize


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _problem(folders: Sequence[Path], stages: Counter) -> str | None:
    needed, free = (1 + RESERVE) * stages.total(), free_bytes(folders[0])
    if needed <= free:
        return None
    largest = ", ".join(f"{name} {byte_text(size)}" for name, size in stages.most_common(LARGEST))
    where = ", ".join(map(str, folders))
    return (
        f"- {where}: {byte_text(needed)} needed (with a reserve of {RESERVE:.0%}), "
        f"{byte_text(free)} free; most for {largest}"
    )
