"""The plan of a run as text: tables with units, within 100 columns."""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence

from hearing_asr import plan_costs as costs
from hearing_asr.plan import HUB_CACHE, Study, disk, hours, job_bytes, job_counts

UNKNOWN = "unknown"
INDENT = "  "
COLUMNS = 100
LONGEST = 55  # columns of a path
JOB_COLUMNS = 3


def plan_text(study: Study) -> str:
    """Clips, disk, time and jobs of a run, and what of it is assumed; lines of 100 columns at most.

    Args:
        study: as `plan.study` makes it.
    """
    config = study.config
    sections = [
        f"Run {config['run']}: {config['corpus']['source']} speech, {study.variants} variants, "
        f"model {config['model']['checkpoint']}",
        _speech(study),
        _disk(study),
        _time(study),
        _jobs(job_counts(study)),
        _remarks(study),
    ]
    return "\n\n".join(sections)


def byte_text(size: float | None) -> str:
    """A number of bytes for people, in powers of 1000; None: unknown."""
    if size is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def hour_text(amount: float | None) -> str:
    """A number of hours for people; None: unknown."""
    if amount is None:
        return UNKNOWN
    if amount == 0:
        return "-"
    if amount < 0.001:
        return "< 0.001"
    digits = 0 if amount >= 100 else 1 if amount >= 10 else 2 if amount >= 0.1 else 3
    return f"{amount:,.{digits}f}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"...{text[3 - LONGEST :]}"


def _table(title: str, rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """The first row is the head; the first and the last `left` columns are flush left."""
    rows = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    flush = {0, *range(len(widths) - left + 1, len(widths))}
    lines = [title]
    for row in rows:
        cells = [
            cell.ljust(width) if column in flush else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(INDENT + "  ".join(cells).rstrip())
    return "\n".join(lines)


def _total(values: Iterable[float | None]) -> float | None:
    values = list(values)
    return None if None in values else sum(values)


def _speech(study: Study) -> str:
    rows = [("split", "clips", "hours", "shards", "counted from")]
    splits = study.config["corpus"]["splits"]
    for name, speech in study.splits.items():
        shards = str(splits[name]["shards"])
        source = _short(speech.source)
        rows.append((name, f"{speech.clips:,}", hour_text(speech.hours), shards, source))
    in_all = str(sum(split["shards"] for split in splits.values()))
    rows.append(("in all", f"{study.clips:,}", hour_text(study.seconds / 3600), in_all, ""))
    return _table("Speech", rows, left=2) + "\n" + _paragraphs(_limits(study.config))


def _limits(config: Mapping) -> list[str]:
    corpus, training = config["corpus"], config["training"]
    limits = {
        f"corpus.splits.{name}.{key}": split[key]
        for name, split in corpus["splits"].items()
        for key in ("max_clips", "max_hours")
    }
    limits |= {f"corpus.{key}": corpus[key] for key in ("min_duration", "max_duration")}
    limits |= {"corpus.clip_list": corpus["clip_list"]}
    limits |= {f"corpus.filters.{key}": value for key, value in corpus["filters"].items()}
    for key in ("max_steps", "evaluation_clips", "save_total_limit"):
        limits[f"training.{key}"] = training[key]
    given = [f"{key} {json.dumps(value)}" for key, value in limits.items() if value is not None]
    return [f"Limits of the configuration: {', '.join(given)}."]


def _paragraphs(texts: Iterable[str]) -> str:
    fill = textwrap.TextWrapper(COLUMNS, initial_indent=INDENT, subsequent_indent=2 * INDENT)
    return "\n".join(fill.fill(text) for text in texts)


def _disk(study: Study) -> str:
    places = {
        "data_dir": study.config["data_dir"],
        "results_dir": study.config["results_dir"],
        HUB_CACHE: "the cache of huggingface_hub",
    }
    stages = disk(study)
    rows = [("stage", "size", "folder")]
    for stage in stages:
        rows.append((stage.stage, byte_text(stage.size), _short(places[stage.folder])))
        if stage.stage == "masked audio":
            each = byte_text(stage.size / study.variants)
            rows.append(("  of which each variant", each, ""))
    for folder, place in places.items():
        sizes = [stage.size for stage in stages if stage.folder == folder]
        if sizes:
            rows.append(("in all", byte_text(_total(sizes)), _short(place)))
    return _table("Disk", rows, left=2)


def _time(study: Study) -> str:
    stages = hours(study)
    rows = [("stage", "CPU hours", "GPU hours")]
    rows += [(stage.stage, hour_text(stage.cpu), hour_text(stage.gpu)) for stage in stages]
    cpu, gpu = (_total(getattr(stage, name) for stage in stages) for name in ("cpu", "gpu"))
    rows.append(("in all", hour_text(cpu), hour_text(gpu)))
    return _table("Time", rows)


def _jobs(counts: Mapping[str, int]) -> str:
    cells = [f"{rule:24} {count:>6,}" for rule, count in counts.items()]
    height = -(-len(cells) // JOB_COLUMNS)
    lines = [INDENT + "  ".join(cells[row::height]).rstrip() for row in range(height)]
    return "\n".join([f"Jobs of the target all: {sum(counts.values()):,}", *lines])


def _remarks(study: Study) -> str:
    remarks = [
        f"Measured on the demo: audio {costs.FLAC_RATE / 1000:g} kB per second of speech (about 23 "
        "where nothing is left above 4 kHz); CPU hours of corpus, masking, features (two cores of "
        "a 2020s server, benchmarks/README.md).",
        "Exact: log-Mel frames, parameters. A fine-tuned model with its checkpoints takes "
        f"{byte_text(job_bytes(study, 'finetune').size)}.",
        *_assumptions(study),
        "Not counted: plots, logs, tables, and clips that filters leave out or jobs reject.",
    ]
    return "Where the figures are from\n" + _paragraphs(remarks)


def _assumptions(study: Study) -> list[str]:
    gpus = bool(study.config["training"]["num_gpus"])
    rate, per_token = costs.DEVICE[gpus]
    common = f"{per_token * 1e3:g} ms per token of a batch, {costs.TOKENS} tokens per clip"
    if gpus:
        lines = [
            f"ASSUMED, nothing was measured on GPUs: {rate / 1e12:g} TFLOP/s sustained per GPU, "
            f"{common}. CPU hours of training and evaluation: cores kept while GPUs work."
        ]
    else:
        lines = [
            f"Assumed: {rate / 1e9:g} GFLOP/s per core in training (the demo's rate), {common}."
        ]
    if study.model is None:
        lines.append("Unknown: the size of this model of the hub, and all that follows from it.")
    if study.kind == "mdc":
        size = byte_text(costs.ARCHIVE)
        lines.append(f"Assumed: an archive of {size}, that of Common Voice 26.0 English.")
    return lines
