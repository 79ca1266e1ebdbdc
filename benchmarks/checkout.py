"""A copy of the checkout, and programs that are run in it and measured."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import ROOT

# What a program must not inherit: another Snakemake's settings, one thread for every library.
OWN = re.compile(r"SNAKEMAKE|PYTHONPATH$|\w+_NUM_THREADS$")

# Starts the program. A process of its own, because the kernel counts in a program's peak what
# the process had in memory that started it, and this one is small.
STARTER = """
import json, resource, subprocess, sys, time
begin = time.monotonic()
status = subprocess.call([sys.executable, *sys.argv[2:]])
seconds = time.monotonic() - begin
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
with open(sys.argv[1], "w") as file:
    json.dump([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024], file)
sys.exit(status if status >= 0 else 128 - status)
"""


@dataclass(frozen=True)
class Run:
    """What a program took, with all that it started and waited for.

    Attributes:
        output: what it wrote to standard output and error.
        seconds: of wall time.
        cpu: seconds of CPU time.
        peak: MiB, the largest resident set of any of its processes.
    """

    output: str
    seconds: float
    cpu: float
    peak: float


def copy(folder: Path) -> Path:
    """Copy the project's files, as they lie there, to `folder`; nothing has run in the copy."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
        elif source.is_symlink():  # to a folder
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.readlink(source))
    return folder


def run(folder: Path, arguments: Sequence[str]) -> Run:
    """Run this Python with `arguments` in `folder`.

    Raises:
        RuntimeError: it failed; the message has the end of what it wrote.
    """
    environment = {key: value for key, value in os.environ.items() if not OWN.match(key)}
    with tempfile.NamedTemporaryFile() as taken:
        done = subprocess.run(
            [sys.executable, "-c", STARTER, taken.name, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            command = " ".join(["python", *arguments])
            raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stdout[-4000:]}")
        return Run(done.stdout, *json.load(taken))


def snakemake(folder: Path, *arguments: str) -> Run:
    """Run Snakemake in `folder`; targets come before options."""
    return run(folder, ["-m", "snakemake", *arguments])
