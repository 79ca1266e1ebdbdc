"""Planning: dry runs of the full study with more and more shards, beside a plain workflow."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from benchmarks import checkout
from benchmarks.common import ROOT, Row, Section, default_variants, say

STUDY = "config/full.yaml"
# The source that has a job per shard.
EXTRACTED = {"source": "release", "release": "data/cv-corpus-26.0-2026-06-12/en"}
GROWTH = 0.5  # a job among ten times as many may take twice as long; if quadratic, ten times

# The same shards and stages with nothing but the files: no code among the inputs, no functions,
# no logs, no environments, no check of the corpus before it is masked.
PLAIN = """
SHARDS = config["shards"]
VARIANTS = config["variants"]

def shards(folder):
    return lambda wildcards: [
        f"{folder}/{wildcards.split}/{n:05d}".format(**dict(wildcards))
        for n in range(SHARDS[wildcards.split])
    ]

rule all:
    input:
        expand("corpus/{split}.done", split=SHARDS),
        expand("masked/{variant}/{split}.done", variant=VARIANTS, split=SHARDS),
        expand("logmel/{variant}/{split}.done", variant=VARIANTS, split=SHARDS),

rule corpus_shard:
    output: "corpus/{split}/{shard}"
    shell: "touch {output}"

rule masking_shard:
    input: "corpus/{split}/{shard}"
    output: "masked/{variant}/{split}/{shard}"
    shell: "touch {output}"

rule features_shard:
    input: "masked/{variant}/{split}/{shard}"
    output: "logmel/{variant}/{split}/{shard}"
    shell: "touch {output}"

rule corpus_gather:
    input: shards("corpus")
    output: "corpus/{split}.done"
    shell: "touch {output}"

rule masking_gather:
    input: shards("masked/{{variant}}")
    output: "masked/{variant}/{split}.done"
    shell: "touch {output}"

rule features_gather:
    input: shards("logmel/{{variant}}")
    output: "logmel/{variant}/{split}.done"
    shell: "touch {output}"
"""


@dataclass(frozen=True)
class Plan:
    """A dry run: how many jobs it planned, in which CPU time (s) and memory (MiB)."""

    jobs: int
    seconds: float
    peak: float

    @property
    def milliseconds_per_job(self) -> float:
        return 1000 * self.seconds / self.jobs


def measure(
    folder: Path, scales: Sequence[int], rounds: int, splits: Mapping[str, int] | None = None
) -> Iterator[Section]:
    """Dry runs of the study, and of a plain workflow, with `scales` times the shards of `splits`.

    Args:
        folder: for the copy of the checkout.
        scales: whole numbers, the first of which the others are held against.
        rounds: how often each is run at the first scale, of which the best counts; others: once.
        splits: shards per split, by default those of the full study.
    """
    project = checkout.copy(folder / "project")
    plain = folder / "plain"
    plain.mkdir()
    (plain / "Snakefile").write_text(PLAIN)
    plans = {}
    for scale in scales:
        shards = {name: scale * count for name, count in (splits or study_splits()).items()}
        repeated = range(rounds if scale == scales[0] else 1)
        say(f"planning, {scale} x the shards of the study")
        plans[scale] = (
            min((dry_run_plain(plain, shards) for _ in repeated), key=lambda plan: plan.seconds),
            min((dry_run(project, shards) for _ in repeated), key=lambda plan: plan.seconds),
        )
    yield from sections(plans)


def sections(plans: Mapping[int, tuple[Plan, Plan]]) -> Iterator[Section]:
    """Tables of (plain, here) by scale."""
    rows = [Row(_jobs(here), plain.seconds, here.seconds) for plain, here in plans.values()]
    yield Section("Planning, dry run of the study: s", "plain", "here", rows)
    rows = [Row(_jobs(here), plain.peak, here.peak) for plain, here in plans.values()]
    yield Section("Planning, peak memory: MiB", "plain", "here", rows)
    (first, (_, small)), *others = plans.items()
    for scale, (_, large) in others:
        costs = small.milliseconds_per_job, large.milliseconds_per_job
        row = Row("the study", *costs, GROWTH)
        factor = f"{scale / first:g} x shards"
        yield Section("Planning, growth: ms per job", "1 x shards", factor, [row])


def dry_run(project: Path, shards: Mapping[str, int]) -> Plan:
    """Plan the study in a copy of the checkout."""
    splits = {name: {"shards": n} for name, n in shards.items()}
    overlay = {"corpus": {**EXTRACTED, "splits": splits}}
    (project / "shards.yaml").write_text(yaml.safe_dump(overlay))
    return _plan(project, "--configfile", STUDY, "shards.yaml")


def dry_run_plain(folder: Path, shards: Mapping[str, int]) -> Plan:
    """Plan the plain workflow."""
    content = {"shards": dict(shards), "variants": list(default_variants())}
    (folder / "config.json").write_text(json.dumps(content))
    return _plan(folder, "--configfile", "config.json")


@cache
def study_splits() -> dict[str, int]:
    """Shards per split of the full study."""
    splits = yaml.safe_load((ROOT / STUDY).read_text())["corpus"]["splits"]
    return {name: split["shards"] for name, split in splits.items()}


def _plan(folder: Path, *arguments: str) -> Plan:
    """A dry run that prints how many jobs of each rule there would be."""
    run = checkout.snakemake(folder, "-n", "--quiet", "rules", *arguments)
    (jobs,) = set(re.findall(r"^total +(\d+)$", run.output, re.MULTILINE))
    return Plan(int(jobs), run.cpu, run.peak)


def _jobs(plan: Plan) -> str:
    return f"{plan.jobs:,} jobs"
