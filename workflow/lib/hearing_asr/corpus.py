"""The corpus: every clip decoded once, checked, and stored as 16 kHz FLAC in shards."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Audio, Features, Value

from hearing_asr.audio import SAMPLE_RATE, UndecodableError, decode, encode_flac
from hearing_asr.clip_table import clip_columns, shard_clips
from hearing_asr.errors import InputError
from hearing_asr.joblog import progress
from hearing_asr.quarantine import read_quarantine, write_quarantine
from hearing_asr.shards import clip_paths, count_rows, gather_split, write_shard

log = logging.getLogger("hearing_asr")

SILENCE = 2.0**-15  # full scale 1: one step of 16 bit; what never exceeds it holds no speech
MISSING = "missing"
LONGER_THAN_WINDOW = "longer than window"
LABEL_TOO_LONG = "label too long"


@dataclass(frozen=True)
class Limits:
    """What a clip must satisfy: durations in seconds, both ends included."""

    min_duration: float
    max_duration: float


@dataclass(frozen=True)
class StoredClip:
    """A clip as the corpus stores it.

    Attributes:
        flac: 16 kHz, mono; its samples times `scale` are those of the clip.
        scale: see `audio.encode_flac`.
        duration: s.
    """

    flac: bytes
    scale: float
    duration: float


class RejectedClip(Exception):
    """A clip that goes into the quarantine table: `reason` (a fixed word) and `detail`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


def ingest_shard(
    clip_table: str | Path,
    clips: str | Path,
    shard: int,
    limits: Limits,
    output: str | Path,
    rejected: str | Path,
) -> None:
    """Decode the clips of one shard into `output`; list those that fail in `rejected`.

    Args:
        clip_table: Parquet file of `release.write_clip_table`.
        clips: folder with the release's audio files.
        shard: number of the shard.
        limits: durations to accept.
        output: Arrow file: audio, scale, the columns of the release, duration.
        rejected: TSV file: path, reason, detail.

    Raises:
        InputError: the folder of clips is missing or cannot be read.
    """
    clips = Path(clips)
    if not clips.is_dir():
        raise InputError(f"{clips}: no such folder; expected the clips of the release there")
    rows = shard_clips(clip_table, shard)
    stored = (
        (row, _read_and_store(clips, row["path"], limits))
        for row in progress(rows, str(output), total=len(rows))
    )
    write_corpus_shard(output, rejected, clip_columns(clip_table), stored)


def write_corpus_shard(
    output: str | Path,
    rejected: str | Path,
    columns: Sequence[str],
    clips: Iterable[tuple[Mapping[str, str], StoredClip | RejectedClip]],
) -> None:
    """Write one shard of the corpus, and the quarantine table beside it.

    Args:
        output: Arrow file: audio, scale, the columns of the release, duration.
        rejected: TSV file: path, reason, detail.
        columns: of the release.
        clips: rows of the clip table, each with what has become of its audio.
    """
    rejections: list[tuple[str, str, str]] = []

    def accepted() -> Iterator[dict]:
        for row, clip in clips:
            if isinstance(clip, RejectedClip):
                rejections.append((row["path"], clip.reason, clip.detail))
                continue
            yield {
                **row,
                "audio": {"bytes": clip.flac, "path": row["path"]},
                "scale": clip.scale,
                "duration": clip.duration,
            }

    write_shard(output, corpus_features(columns), accepted())
    write_quarantine(rejected, rejections)


def _read_and_store(clips: Path, path: str, limits: Limits) -> StoredClip | RejectedClip:
    if Path(path).name != path:
        return RejectedClip("unsafe path", "a clip's path is a file name without folders")
    try:
        return store_clip((clips / path).read_bytes(), limits)
    except FileNotFoundError:
        return RejectedClip(MISSING)
    except RejectedClip as rejection:
        return rejection
    except OSError as error:
        raise InputError(f"{clips / path}: cannot be read ({error.strerror})") from error


