"""What is known of each test clip beside its words: who speaks, how long, how loud, how fast."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from hearing_asr.audio import UndecodableError, damaged_clip, decode_flac
from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.joblog import progress
from hearing_asr.shards import read_shard

DEMOGRAPHICS = {"gender": "gender", "age": "age", "accent": "accents"}  # ours: the release's column
SILENT = -120.0  # dB re full scale, in place of the logarithm of 0
FACTS = ("path", "duration", "level", "words_per_second", *DEMOGRAPHICS)


def write_clip_facts(shards: Sequence[str | Path], output: str | Path) -> None:
    """Write a row per clip of a split as Parquet.

    Columns: path; duration (s); level, RMS of the whole clip before any hearing loss, in dB re
    full scale (the RMS of a square wave at full scale is 0 dB), at least SILENT;
    words_per_second, words of the sentence over the duration, pauses included; gender, age and
    accent as the corpus says, "" where it does not.

    Args:
        shards: Arrow files of the corpus.
        output: Parquet file.

    Raises:
        InputError: a shard is damaged, or there is no clip.
    """
    rows = list(progress(_facts(shards), "clips described"))
    if not rows:
        raise InputError(f"{', '.join(map(str, shards))}: no clips. Raise max_clips of the split.")
    with atomic_path(output) as temporary:
        pd.DataFrame(rows, columns=list(FACTS)).to_parquet(temporary, index=False)


def _facts(shards: Sequence[str | Path]) -> Iterator[tuple]:
    for shard in shards:
        for row in read_shard(shard):
            try:
                samples = decode_flac(row["audio"]["bytes"], row["scale"])
            except UndecodableError as error:
                raise InputError(damaged_clip(shard, row["path"], error)) from None
            words = len(row["sentence"].split())
            stated = [(row.get(column) or "").strip() for column in DEMOGRAPHICS.values()]
            seconds = float(row["duration"])
            yield row["path"], seconds, level(samples), words / seconds, *stated


def level(samples: np.ndarray) -> float:
    """RMS of samples (n,) in dB re full scale, at least SILENT."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return 10.0 * float(np.log10(max(power, 10.0 ** (SILENT / 10.0))))
