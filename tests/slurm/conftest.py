"""A real Slurm on this machine, and the demo run through it with the requests of the full study."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.slurm import cluster as slurm
from tests.workflow.conftest import Checkout

# The demo made small: what is tested is the way of the jobs, not what they compute.
TINY = """\
corpus:
  demo:
    clips: {train: 24, dev: 6, test: 6}
model:
  scratch: {max_steps: 4, warmup_steps: 2, num_cpus: 2}
training:
  num_cpus: 2
  max_steps: 4
  warmup_steps: 2
  eval_steps: 2
  save_steps: 2
"""
ON_THE_LOGIN_NODE = {"all", "dataset_dict", "download_model", "download_release"}
FIELDS = "jobid,state,partition,account,qos,reqcpus,reqmem,reqtres,timelimit,comment"


@pytest.fixture(scope="session")
def cluster():
    """The cluster, for as long as tests need it."""
    reason = slurm.missing()
    if reason is not None:
        if os.environ.get("HEARING_ASR_SLURM") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    slurm.start()
    yield slurm
    slurm.stop()


class Study(Checkout):
    """A checkout whose profile has been edited as a user edits it for a cluster."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        profile = folder / "profiles/slurm/config.yaml"
        text = profile.read_text().replace("# slurm_account: my_account", "slurm_account: hearing")
        text = text.replace("# slurm_partition: cpu ", "slurm_partition: cpu ")
        profile.write_text(text.replace("# slurm_partition: gpu ", "slurm_partition: gpu "))
        (folder / "tiny.yaml").write_text(TINY)
        config = folder / "config/config.yaml"
        others = re.compile(r"^  (normal|lfloss):\n(    .*\n)+", re.MULTILINE)
        without, count = others.subn("", config.read_text())
        assert count == 2
        config.write_text(without)

    @contextmanager
    def profile(self) -> Iterator[dict]:
        """The profile's content, to change."""
        path = self.folder / "profiles/slurm/config.yaml"
        content = json.loads(json.dumps(yaml.safe_load(path.read_text())))  # no shared parts
        yield content
        # Written out in full: rules that share their resources in the file may now differ.
        path.write_text(json.dumps(content, indent=1))

    def arguments(self, *more: str) -> list[str]:
        """Of Snakemake: targets first, then options."""
        targets = [word for word in more[:1] if not word.startswith("-")]
        quick = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"]
        return [
            *targets,
            *["--profile", "slurm", "--configfile", "config/config.yaml", "tiny.yaml"],
            *quick,
            *more[len(targets) :],
        ]

    def slurm(self, *more: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run to its end."""
        return self.snakemake(*self.arguments(*more), check=check)

    def start(self, *more: str) -> subprocess.Popen:
        """Run in the background; its output goes to snakemake.log."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE")}
        with open(self.folder / "snakemake.log", "a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", *self.arguments(*more)],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


@pytest.fixture(scope="session")
def study(cluster, tmp_path_factory) -> Study:
    """The tiny demo after a run through Slurm, with what the rules of the full study ask for."""
    project = Study(tmp_path_factory.mktemp("slurm") / "study")
    asked = requests_of_the_full_study(project)
    with project.profile() as profile:  # for --set-resources would replace all of the profile's
        for rule, amounts in asked.items():
            resources = {key: amounts[key] for key in ("mem_mb", "runtime", "gpu")}
            profile["set-resources"].setdefault(rule, {}).update(resources)
        profile["set-threads"] = {rule: amounts["threads"] for rule, amounts in asked.items()}
    project.slurm()
    return project


def requests_of_the_full_study(project: Checkout) -> dict[str, dict[str, int | str]]:
    """What each rule asks for, as a dry run of the full study prints it.

    Returns:
        Rule -> the largest threads, mem_mb, runtime (minutes) and gpu of its jobs, slurm_partition
        and jobs, their number. Rules that run on the login node are left out.
    """
    # Without --cores a dry run knows of one, and prints no threads.
    printed = project.snakemake("--profile", "slurm", "-n", "--cores", "1000").stdout
    rules: dict[str, dict[str, int | str]] = {}
    for block in re.split(r"\n(?=\[)", printed):
        rule = re.search(r"^rule (\w+):", block, re.MULTILINE)
        if rule is None or rule[1] in ON_THE_LOGIN_NODE:
            continue
        asked = rules.setdefault(rule[1], {"jobs": 0})
        asked["jobs"] += 1
        found = dict(re.findall(r"\b(mem_mb|runtime|gpu|slurm_partition|nodes)=(\w+)", block))
        found["threads"] = (re.findall(r"threads: (\d+)", block) or ["1"])[0]
        found.setdefault("gpu", "0")
        for key, value in found.items():
            number = int(value) if value.isdigit() else value
            asked[key] = max(asked.get(key, number), number)
    return rules


def jobs_of(folder: Path) -> list[dict[str, str]]:
    """What Slurm's accounts say of the jobs submitted from a folder, in the order of their ids."""
    listed = subprocess.run(
        ["sacct", "-XnPD", f"--format={FIELDS},workdir"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = [line.split("|") for line in listed.splitlines()]
    names = [*FIELDS.split(","), "workdir"]
    jobs = [dict(zip(names, row, strict=True)) for row in rows]
    return [job for job in jobs if Path(job["workdir"]) == folder]


def rule_of(job: dict[str, str]) -> str:
    """The rule of a job: the plugin puts it into Slurm's comment."""
    return job["comment"].removeprefix("rule_").split("_wildcards_")[0]


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """Wait until `condition` is truthy and return it; fail after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            queue = shutil.which("squeue") and subprocess.getoutput("squeue")
            pytest.fail(f"{what}: not within {seconds} s\n{queue}")
        time.sleep(0.3)
