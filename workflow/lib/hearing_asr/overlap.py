"""What splits have in common: no clip may, and no speaker or sentence that nobody knows of."""

import itertools
import json
import logging
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path

log = logging.getLogger("hearing_asr")

BATCH = 10_000  # rows of the larger table that are held at a time
CLIPS, SPEAKERS, SENTENCES, SIMILAR = "clips", "speakers", "sentences", "similar sentences"
COLUMNS = {CLIPS: "path", SPEAKERS: "client_id", SENTENCES: "sentence"}
SHOWN = 12  # characters of a speaker's id that a message shows


def check_splits(
    clip_tables: Mapping[str, str | Path], output: str | Path, allowed: Sequence[str] = ()
) -> None:
    """Compare every two splits, and record what they have in common.

    Speakers are compared by their ids, sentences as they stand (without spaces around them).
    Sentences that differ in case, punctuation or spaces alone are counted as similar; that is no
    error. What is empty is not compared.

    Args:
        clip_tables: of each split.
        output: JSON file: for each pair (`train/dev`) the number of common clips, speakers,
            sentences and similar sentences.
        allowed: what splits may have in common: speakers, sentences.

    Raises:
        InputError: two splits have a clip in common, or what is not allowed.
    """
    counts, mistakes = {}, []
    for (first, table), (second, other) in itertools.combinations(clip_tables.items(), 2):
        common = _common(table, other)
        counts[f"{first}/{second}"] = {kind: len(values) for kind, values in common.items()}
        for kind in COLUMNS:
            if common[kind] and (kind == CLIPS or kind not in allowed):
                mistakes.append(_mistake(first, second, kind, common[kind]))
    for pair, kinds in counts.items():
        log.info("%s: %s", pair, ", ".join(f"{count} {kind}" for kind, count in kinds.items()))
    if mistakes:
        raise InputError("\n".join(["splits that should be apart are not:", *mistakes]))
    with atomic_path(output) as temporary:
        temporary.write_text(json.dumps(counts, indent=2) + "\n")


def _common(table: str | Path, other: str | Path) -> dict[str, set[str]]:
    """What two tables have in common; of the larger one just a batch is held at a time."""
    small, large = sorted((table, other), key=lambda path: pq.read_metadata(path).num_rows)
    known: dict[str, set[str]] = {kind: set() for kind in (*COLUMNS, SIMILAR)}
    for kind, values in _values(small):
        known[kind].update(values)
    common: dict[str, set[str]] = {kind: set() for kind in known}
    for kind, values in _values(large):
        common[kind].update(known[kind].intersection(values))
    return common


def _values(table: str | Path) -> Iterator[tuple[str, set[str]]]:
    columns = list(COLUMNS.values())
    for batch in pq.ParquetFile(table).iter_batches(BATCH, columns=columns):
        for kind, column in COLUMNS.items():
            values = {value.strip() for value in batch[column].to_pylist()} - {""}
            yield kind, values
            if kind == SENTENCES:
                yield SIMILAR, set(map(bare, values)) - {""}


def bare(sentence: str) -> str:
    """A sentence without case, punctuation and the number of its spaces."""
    folded = unicodedata.normalize("NFKC", sentence).casefold()
    return " ".join(re.sub(r"[^\w\s]|_", " ", folded).split())


def _mistake(first: str, second: str, kind: str, values: set[str]) -> str:
    some = sorted(values)[:3]
    if kind == SPEAKERS:
        some = [f"{value[:SHOWN]}..." if len(value) > SHOWN else value for value in some]
    shown = ", ".join(repr(value) for value in some) + (", ..." if len(values) > 3 else "")
    if kind == CLIPS:
        remedy = "Take a clip out of one of the tables; a clip is in one split only"
    elif "train" in (first, second):
        remedy = (
            "Set corpus.train_from to validated, which leaves them out of train, or allow it: "
            f"corpus.allow_overlap: [{kind}]"
        )
    else:
        remedy = f"If the study can bear it, allow it: corpus.allow_overlap: [{kind}]"
    return f"- {first} and {second} have {len(values)} {kind} in common ({shown}). {remedy}."
