"""Which information a variant leaves: cells above Whisper's floor, levels over frequency, and SII.

All three are of what a model is given for one split: its log-Mel spectrograms and the audio that
they are made of. The Speech Intelligibility Index alone is of a human listener: `intelligibility`.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, load_from_disk

from hearing_asr.audio import SAMPLE_RATE, UndecodableError, damaged_clip, decode_flac
from hearing_asr.audiograms import Audiogram
from hearing_asr.errors import InputError
from hearing_asr.features import mel_corners
from hearing_asr.files import atomic_path
from hearing_asr.intelligibility import audiogram_index
from hearing_asr.joblog import progress
from hearing_asr.shards import check_complete, read_shard

LOGMEL = ("frames", "padding", "logmel")
AUDIO = ("audio", "path", "scale")

N_FFT = 512  # samples: 32 ms, bins 31.25 Hz apart
HOP = N_FFT // 2
WINDOW = np.hanning(N_FFT + 1)[:-1]  # periodic

# Nominal mid-band frequencies in Hz (IEC 61260-1:2014) of the bands -10 to 8. The next
# one, 8000 Hz, reaches up to 8913 Hz, above what 16 kHz can carry.
THIRD_OCTAVES = (
    *(100, 125, 160, 200, 250, 315, 400, 500, 630, 800),
    *(1000, 1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300),
)
FIRST_BAND = -10  # 1000 Hz is band 0
LOWEST_LEVEL = -120.0  # dB: what is below is put here, silence too, so that a level is a number


def write_information(
    audio: Mapping[str, str | Path],
    logmel: Mapping[str, str | Path],
    audiograms: Mapping[str, Mapping[Any, Any]],
    *,
    num_mel_bins: int,
    floor_csv: str | Path,
    spectrum_csv: str | Path,
    sii_csv: str | Path,
) -> None:
    """Write what is left of a split under every variant as three tables, a row per value.

    Args:
        audio: name -> folder of the split's audio; beside the variants it may hold the corpus
            itself, under a name of its own.
        logmel: variant -> folder of the split's log-Mel dataset.
        audiograms: variant -> audiogram, a mapping of Hz to dB HL.
        num_mel_bins: of the log-Mel datasets.
        floor_csv: variant, mel_bin (from 0), frequency_hz (its centre), share_at_floor (0 to 1).
        spectrum_csv: variant, frequency_hz (nominal), level_db: see `long_term_spectrum`.
        sii_csv: variant, sii (0 to 1): see `intelligibility.audiogram_index`.

    Raises:
        InputError: a wrong audiogram; as `floor_shares` and `long_term_spectrum`.
    """
    indices = [
        (name, audiogram_index(Audiogram.from_config(points, f"variants.{name}.audiogram")))
        for name, points in audiograms.items()
    ]
    _write(sii_csv, ("variant", "sii"), indices)
    centres = mel_centres(num_mel_bins)
    shares = [
        (name, mel_bin, centres[mel_bin], share)
        for name, folder in logmel.items()
        for mel_bin, share in enumerate(floor_shares(folder, num_mel_bins))
    ]
    _write(floor_csv, ("variant", "mel_bin", "frequency_hz", "share_at_floor"), shares)
    levels = [
        (name, frequency, level)
        for name, folder in audio.items()
        for frequency, level in zip(*long_term_spectrum(folder), strict=True)
    ]
    _write(spectrum_csv, ("variant", "frequency_hz", "level_db"), levels)


def mel_centres(num_mel_bins: int) -> np.ndarray:
    """Frequencies in Hz, (num_mel_bins,), at which Whisper's mel filters have their peaks."""
    return mel_corners(num_mel_bins)[1:-1]


def floor_shares(logmel_folder: str | Path, num_mel_bins: int) -> np.ndarray:
    """Share of a split's cells that say nothing because they lie at Whisper's floor, by mel bin.

    The floor lies 80 dB below the greatest cell of a clip; the clip's `padding` is its value. A
    cell counts when it equals the floor as stored: in float16 what is up to 0.04 dB above may be
    rounded onto it.

    Args:
        logmel_folder: dataset of one split.
        num_mel_bins: its mel bins.

    Returns:
        float64 (num_mel_bins,), 0 to 1: of the valid frames of all clips, weighted by duration.

    Raises:
        InputError: no log-Mel dataset of one split there, one without a clip, with another number
            of mel bins, or a damaged shard.
    """
    shards, clips = _shards(logmel_folder, LOGMEL, "log-Mel")
    at_floor, frames = np.zeros(num_mel_bins, np.int64), 0
    batches = chain.from_iterable(map(_batches, shards))
    for batch in progress(batches, f"floor in {logmel_folder} ({clips} clips)", unit="batches"):
        lengths = batch.column("frames").to_numpy()
        sizes = pc.list_value_length(batch.column("logmel")).to_numpy()
        if not np.array_equal(sizes, lengths * num_mel_bins):
            raise InputError(
                f"{logmel_folder}: clips with {sizes[0] / lengths[0]:g} mel bins, not "
                f"{num_mel_bins}. Set features.num_mel_bins to what the model takes and build the "
                "log-Mel dataset again."
            )
        cells = batch.column("logmel").flatten().to_numpy().reshape(-1, num_mel_bins)
        floors = np.repeat(batch.column("padding").to_numpy().astype(cells.dtype), lengths)
        at_floor += (cells == floors[:, None]).sum(axis=0)
        frames += len(cells)
    return at_floor / frames


