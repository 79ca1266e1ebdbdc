"""One test clip under every variant: waveform, spectrogram, and what Whisper is given of it."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Audio, Dataset, load_from_disk
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy.signal import stft

from hearing_asr.audio import SAMPLE_RATE, decode_flac
from hearing_asr.errors import InputError
from hearing_asr.features import HOP, N_FFT, log_mel
from hearing_asr.files import atomic_path
from hearing_asr.models import FRAMES_PER_SECOND
from hearing_asr.plots.style import COLORS, Files, figure, literal

FLOOR_TOLERANCE = 1e-6  # in Whisper's normalised units; float32 resolves 1e-7 there
SPECTROGRAM_RANGE = 90.0  # dB shown below the loudest bin
ENVELOPE_POINTS = 1500  # more than a panel has pixels
FLOOR_COLOR = "#D9D9D9"  # not a colour of the map: these cells carry no information
KNOWN_CLIPS = 5  # clip ids named when one is not found


@dataclass(frozen=True)
class ClipView:
    """A clip under one variant.

    Attributes:
        samples: float32 (n,), 16 kHz.
        mel: float32 (frames, num_mel_bins), log-Mel in Whisper's normalised units.
        floor: the value at which Whisper cuts off, and fills what lies behind the clip.
    """

    samples: np.ndarray
    mel: np.ndarray
    floor: float

    @property
    def floor_share(self) -> float:
        """Share (0 to 1) of mel cells at Whisper's floor."""
        return float(self.at_floor.mean())

    @property
    def at_floor(self) -> np.ndarray:
        """Bool (frames, num_mel_bins)."""
        return self.mel <= self.floor + FLOOR_TOLERANCE

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


def plot_clip(
    audio: Mapping[str, str | Path],
    *,
    clip: str | None,
    num_mel_bins: int,
    window_frames: int,
    path: Files,
    csv: str | Path,
    dpi: float = 300,
    figsize: Sequence[float] = (12, 8),
) -> None:
    """Draw a clip under every variant: a column each, from left to right as in `audio`.

    Args:
        audio: variant -> folder of one split of its audio dataset.
        clip: clip id (column `path`); None chooses one of median length.
        num_mel_bins: mel bins of the model.
        window_frames: frames of the model's window, 100 per second.
        path: file or files of the figure; the suffix chooses the format.
        csv: per variant: frames, cells, cells_at_floor, floor_share, peak_dbfs, rms_dbfs.
        dpi: pixels per inch.
        figsize: width and height in inches.

    Raises:
        InputError: the clip is not in a dataset, or none fits the model's window.
    """
    splits = {name: _open(folder) for name, folder in audio.items()}
    first = next(iter(splits))
    if clip is None:
        clip = typical_clip(splits[first], audio[first], window_frames / FRAMES_PER_SECOND)
    rows = {name: _find(split, clip, audio[name]) for name, split in splits.items()}
    views = {name: _view(row, num_mel_bins, window_frames) for name, row in rows.items()}
    with atomic_path(csv) as temporary:
        clip_table(views).to_csv(temporary, index=False)
    with figure(path, dpi=dpi, figsize=figsize) as fig:
        sentence = textwrap.shorten(rows[first]["sentence"], 100, placeholder=" …")
        literal(fig.suptitle(f"{clip}: {sentence}"))
        draw_clip(fig, views)


def _open(folder: str | Path) -> Dataset:
    if not Path(folder, "state.json").exists():
        raise InputError(f"{folder}: no audio dataset there. Build it with the stage `masking`.")
    return load_from_disk(str(folder)).cast_column("audio", Audio(decode=False))


def typical_clip(split: Dataset, folder: str | Path, window: float) -> str:
    """The id of the clip whose duration is nearest to the median; of several the first by id.

    Args:
        split: one split of an audio dataset.
        folder: where it lies, for the message.
        window: longest duration in s that the model takes.

    Raises:
        InputError: no clip is short enough.
    """
    clips = split.select_columns(["path", "duration"]).to_pandas()
    clips = clips[clips["duration"] <= window]
    if clips.empty:
        raise InputError(f"{folder}: no clip fits the model's window of {window:g} s.")
    # Rounded, because durations are float32: equally far should be equal.
    distance = (clips["duration"] - clips["duration"].median()).abs().round(4)
    return str(clips.assign(distance=distance).sort_values(["distance", "path"])["path"].iloc[0])


def _find(split: Dataset, clip: str, folder: str | Path) -> dict[str, Any]:
    paths = split.with_format("numpy", columns=["path"])["path"][:]
    found = np.flatnonzero(paths == clip)
    if not len(found):
        some = ", ".join(sorted(paths)[:KNOWN_CLIPS])
        raise InputError(
            f"plots.clip: {clip!r} is not among the {len(paths)} clips of {folder}; "
            f"choose one of them, as {some}, or null"
        )
    return split[int(found[0])]