def store_clip(data: bytes, limits: Limits) -> StoredClip:
    """Decode a clip once and for all: from the bytes of its file to 16 kHz FLAC.

    Raises:
        RejectedClip: the clip is not usable.
    """
    if not data:
        raise RejectedClip("empty file")
    try:
        samples = decode(data)
    except UndecodableError as error:
        reason = "truncated" if str(error).startswith("truncated") else "undecodable"
        raise RejectedClip(reason, str(error)) from None
    _check_samples(samples, limits)
    flac, scale = encode_flac(samples)
    return StoredClip(flac, scale, len(samples) / SAMPLE_RATE)


def _check_samples(samples: np.ndarray, limits: Limits) -> None:
    duration = len(samples) / SAMPLE_RATE
    if duration < limits.min_duration:
        raise RejectedClip("too short", f"{duration:.3f} s, at least {limits.min_duration:g} s")
    if duration > limits.max_duration:
        raise RejectedClip("too long", f"{duration:.3f} s, at most {limits.max_duration:g} s")
    if not np.isfinite(samples).all():
        raise RejectedClip("not finite", "NaN or infinite samples")
    peak = np.abs(samples).max()
    if peak <= SILENCE:
        raise RejectedClip("silent", f"peak {peak:.1e} of full scale")


def corpus_features(columns: Iterable[str]) -> Features:
    """Columns of the corpus and of masked audio, for a release with these columns."""
    return Features(
        {
            "audio": Audio(sampling_rate=SAMPLE_RATE),
            "scale": Value("float32"),
            **{name: Value("string") for name in columns},
            "duration": Value("float32"),
        }
    )


def gather_checked(
    folder: str | Path,
    shards: Sequence[str | Path],
    *,
    rejected: Sequence[str | Path] = (),
    max_rejected: float = 0.0,
    corpus: Sequence[str | Path] = (),
) -> None:
    """Make a dataset of one split's shards, once they hold what they should.

    Args:
        folder: of the split.
        shards: its Arrow files.
        rejected: quarantine tables of its shards; joined into `rejected.tsv` in `folder`.
        max_rejected: largest share of the split's clips that may be rejected, 0 to 1.
        corpus: Arrow files of the corpus that `shards` must pair with, clip by clip.

    Raises:
        InputError: more clips were rejected than that (the message counts the reasons), none is
            left, or the clips are not those of the corpus.
    """
    for shard, original in zip(shards, corpus, strict=bool(corpus)):
        if clip_paths(shard) != clip_paths(original):
            raise InputError(
                f"{shard}: its clips are not those of {original}. Variants must stay paired: "
                "delete it and run the workflow again."
            )
    if rejected:
        kept = sum(count_rows(shard) for shard in shards)
        _gather_rejected(rejected, Path(folder) / "rejected.tsv", kept, max_rejected)
    log.info("%s: %d clips", folder, gather_split(folder, shards))


def _gather_rejected(
    tables: Sequence[str | Path], output: Path, kept: int, max_rejected: float
) -> None:
    rows = [row for table in tables for row in read_quarantine(table)]
    write_quarantine(output, rows)
    reasons = Counter(row[1] for row in rows)
    counts = ", ".join(f"{reason}: {count}" for reason, count in reasons.most_common())
    total = kept + len(rows)
    log.info("%s: %d of %d clips rejected%s", output, len(rows), total, counts and f" ({counts})")
    if len(rows) > max_rejected * total:
        raise InputError(
            f"{output.parent}: {len(rows)} of {total} clips rejected ({counts}), more than "
            f"corpus.max_rejected = {max_rejected:g} allows. The clips are listed in "
            f"{', '.join(str(table) for table in tables[:3])}{' ...' if len(tables) > 3 else ''}. "
            f"{_remedy(reasons)}, or raise corpus.max_rejected if the loss is acceptable."
        )


def _remedy(reasons: Mapping[str, int]) -> str:
    if set(reasons) <= {LONGER_THAN_WINDOW, LABEL_TOO_LONG}:
        return (
            "The model cannot take these clips whole: choose another model.checkpoint (or a "
            "longer model.scratch.window), or lower corpus.max_duration"
        )
    return "Mend the corpus and run again with --forcerun corpus_shard"
