"""Real Snakemake runs in a copy of the project, so that tests may edit what they like."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT


class Checkout:
    """A copy of the project's files in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        for name in listed:
            source = ROOT / name
            if source.is_file() or source.is_symlink():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, folder / name, follow_symlinks=False)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run Snakemake there; `check` fails the test with what it printed."""
        return self.run("-m", "snakemake", *arguments, check=check)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run this Python there."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SNAKEMAKE")}
        environment.pop("PYTHONPATH", None)
        result = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if check and result.returncode:
            pytest.fail(f"python {' '.join(arguments)}\n{result.stdout}\n{result.stderr}"[-8000:])
        return result

    def planned(self, *arguments: str) -> Counter:
        """How many jobs of each rule a dry run plans; targets come before options."""
        result = self.snakemake(*arguments, "-n", "--quiet", "rules")
        output = result.stdout + result.stderr
        table = output.rsplit("Job stats:", 1)[1] if "Job stats:" in output else ""
        rows = re.findall(r"^(\w+) +(\d+)$", table.split("Reasons:")[0], re.MULTILINE)
        return Counter({rule: int(count) for rule, count in rows if rule != "total"})


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Checkout:
    """The project with nothing run in it."""
    return Checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Checkout:
    """The project after its demo has run, as a newcomer runs it."""
    project = Checkout(tmp_path_factory.mktemp("demo"))
    project.snakemake("--profile", "profiles/local")
    return project
