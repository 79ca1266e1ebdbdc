"""The report's page: everything gathered, and put into the template."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from docutils.core import publish_parts
from markupsafe import Markup

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.joblog import log
from hearing_asr.names import ZERO_SHOT
from hearing_asr.report import methods, numbers, rows, story
from hearing_asr.report.examples import LONGEST, choose, data_uri, examples
from hearing_asr.transcripts import read_provenance

NAMES = "model variant group grouping reference hypothesis class phoneme kind name".split()
KINDS = {".png": "image/png", ".jpg": "image/jpeg", ".svg": "image/svg+xml"}
DOCUTILS = {"file_insertion_enabled": False, "raw_enabled": False, "report_level": 5}


@dataclass(frozen=True)
class Sources:
    """The files that a report is made of.

    Attributes:
        template: Jinja2 template of the page.
        captions: name -> reStructuredText file with a caption.
        tables: name -> CSV file of the results, of the corpus and of what jobs used.
        figures: name -> image.
        card: JSON file of the corpus card.
        predictions: (model, variant) -> prediction file.
        audio: variant -> Arrow files of the test split's audio, that of the corpus as `unmasked`.
    """

    template: str | Path
    captions: Mapping[str, str | Path]
    tables: Mapping[str, str | Path]
    figures: Mapping[str, str | Path]
    card: str | Path
    predictions: Mapping[tuple[str, str], str | Path]
    audio: Mapping[str, Sequence[str | Path]]


def write_report(
    sources: Sources,
    config: Mapping[str, Any],
    reference: str,
    page: str | Path,
    markdown: str | Path,
    latex: str | Path,
) -> None:
    """Write the report and the main table for papers.

    Args:
        sources: what it is made of.
        config: the configuration that ran.
        reference: the variant that losses are measured against.
        page: HTML file; holds everything, asks nothing of the network, runs no script.
        markdown, latex: files of the main table.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    tables = {name: _read(path) for name, path in sources.tables.items()}
    context = {
        **_facts(sources, tables, config, reference),
        **_files(sources, tables, config),
        "examples": _examples(sources, config["evaluation"]),
        "number": numbers,
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.from_string(Path(sources.template).read_text(encoding="utf-8"))
    with atomic_path(page) as temporary:
        temporary.write_text(text.render(context), encoding="utf-8")
    for path, table in (
        (markdown, numbers.markdown(tables["intervals"])),
        (latex, numbers.latex(tables["intervals"])),
    ):
        with atomic_path(path) as temporary:
            temporary.write_text(table, encoding="utf-8")
    log.info("%s: %.1f MB", page, Path(page).stat().st_size / 1e6)


def _read(path: str | Path) -> pd.DataFrame:
    try:
        # Names such as `null` or `007` are names; only empty numbers are missing.
        texts = dict.fromkeys(NAMES, str)
        table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable table ({error}). Delete it.") from error
    known = table.columns.intersection(NAMES)
    return table.fillna(dict.fromkeys(known, ""))


def _facts(
    sources: Sources, tables: Mapping[str, pd.DataFrame], config: Mapping[str, Any], reference: str
) -> dict[str, Any]:
    intervals, effects = tables["intervals"], tables["effects"]
    base = config["model"]["checkpoint"]
    base = "the tiny Whisper made here" if base == "scratch" else Path(base).name
    provenances = [read_provenance(file) for file in sources.predictions.values()]
    provenance = provenances[0]
    variants = list(dict.fromkeys(intervals["variant"]))
    classes = tables.get("phoneme_classes")
    resampled = intervals["resampled"].iloc[0]
    card = json.loads(Path(sources.card).read_text(encoding="utf-8"))
    confidence = tables["confidence"].merge(
        tables["failures"].drop_duplicates(["model", "variant"])[
            ["model", "variant", "mean_logprob", "entropy"]
        ],
        on=["model", "variant"],
    )
    return {
        "run": config["run"],
        "variants": variants,
        "reference": reference,
        "zero_shot": ZERO_SHOT,
        "summary": story.summary(intervals, effects, base),
        "doubts": story.doubts(
            intervals,
            tables["comparisons"],
            tables["scores"],
            [told["precision"] for told in provenances],
            config["evaluation"]["replicates"],
        ),
        "lost_first": [] if classes is None else story.lost_first(tables["phoneme_losses"]),
        "coverage": None if classes is None else float(classes["coverage"].min()),
        "matrix": rows.matrix(intervals, tables["comparisons"]),
        "effects": effects.to_dict("records"),
        "comparisons": tables["comparisons"].to_dict("records"),
        "failures": tables["failures"].to_dict("records"),
        "confidence": confidence.to_dict("records"),
        "rates": intervals.to_dict("records"),
        "words": rows.words(tables["words"]),
        "sii": tables["sii"].to_dict("records"),
        "left": rows.floor_shares(tables["floor"]),
        "usage": rows.usage(tables["usage"]),
        "corpus": rows.plain(tables["corpus"]),
        "excluded": rows.plain(tables["excluded"]),
        "overlap": card["overlap"],
        "methods": methods.methods(config, provenance, resampled, card["release"]),
        "resampled": resampled,
        "seeds": config["training"]["seeds"],
        "formats": config["plots"]["formats"],
        "longest": LONGEST,
        "least": config["evaluation"],
        "versions": methods.versions() | provenance["versions"],
        "config": methods.as_json(config),
    }


def _files(
    sources: Sources, tables: Mapping[str, pd.DataFrame], config: Mapping[str, Any]
) -> dict[str, Any]:
    """What the page holds as files: figures, captions, tables to download."""
    papers = {
        "main_table.md": numbers.markdown(tables["intervals"]),
        "main_table.tex": numbers.latex(tables["intervals"]),
    }
    downloads = {f"{name}.csv": Path(path).read_bytes() for name, path in sources.tables.items()}
    downloads |= {name: text.encode() for name, text in papers.items()}
    return {
        "captions": {
            name: caption(Path(path).read_text(encoding="utf-8"), config)
            for name, path in sources.captions.items()
        },
        "figures": {
            name: data_uri(KINDS[Path(path).suffix], Path(path).read_bytes())
            for name, path in sources.figures.items()
        },
        "downloads": {
            name: (data_uri("text/plain;charset=utf-8", content), len(content))
            for name, content in downloads.items()
        },
    }


def _examples(sources: Sources, evaluation: Mapping[str, Any]) -> list:
    if not evaluation["examples"]:
        return []
    first = next(iter(sources.predictions.values()))
    paths = choose(first, evaluation["examples"], evaluation["seed"])
    matched = {
        (model, variant): file
        for (model, variant), file in sources.predictions.items()
        if model in (ZERO_SHOT, variant)
    }
    return examples(paths, matched, sources.audio) if paths and matched else []


def caption(text: str, config: Mapping[str, Any]) -> Markup:
    """A caption as Snakemake's report has it: Jinja2 with the configuration, reStructuredText."""
    known = {"snakemake": {"config": config, "wildcards": {"model": "each model"}}}
    filled = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(text).render(known)
    parts = publish_parts(filled, writer="html5", settings_overrides=DOCUTILS)
    return Markup(parts["body"])