def long_term_spectrum(
    audio_folder: str | Path, max_clips: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Long-term average spectrum of a split's speech in one-third-octave bands.

    Power is averaged over all windows (32 ms, every 16 ms) of all clips, so that a clip counts by
    its duration (Welch 1967, IEEE Trans. Audio Electroacoust. 15(2)); what remains of a clip behind
    its last whole window, under 16 ms, is left out. Bands are those of IEC 61260-1:2014 with its
    base-10 edges, 10^(±1/20) from mid-band, and have ideal slopes; power is taken to be spread
    evenly over a bin (31 Hz) where an edge divides it. The window blurs the spectrum by +-62 Hz:
    below some 400 Hz neighbouring bands share what they have.

    Args:
        audio_folder: dataset of one split: the corpus or masked audio.
        max_clips: only the first so many; None: all.

    Returns:
        Nominal mid-band frequencies in Hz, 100 to 6300, and the level in each band in dB re a mean
        square of 1 (a sine of full scale has -3.01 dB), at least -120: both float64 (19,).

    Raises:
        InputError: no audio dataset of one split there, none of its clips lasts 32 ms, or a damaged
            shard.
    """
    shards, clips = _shards(audio_folder, AUDIO, "audio")
    count = clips if max_clips is None else min(max_clips, clips)
    samples = islice(_samples(shards), count)
    power, windows = np.zeros(N_FFT // 2 + 1), 0
    for clip in progress(samples, f"spectrum of {audio_folder}", count):
        if len(clip) >= N_FFT:
            spectra = window_powers(clip)
            power += spectra.sum(axis=0)
            windows += len(spectra)
    if not windows:
        raise InputError(
            f"{audio_folder}: no clip lasts {N_FFT / SAMPLE_RATE:g} s. Take longer clips: raise "
            "corpus.min_duration."
        )
    lowest = 10.0 ** (LOWEST_LEVEL / 10.0)
    levels = 10.0 * np.log10(np.maximum(band_powers(power / windows), lowest))
    return np.array(THIRD_OCTAVES, dtype=np.float64), levels


def window_powers(samples: np.ndarray) -> np.ndarray:
    """Power in the bins of every whole window: float64 (windows, 257), 0 to 8000 Hz.

    One-sided, and scaled so that the sum over bins is the mean square of the samples in a window,
    each weighted by its square.

    Args:
        samples: (n,), at least 512.
    """
    windows = np.lib.stride_tricks.sliding_window_view(samples, N_FFT)[::HOP]
    spectra = np.fft.rfft(windows * WINDOW)
    power = spectra.real**2 + spectra.imag**2
    power[:, 1:-1] *= 2.0  # the negative frequencies
    return power / (N_FFT * np.sum(WINDOW**2))


def band_powers(power: np.ndarray) -> np.ndarray:
    """Add up the power (257,) of bins over one-third-octave bands: (19,)."""
    spacing = SAMPLE_RATE / N_FFT
    # A bin reaches half a spacing to either side; the first and the last have just one side.
    ends = np.clip((np.arange(len(power) + 1) - 0.5) * spacing, 0.0, SAMPLE_RATE / 2)
    below = np.concatenate([[0.0], np.cumsum(power)])
    bands = FIRST_BAND + np.arange(len(THIRD_OCTAVES) + 1)
    edges = 1000.0 * 10.0 ** ((bands - 0.5) / 10.0)
    return np.diff(np.interp(edges, ends, below))


def _shards(folder: str | Path, columns: Sequence[str], kind: str) -> tuple[list[str], int]:
    """The Arrow files of a split, and how many clips they hold."""
    try:
        split = load_from_disk(str(folder))
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{folder}: no {kind} dataset ({error}). Build it first.") from None
    if not isinstance(split, Dataset) or not set(columns) <= set(split.column_names):
        raise InputError(f"{folder}: not the {kind} dataset of one split. Name its folder.")
    if len(split) == 0:
        raise InputError(f"{folder}: the split has no clip. Raise its max_clips.")
    return [file["filename"] for file in split.cache_files], len(split)


def _batches(path: str) -> Iterator[pa.RecordBatch]:
    """The record batches of a shard. Read, not mapped: pages of a map add up to the whole file."""
    check_complete(path)
    with open(path, "rb") as file, pa.ipc.open_stream(file) as stream:
        yield from stream


def _samples(shards: Sequence[str]) -> Iterator[np.ndarray]:
    for shard in shards:
        for row in read_shard(shard):
            try:
                yield decode_flac(row["audio"]["bytes"], row["scale"])
            except UndecodableError as error:
                raise InputError(damaged_clip(shard, row["path"], error)) from None


def _write(path: str | Path, columns: Sequence[str], rows: Sequence[tuple]) -> None:
    with atomic_path(path) as temporary:
        pd.DataFrame(rows, columns=list(columns)).to_csv(
            temporary, index=False, float_format="%.6g"
        )
