"""What the jobs of a run asked for and what they used, from Snakemake's benchmark files.

A benchmark file is JSON lines, one object per execution of a job, written when it has succeeded:
a failed attempt leaves none, and a repeated job replaces its own. With `--benchmark-extended` an
object also says the job's rule, threads and resources; without it the rule is taken from the
folder that the file lies in, and nothing is known of what was requested.

Snakemake looks at a job and its children at its start, every 0.5 s for 15 s, then every 30 s. A
peak between two looks is not seen. CPU time ends with the last look, so it is scaled up from there
to the whole job; otherwise a job of 40 s would seem to have used a third of its busy core.
"""

import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hearing_asr.errors import InputError

log = logging.getLogger("hearing_asr")

LOOK_SHORT = 0.5  # seconds between two looks of Snakemake at first
LOOK_LONG = 30.0  # and after LOOKS_SHORT of them
LOOKS_SHORT = 30
MB_PER_MIB = 2**20 / 1e6  # benchmarks count memory in MiB, the resource mem_mb is in MB

JOB_COLUMNS = (
    "file",
    "rule",
    "threads",
    "gpus",
    "memory_requested_mb",
    "memory_used_mb",
    "time_requested_minutes",
    "time_minutes",
    "cpu_hours",
)


def read_usage(folder: str | Path) -> pd.DataFrame:
    """Read all benchmark files (`*.jsonl`) in `folder` and below it.

    Files that are empty, damaged or unreadable are named in a warning and left out.

    Args:
        folder: files lie in one folder per rule, nested as may be.

    Returns:
        One row per execution of a job, ordered by file:
        file: relative to `folder`;
        rule: its name;
        threads: cores it had, NaN where unknown;
        gpus: the resource `gpu`, 0 where there is none;
        memory_requested_mb: the resource `mem_mb` (10^6 bytes), NaN where there is none;
        memory_used_mb: the largest resident memory of the job and its children together (10^6
        bytes), NaN where not measured. It is sampled, so a short peak may be missing, and pages
        that processes share count once for each, so it may overstate jobs of many processes;
        time_requested_minutes: the resource `runtime`, NaN where there is none;
        time_minutes: elapsed time;
        cpu_hours: user and system time of all processes, scaled up from the time seen to the time
        elapsed, NaN where not measured.

        Not measured are jobs that ended before Snakemake's second look: the first one sees a
        program that has not begun.

    Raises:
        InputError: there is no benchmark file, or none that can be read.
    """
    folder = Path(folder)
    files = sorted(folder.rglob("*.jsonl"))
    rows, without_requests = [], 0
    for file in files:
        try:
            records = list(_records(file))
        except (OSError, ValueError) as error:
            log.warning("%s: left out, not a benchmark of Snakemake (%s)", file, error)
            continue
        name = file.relative_to(folder)
        rows += [_row(name, record) for record in records]
        without_requests += sum("resources" not in record for record in records)
    if not rows:
        found = f"none of {len(files)} files *.jsonl can be read" if files else "no file *.jsonl"
        raise InputError(
            f"{folder}: {found}, expected benchmarks of Snakemake. They are written when jobs "
            "succeed; run the workflow first, or delete damaged files and run their jobs again."
        )
    if without_requests:
        log.warning(
            "%s: %d of %d jobs do not say what they requested; run Snakemake with "
            "--benchmark-extended",
            folder,
            without_requests,
            len(rows),
        )
    return pd.DataFrame(rows, columns=list(JOB_COLUMNS))


