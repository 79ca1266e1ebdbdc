"""Masking: librosa's STFT per variant against `hearing_asr.masking`."""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.common import (
    Row,
    Section,
    Stopwatch,
    best_in_turns,
    default_variants,
    milliseconds,
)
from benchmarks.speech import Recordings
from hearing_asr.audio import SAMPLE_RATE, decode_flac, encode_flac
from hearing_asr.audiograms import Audiogram
from hearing_asr.masking import HOP, N_FFT, variant_mask
from hearing_asr.shards import read_shard

PROMISED = 7
DTYPES = ("float64", "float32")  # what soundfile.read returns, and what librosa.load returns


def measure(recordings: Sequence[Recordings], rounds: int) -> Section:
    """CPU time of all default variants, per clip; loading and storing the clips is left out."""
    rows = []
    for clips in recordings:
        sides = {dtype: partial(script, clips.files, dtype) for dtype in DTYPES}
        best = milliseconds(best_in_turns({**sides, "here": partial(here, clips.shard)}, rounds))
        what = f"{clips.duration:.1f} s clips"
        rows += [Row(f"{what}, {d} script", best[d], best["here"], PROMISED) for d in DTYPES]
    title = f"Masking, {len(default_variants())} variants: ms per clip"
    return Section(title, "librosa", "here", rows)


def script(files: Path, dtype: str) -> float:
    """Transform, gain, inverse transform and peak normalisation, clip by clip and variant."""
    import librosa

    frequencies = librosa.fft_frequencies(sr=SAMPLE_RATE, n_fft=N_FFT)
    gains = [
        Audiogram.from_config(variant["audiogram"], name).gain(frequencies).astype(dtype)[:, None]
        for name, variant in default_variants().items()
    ]
    paths = sorted(files.iterdir())
    watch = Stopwatch()
    for gain in gains:
        for path in paths:
            samples, _ = soundfile.read(path, dtype=dtype)
            with watch:
                spectrum = librosa.stft(samples, n_fft=N_FFT, hop_length=HOP) * gain
                masked = librosa.istft(spectrum, hop_length=HOP, length=len(samples))
                masked = masked / np.abs(masked).max()
            soundfile.write(io.BytesIO(), masked, SAMPLE_RATE, format="FLAC")
    return watch.seconds / len(paths)


def here(shard: Path) -> float:
    """The same through the library, on rows of the corpus, one variant after the other."""
    masks = [variant_mask(variant, name) for name, variant in default_variants().items()]
    watch = Stopwatch()
    clips = 0
    for mask in masks:
        for row in read_shard(shard):
            samples = decode_flac(row["audio"]["bytes"], row["scale"])
            with watch:
                masked = mask(samples)
            encode_flac(masked)
            clips += 1
    return watch.seconds / clips * len(masks)