def _view(row: Mapping[str, Any], num_mel_bins: int, window_frames: int) -> ClipView:
    samples = decode_flac(row["audio"]["bytes"], row["scale"])
    window = window_frames * HOP
    if len(samples) > window:
        raise InputError(
            f"plots.clip: {row['path']!r} lasts {len(samples) / SAMPLE_RATE:.2f} s, longer than "
            f"the model's window of {window / SAMPLE_RATE:g} s; choose a shorter one, or null"
        )
    mel, floor = log_mel(samples, num_mel_bins, window_frames)
    return ClipView(samples, mel, float(floor))


def clip_table(views: Mapping[str, ClipView]) -> pd.DataFrame:
    """One row per variant: size of the log-Mel, its share at the floor, level of the samples."""
    rows = []
    for name, view in views.items():
        with np.errstate(divide="ignore"):  # silence is -inf dB
            peak = 20 * np.log10(np.abs(view.samples).max())
            rms = 10 * np.log10(np.mean(view.samples.astype(np.float64) ** 2))
        rows.append(
            {
                "variant": name,
                "frames": len(view.mel),
                "cells": view.mel.size,
                "cells_at_floor": int(view.at_floor.sum()),
                "floor_share": view.floor_share,
                "peak_dbfs": round(float(peak), 2) + 0.0,  # not -0.0
                "rms_dbfs": round(float(rms), 2),
            }
        )
    return pd.DataFrame(rows)


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """Short-time spectrum in dB re a sine at full scale, float (201, frames).

    Windows of 25 ms every 10 ms, as Whisper's; frame t is centred on sample 160 t.
    """
    _, _, spectrum = stft(samples, SAMPLE_RATE, "hann", N_FFT, N_FFT - HOP)
    return 20 * np.log10(2 * np.abs(spectrum) + 1e-12)


def draw_clip(fig: Figure, views: Mapping[str, ClipView]) -> None:
    """Draw three rows, waveform, spectrogram and log-Mel, with the same scales in all columns."""
    axes = fig.subplots(3, len(views), sharex=True, sharey="row", squeeze=False)
    spectrograms = [spectrogram(view.samples) for view in views.values()]
    loudest = max(levels.max() for levels in spectrograms)
    level_scale = Normalize(loudest - SPECTROGRAM_RANGE, loudest)
    mel_scale = Normalize(
        min(view.floor for view in views.values()), max(view.mel.max() for view in views.values())
    )
    amplitude = 1.05 * max(np.abs(view.samples).max() for view in views.values())
    for column, (name, view) in zip(axes.T, views.items(), strict=True):
        _draw_waveform(column[0], view.samples)
        literal(column[0].set_title(name, loc="center"))
        levels = _draw_map(column[1], spectrograms.pop(0), SAMPLE_RATE / 2000, level_scale)
        mels = _draw_mel(column[2], view, mel_scale)
        column[2].set_xlabel("Time (s)")
        column[2].set_xlim(0.0, view.duration)
    axes[0, 0].set_ylim(-amplitude or -1.0, amplitude or 1.0)
    for ax, label in zip(axes[:, 0], ("Amplitude", "Frequency (kHz)", "Mel bin"), strict=True):
        ax.set_ylabel(label)
    fig.colorbar(levels, ax=axes[1, :], label="Level (dB re full scale)", aspect=12, pad=0.01)
    fig.colorbar(mels, ax=axes[2, :], label="log-Mel (grey: at floor)", aspect=12, pad=0.01)
    for row in axes:
        _fit_titles(fig, row)


def _fit_titles(fig: Figure, row: Sequence[Axes]) -> None:
    """Shrink the titles above narrow columns, so that they do not run into each other."""
    room = 72 * 0.8 * fig.get_figwidth() / len(row)  # points
    widest = 0.65 * max(1, *(len(ax.get_title()) for ax in row))  # of the font size
    for ax in row:
        ax.title.set_fontsize(min(ax.title.get_fontsize(), room / widest))


def _draw_waveform(ax: Axes, samples: np.ndarray) -> None:
    """Draw the range of the samples in each of up to ENVELOPE_POINTS stretches of time."""
    begins = np.linspace(0, len(samples), min(len(samples), ENVELOPE_POINTS), endpoint=False)
    begins = begins.astype(int)
    low, high = np.minimum.reduceat(samples, begins), np.maximum.reduceat(samples, begins)
    ax.fill_between(begins / SAMPLE_RATE, low, high, color=COLORS[0], linewidth=0.4)


def _draw_map(ax: Axes, values: np.ndarray, top: float, scale: Normalize) -> AxesImage:
    """Draw (rows, frames) over time; frame t covers the hop around its centre."""
    seconds = values.shape[1] / FRAMES_PER_SECOND
    half = 0.5 / FRAMES_PER_SECOND
    ax.grid(False)
    return ax.imshow(
        values,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap="viridis",
        norm=scale,
        extent=(-half, seconds - half, 0.0, top),
    )


def _draw_mel(ax: Axes, view: ClipView, scale: Normalize) -> AxesImage:
    ax.set_facecolor(FLOOR_COLOR)
    ax.set_title(f"{view.floor_share:.1%} at floor", loc="center", fontweight="normal")
    heard = np.ma.masked_array(view.mel, view.at_floor)
    return _draw_map(ax, heard.T, view.mel.shape[1], scale)
