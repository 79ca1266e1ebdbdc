import re
from pathlib import Path

import pytest
import yaml

ENVS = Path(__file__).parents[2] / "envs"


def pins(lines):
    return dict(line.split("==") for line in lines if "==" in line)


REQUIRED = pins((ENVS / "requirements.txt").read_text().splitlines())


def test_every_requirement_is_pinned():
    for name in ("requirements.txt", "requirements-test.txt"):
        lines = [line for line in (ENVS / name).read_text().splitlines() if line[:1] != "#"]
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line) for line in lines)


@pytest.mark.parametrize("stack", ["audio", "train", "plot"])
def test_conda_environments_have_the_same_pins(stack):
    environment = yaml.safe_load((ENVS / f"{stack}.yaml").read_text())
    (packages,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    stacked = pins(packages)
    assert len(stacked) == len(packages)
    assert stacked == {name: REQUIRED[name] for name in stacked}
