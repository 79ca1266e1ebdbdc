"""Report captions: each renders with the demo's configuration, without a fault in its markup."""

import copy
from types import SimpleNamespace

import pytest
import yaml
from docutils.core import publish_parts
from jinja2 import Environment, StrictUndefined

from tests.conftest import ROOT

CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())
CAPTIONS = sorted((ROOT / "workflow/report").glob("*.rst"))


def rendered(caption, config=CONFIG):
    """As Snakemake does it: Jinja, then docutils; faults of both are errors here."""
    job = SimpleNamespace(config=config, wildcards=SimpleNamespace(model="hfloss"))
    environment = Environment(trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    text = environment.from_string(caption.read_text()).render(snakemake=job)
    return publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["body"]


@pytest.mark.parametrize("caption", CAPTIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("smooth", [0.0, 0.6])
def test_caption_renders(caption, smooth):
    config = copy.deepcopy(CONFIG)
    config["plots"]["smooth"] = smooth
    body = rendered(caption, config)
    assert "{{" not in body
    assert "system-message" not in body
    # A learning rate is never smoothed, an overview contains one; what is smoothed says so.
    assert ("weight 0.6" in body) == (smooth > 0 and "plots" in caption.read_text())


def test_captions_of_one_variant_name_it():
    for stem in ("loss_curves", "learning_rate", "gradient_norm", "word_error_rate",
                 "training_overview", "training_summary", "training_metrics"):  # fmt: skip
        assert "hfloss" in rendered(ROOT / f"workflow/report/{stem}.rst")


def test_the_front_page_names_run_and_variants():
    body = rendered(ROOT / "workflow/report/workflow.rst")
    for name in (CONFIG["run"], *CONFIG["variants"]):
        assert name in body
