"""The corpus card: which clips a study used, and what became of all the others."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.quarantine import read_quarantine

COLUMNS = ("client_id", "path", "sentence", "age", "gender", "accents", "locale", "duration")
DEMOGRAPHICS = ("age", "gender", "accents", "locale")
NOT_STATED = "not stated"
NOTHING = "none"
SELECTION, DECODING = "selection", "decoding"
BIN = 0.5  # s, of the histogram of durations
HOUR = 3600  # s


@dataclass(frozen=True)
class SplitFiles:
    """What is known of a split.

    Attributes:
        counts: JSON file of `selection.write_clip_table`.
        rejected: quarantine table of the clips that were rejected when they were decoded.
        shards: Arrow files of the corpus.
    """

    counts: Path
    rejected: Path
    shards: Sequence[Path]


def write_card(
    splits: Mapping[str, SplitFiles],
    overlap: str | Path,
    release: str | Path | None,
    corpus: Mapping[str, Any],
    *,
    card: str | Path,
    table: str | Path,
    excluded: str | Path,
    demographics: str | Path,
    clips: str | Path,
) -> None:
    """Write what the study used, for machines and for readers.

    Args:
        splits: files of each split.
        overlap: JSON file of `overlap.check_splits`.
        release: JSON file with what is known of where the corpus came from; None: nothing.
        corpus: section of the configuration.
        card: JSON file: all of the following, the configuration, histograms of durations.
        table: CSV file: a row per quantity, a column per split.
        excluded: CSV file: split, stage, reason, clips, share (of the split's rows, 0 to 1).
        demographics: CSV file: split, column, value, clips, hours, speakers.
        clips: TSV file: split, path of every clip, in the order of the dataset.

    Raises:
        InputError: what was left out and what was taken do not add up.
    """
    known: dict[str, Any] = {}
    people = []
    with atomic_path(clips) as temporary, open(temporary, "w", encoding="utf-8") as listed:
        listed.write("split\tpath\n")
        for split, files in splits.items():
            rows = _read(files.shards)
            listed.writelines(f"{split}\t{path}\n" for path in rows["path"])
            known[split] = _describe(split, files, rows)
            people.append(_demographics(split, rows))
    content = {
        "corpus": dict(corpus),
        "release": None if release is None else json.loads(Path(release).read_text()),
        "splits": known,
        "overlap": json.loads(Path(overlap).read_text()),
    }
    with atomic_path(card) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    _write_csv(_table(known), table)
    _write_csv(_left_out(known), excluded)
    _write_csv(pd.concat(people), demographics)


def _read(shards: Sequence[Path]) -> pd.DataFrame:
    """The light columns of a split. Of a mapped file, the audio is never touched."""
    return pd.concat([part for shard in shards for part in _parts(shard)], ignore_index=True)


def _parts(shard: Path) -> Iterator[pd.DataFrame]:
    with ExitStack() as stack:
        file = stack.enter_context(pa.memory_map(str(shard)))
        stream = stack.enter_context(pa.ipc.open_stream(file))
        empty = pa.table({name: [] for name in COLUMNS}, schema=_light(stream.schema))
        yield empty.to_pandas()
        for batch in stream:
            yield batch.select(list(COLUMNS)).to_pandas()


def _light(schema: pa.Schema) -> pa.Schema:
    return pa.schema([schema.field(name) for name in COLUMNS])


def _describe(split: str, files: SplitFiles, rows: pd.DataFrame) -> dict[str, Any]:
    known = json.loads(files.counts.read_text())
    rejected = Counter(reason for _, reason, _ in read_quarantine(files.rejected))
    selected = known["damaged"] + sum(known["excluded"].values()) + known["beyond"]
    for what, whole, parts in (
        ("rows of the table", known["rows"], selected + known["chosen"]),
        ("clips that were chosen", known["chosen"], len(rows) + sum(rejected.values())),
    ):
        if whole != parts:
            raise InputError(
                f"{split}: {whole} {what}, but {parts} are accounted for. The files of the corpus "
                "are from different runs: delete the run's folder clips and run again."
            )
    seconds = rows["duration"].to_numpy(dtype=float)
    edges = np.arange(0, np.ceil(seconds.max() / BIN) + 1) * BIN
    speakers = rows["client_id"][rows["client_id"] != ""].value_counts()
    return {
        **{key: known[key] for key in ("table", "rows", "damaged", "excluded", "beyond", "chosen")},
        "rejected": dict(rejected),
        "clips": len(rows),
        "hours": seconds.sum() / HOUR,
        "speakers": len(speakers),
        "clips_without_speaker": int((rows["client_id"] == "").sum()),
        "clips_per_speaker": sorted(speakers.tolist(), reverse=True),
        "sentences": int(rows["sentence"].nunique()),
        "seconds": {
            "mean": seconds.mean(),
            **{f"p{p}": float(np.percentile(seconds, p)) for p in (5, 50, 95)},
        },
        "durations": {
            "edges": edges.tolist(),
            "clips": np.histogram(seconds, edges)[0].tolist(),
        },
    }


def _demographics(split: str, rows: pd.DataFrame) -> pd.DataFrame:
    tables = []
    for column in DEMOGRAPHICS:
        values = rows[column].str.strip().replace("", NOT_STATED)
        speaker = rows["client_id"].where(rows["client_id"] != "")  # nobody is not a speaker
        groups = rows.assign(value=values, client_id=speaker).groupby("value", sort=True)
        counted = groups.agg(
            clips=("path", "size"), hours=("duration", "sum"), speakers=("client_id", "nunique")
        ).reset_index()
        counted["hours"] = counted["hours"].astype(float) / HOUR
        tables.append(counted.sort_values(["clips", "value"], ascending=[False, True]))
        tables[-1].insert(0, "column", column)
    table = pd.concat(tables)
    table.insert(0, "split", split)
    return table


def _table(splits: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """One row per quantity, one column per split."""
    quantities = {
        "table of the release": lambda split: split["table"],
        "rows in it": lambda split: split["rows"],
        "left out in selection": lambda split: split["damaged"] + sum(split["excluded"].values()),
        "beyond max_clips, max_hours or the clip list": lambda split: split["beyond"],
        "chosen": lambda split: split["chosen"],
        "rejected in decoding": lambda split: sum(split["rejected"].values()),
        "clips": lambda split: split["clips"],
        "hours": lambda split: f"{split['hours']:.3f}",
        "speakers": lambda split: split["speakers"],
        "clips without a speaker's id": lambda split: split["clips_without_speaker"],
        "distinct sentences": lambda split: split["sentences"],
        "mean duration (s)": lambda split: f"{split['seconds']['mean']:.2f}",
        "5th percentile of durations (s)": lambda split: f"{split['seconds']['p5']:.2f}",
        "median duration (s)": lambda split: f"{split['seconds']['p50']:.2f}",
        "95th percentile of durations (s)": lambda split: f"{split['seconds']['p95']:.2f}",
    }
    rows = [
        {"quantity": name} | {split: of(known) for split, known in splits.items()}
        for name, of in quantities.items()
    ]
    return pd.DataFrame(rows)


def _left_out(splits: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Clips by reason; a split that lost none has a row that says so."""
    rows = []
    for split, known in splits.items():
        selection = Counter(known["excluded"])
        if known["damaged"]:
            selection["damaged row"] += known["damaged"]
        for stage, reasons in ((SELECTION, selection), (DECODING, Counter(known["rejected"]))):
            for reason, count in reasons.most_common() or [(NOTHING, 0)]:
                rows.append((split, stage, reason, count, count / known["rows"]))
    return pd.DataFrame(rows, columns=["split", "stage", "reason", "clips", "share"])


def _write_csv(table: pd.DataFrame, path: str | Path) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
