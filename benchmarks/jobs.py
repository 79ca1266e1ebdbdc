"""What the workflow adds to a job: wall time of jobs that have next to nothing to do."""

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks import checkout, speech
from benchmarks.common import Row, Section, say

RUN = "overhead"
SPLIT = "train"
RULE = "corpus_shard"

# What the rule's script does, for a shard whose number is the first argument: imports and the
# library call, whose time it prints.
PROGRAM = """
import sys, time
sys.path.insert(0, "workflow/lib")
from hearing_asr.corpus import Limits, ingest_shard
begin = time.monotonic()
ingest_shard(
    "{data}/clips/{split}.parquet", "{release}/clips", int(sys.argv[1]), Limits(0.3, 30.0),
    "alone.arrow", "alone.tsv",
)
print(time.monotonic() - begin)
"""

# A job of the same kind with nothing in it at all.
EMPTY = """
rule all:
    input: expand("{n}.done", n=range(config["jobs"]))

rule empty:
    output: touch("{n}.done")
    log: "{n}.log"
    script: "empty.py"
"""


def measure(folder: Path, jobs: int, rounds: int) -> Section:
    """Wall time per job of `jobs` corpus shards of about one clip, and of what is inside of them.

    Shards are run one at a time, so the jobs' own time does not hide the workflow's. The start of
    Snakemake does not count: a run of one job is taken off a run of all.
    """
    shards = (1 + jobs) * rounds
    release = speech.write_clips(folder / "release", shards, 1.0)
    for split in ("dev", "test"):
        speech.write_table(release / f"{split}.tsv", [dict.fromkeys(speech.COLUMNS, split)])
    project = _project(folder, release, shards)
    say("overhead of a job")
    data, outputs = f"data/{RUN}", _outputs(shards)
    _workflow(project, [f"{data}/clips/overlap.json"], "check_splits")
    through = [
        _workflow(project, outputs[first + 1 : first + 1 + jobs], RULE)
        - _workflow(project, outputs[first : first + 1], RULE)
        for first in range(0, len(outputs), 1 + jobs)
    ]
    alone, calls = _alone(project, data, release, rounds * jobs)
    here = 1000 * min(through) / (jobs - 1)
    empty = 1000 * min(_empty(folder / f"empty-{n}", jobs) for n in range(rounds))
    rows = [
        Row("a Python that does it, started by hand", 1000 * alone, here),
        Row("a plain workflow's job, script empty", empty, here),
    ]
    note = f"  the library call inside takes {1000 * calls:.1f} ms"
    return Section(f"Overhead, {RULE} of one clip: ms", "other", "here", rows, note)


def _project(folder: Path, release: Path, shards: int) -> Path:
    """A copy of the checkout with a configuration for this release."""
    project = checkout.copy(folder / "project")
    splits = {SPLIT: {"shards": shards}, "dev": {"shards": 1}, "test": {"shards": 1}}
    corpus = {"source": "release", "release": str(release), "splits": splits}
    (project / "overhead.yaml").write_text(yaml.safe_dump({"run": RUN, "corpus": corpus}))
    return project


def _outputs(shards: int) -> list[str]:
    return [f"data/{RUN}/corpus/{SPLIT}/data-{n:05d}-of-{shards:05d}.arrow" for n in range(shards)]


def _workflow(project: Path, targets: Sequence[str], rule: str) -> float:
    """Seconds of a run that makes `targets`, each by a job of `rule`."""
    run = checkout.snakemake(project, *targets, "--cores", "1", "--configfile", "overhead.yaml")
    _expect(run.output, rule, len(targets))
    return run.seconds


def _empty(folder: Path, jobs: int) -> float:
    """Seconds per job of a workflow with an empty script."""
    folder.mkdir()
    (folder / "Snakefile").write_text(EMPTY)
    (folder / "empty.py").write_text("")
    one = checkout.snakemake(folder, "--cores", "1", "--config", "jobs=1")
    more = checkout.snakemake(folder, "--cores", "1", "--config", f"jobs={1 + jobs}")
    _expect(more.output, "empty", jobs)
    return (more.seconds - one.seconds) / (jobs - 1)


def _expect(output: str, rule: str, jobs: int) -> None:
    """Make sure that `jobs` jobs of a rule have run: nothing else would be measured."""
    done = len(re.findall(rf"^(?:local)?rule {rule}:$", output, re.MULTILINE))
    if done != jobs:
        raise RuntimeError(f"{done} instead of {jobs} jobs of {rule}:\n{output[-4000:]}")


def _alone(project: Path, data: str, release: Path, runs: int) -> tuple[float, float]:
    """Least seconds of a Python that does what the job does, and of the library call in it."""
    program = PROGRAM.format(data=data, split=SPLIT, release=release)
    done = [checkout.run(project, ["-c", program, str(n)]) for n in range(runs)]
    return min(run.seconds for run in done), min(float(run.output.split()[-1]) for run in done)