def _records(file: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a benchmark file; ValueError where it is damaged or empty."""
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError("empty")
    for line in lines:
        record = json.loads(line)
        if not isinstance(record, dict) or math.isnan(_number(record.get("s"))):
            raise ValueError("no elapsed time in it")
        yield record


def _row(file: Path, record: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of JOB_COLUMNS."""
    resources = record.get("resources")
    if not isinstance(resources, dict):
        resources = {}
    gpus = _number(resources.get("gpu"))
    seconds = _number(record["s"])
    memory, cpu = _number(record.get("max_rss")), _number(record.get("cpu_time"))
    if seconds < LOOK_SHORT:
        memory = cpu = math.nan
    return (
        file.as_posix(),
        str(record.get("rule_name") or file.with_suffix("").parts[0]),
        _number(record.get("threads")),
        0.0 if math.isnan(gpus) else gpus,
        _request(resources.get("mem_mb")),
        memory * MB_PER_MIB,
        _request(resources.get("runtime")),
        seconds / 60,
        cpu * _scale(seconds) / 3600,
    )


def _scale(seconds: float) -> float:
    """Time elapsed as a multiple of the time until the last look (within 0.5 s)."""
    short = (LOOKS_SHORT + 1) * LOOK_SHORT
    if seconds <= short:
        return 1.0
    return seconds / (short + LOOK_LONG * ((seconds - short) // LOOK_LONG))


def _number(value: Any) -> float:
    """A finite number as it is; NaN for all else, as the "NA" of what was not measured."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else math.nan


def _request(value: Any) -> float:
    """A positive number; nothing requested is NaN, for it has no share."""
    return _number(value) if _number(value) > 0 else math.nan


def usage_by_rule(jobs: pd.DataFrame, rules: Iterable[str] = ()) -> pd.DataFrame:
    """Sum up the jobs of every rule.

    Args:
        jobs: as from `read_usage`.
        rules: names in the order wanted; those without a job are passed over, and rules that are
            not among them follow by name.

    Returns:
        One row per rule, NaN where nothing was requested or measured:
        rule;
        jobs, unmeasured: all of them, and those of unknown memory and CPU time;
        threads, gpus: the most that a job had;
        memory_requested_least_mb, memory_requested_mb: the smallest and the largest request (they
        differ where requests grow with the input or the attempt);
        memory_used_mb: the most that a job used, resident memory as in `read_usage`;
        memory_share: the largest share that a job used of its own request, a ratio;
        time_requested_least_minutes, time_requested_minutes, longest_minutes, time_share: the
        same for the time limit and the elapsed time;
        cpu_hours_used: CPU time of the measured jobs, as in `read_usage`;
        cpu_hours_requested: threads x elapsed time of all jobs;
        cpu_efficiency: of the measured jobs alone, CPU time / (threads x elapsed time), a ratio;
        gpu_hours: GPUs x elapsed time of all jobs.
    """
    hours = jobs["time_minutes"] / 60
    core_hours = jobs["threads"] * hours
    measured = jobs["cpu_hours"].notna() & core_hours.notna()
    grouped = jobs.assign(
        memory_share=jobs["memory_used_mb"] / jobs["memory_requested_mb"],
        time_share=jobs["time_minutes"] / jobs["time_requested_minutes"],
        unmeasured=jobs["memory_used_mb"].isna(),
        core_hours=core_hours,
        measured_cpu_hours=jobs["cpu_hours"].where(measured),
        measured_core_hours=core_hours.where(measured),
        gpu_hours=jobs["gpus"] * hours,
    ).groupby("rule", sort=True)
    most, least = grouped.max(numeric_only=True), grouped.min(numeric_only=True)
    sums = grouped.sum(numeric_only=True, min_count=1)
    table = pd.DataFrame(
        {
            "jobs": grouped.size(),
            "unmeasured": sums["unmeasured"].astype(int),
            "threads": most["threads"],
            "gpus": most["gpus"],
            "memory_requested_least_mb": least["memory_requested_mb"],
            "memory_requested_mb": most["memory_requested_mb"],
            "memory_used_mb": most["memory_used_mb"],
            "memory_share": most["memory_share"],
            "time_requested_least_minutes": least["time_requested_minutes"],
            "time_requested_minutes": most["time_requested_minutes"],
            "longest_minutes": most["time_minutes"],
            "time_share": most["time_share"],
            "cpu_hours_used": sums["cpu_hours"],
            "cpu_hours_requested": sums["core_hours"],
            "cpu_efficiency": sums["measured_cpu_hours"] / sums["measured_core_hours"],
            "gpu_hours": sums["gpu_hours"],
        }
    )
    order = [rule for rule in dict.fromkeys(rules) if rule in table.index]
    order += [rule for rule in table.index if rule not in order]
    return table.loc[order].reset_index(names="rule")
