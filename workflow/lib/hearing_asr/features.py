"""Log-Mel spectrograms as Whisper wants them, without the padding.

Whisper pads every clip with zeros to a window (30 s) before it computes the spectrogram. Behind
the last frame that touches audio the result is one constant per clip, so this module computes and
stores the valid frames and that constant, from which the padded array is rebuilt exactly.

The arithmetic is torch's in float32, on purpose: in cells 80 dB below a clip's maximum two float32
Fourier transforms differ by up to 5e-5, and the one that Whisper's own feature extractors use keeps
the result within 1e-6 of theirs.
"""

from functools import lru_cache

import numpy as np
import torch

from hearing_asr.audio import SAMPLE_RATE
from hearing_asr.models import FRAMES_PER_SECOND

N_FFT = 400  # samples: 25 ms
HOP = SAMPLE_RATE // FRAMES_PER_SECOND  # 160 samples: 10 ms
EDGE = N_FFT // 2  # frame t is centred on sample t * HOP
FLOOR = 1e-10  # smallest mel power that is told from silence
DYNAMIC_RANGE = 8.0  # decades below the clip's maximum at which Whisper cuts off

MEL_BANDS = 8  # groups of mel filters that are applied together

WINDOW = torch.hann_window(N_FFT)  # periodic


def valid_frames(samples: int, window_frames: int) -> int:
    """Number of frames that touch audio: 160 t - 200 < samples, at most the window."""
    return min(window_frames, -(-(samples + EDGE) // HOP))


def log_mel(
    samples: np.ndarray, num_mel_bins: int, window_frames: int
) -> tuple[np.ndarray, np.float32]:
    """Whisper's log-Mel spectrogram of the frames that touch audio.

    The definition is that of OpenAI's `whisper.log_mel_spectrogram` (25 ms Hann windows every
    10 ms, Slaney mel filters, log10, 8 decades below the maximum, (x + 4) / 4) for the clip padded
    with zeros to the window.

    Args:
        samples: float32 (n,), 16 kHz, at least 201 and at most 160 * window_frames.
        num_mel_bins: 128 for large-v3, 80 for the others.
        window_frames: frames of the model's window: 3000 (30 s) for Whisper as released.

    Returns:
        float32 (frames, num_mel_bins), about -1.5 to 2.5, and the constant of all frames behind.
    """
    frames = valid_frames(len(samples), window_frames)
    padded = torch.from_numpy(_padded(samples, frames, window_frames))
    spectrum = torch.stft(padded, N_FFT, HOP, window=WINDOW, center=False, return_complex=True)
    real, imaginary = spectrum.real, spectrum.imag
    power = torch.addcmul(real * real, imaginary, imaginary)
    mel = torch.empty(num_mel_bins, frames)
    for bins, frequencies, filters in _mel_bands(num_mel_bins):
        torch.mm(filters, power[frequencies], out=mel[bins])
    logarithm = mel.clamp_(min=FLOOR).log10_()
    # The padding is silent, so it can never hold the maximum of a clip that is not.
    floor = torch.clamp(logarithm.max() - DYNAMIC_RANGE, min=np.log10(FLOOR))
    valid = (torch.maximum(logarithm, floor) + 4.0) / 4.0
    return np.ascontiguousarray(valid.numpy().T), np.float32((floor + 4.0) / 4.0)


def pad_logmel(valid: np.ndarray, padding: float, window_frames: int) -> np.ndarray:
    """Rebuild the padded spectrogram that Whisper takes as input.

    Args:
        valid: (frames, num_mel_bins), any float type.
        padding: the constant behind the valid frames.
        window_frames: frames of the model's window.

    Returns:
        float32 (num_mel_bins, window_frames).
    """
    padded = np.empty((valid.shape[1], window_frames), np.float32)
    fill_logmel(padded, valid, padding)
    return padded


def fill_logmel(padded: np.ndarray, valid: np.ndarray, padding: float) -> None:
    """Rebuild the padded spectrogram in place; shapes as in `pad_logmel`."""
    padded[:, : len(valid)] = valid.T
    padded[:, len(valid) :] = padding


@lru_cache(maxsize=4)
def mel_filters(num_mel_bins: int) -> np.ndarray:
    """Triangular mel filters, float32 (num_mel_bins, 201), 0 to 8000 Hz, of equal area.

    Mel scale of Slaney's Auditory Toolbox (1998): linear below 1000 Hz (200/3 Hz per mel),
    logarithmic above (27 mel per factor 6.4), as in `librosa.filters.mel`.
    """
    corners = mel_corners(num_mel_bins)
    frequencies = np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (frequencies - low) / (centre - low)
    falling = (high - frequencies) / (high - centre)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return (triangles * 2.0 / (high - low)).astype(np.float32)


def mel_corners(num_mel_bins: int) -> np.ndarray:
    """Corners of the mel filters in Hz, float64 (num_mel_bins + 2,), 0 to 8000.

    Filter k rises from corner k to its centre, corner k + 1, and falls to corner k + 2.
    """
    return _mel_to_hz(np.linspace(0.0, _hz_to_mel(SAMPLE_RATE / 2), num_mel_bins + 2))


@lru_cache(maxsize=4)
def _mel_bands(num_mel_bins: int) -> list[tuple[slice, slice, torch.Tensor]]:
    """The mel filters in groups of neighbours, each with the few frequencies that it spans.

    Most of the filter matrix is zero; multiplied in groups, most of the zeros are left out.
    """
    filters = mel_filters(num_mel_bins)
    bands = []
    for bins in np.array_split(np.arange(num_mel_bins), MEL_BANDS):
        group = filters[bins]
        used = np.flatnonzero(group.any(axis=0))
        frequencies = slice(used[0], used[-1] + 1)
        rows = slice(bins[0], bins[-1] + 1)
        bands.append((rows, frequencies, torch.from_numpy(group[:, frequencies].copy())))
    return bands


BREAK_HZ = 1000.0
BREAK_MEL = 15.0
LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(frequency: float) -> float:
    if frequency < BREAK_HZ:
        return frequency * BREAK_MEL / BREAK_HZ
    return BREAK_MEL + np.log(frequency / BREAK_HZ) / LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    linear = mel * BREAK_HZ / BREAK_MEL
    logarithmic = BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL))
    return np.where(mel < BREAK_MEL, linear, logarithmic)


def _padded(samples: np.ndarray, frames: int, window_frames: int) -> np.ndarray:
    """The samples under `frames` frames: mirrored at the window's edges, zeros behind the clip."""
    padded = np.zeros((frames - 1) * HOP + N_FFT, np.float32)
    padded[:EDGE] = samples[EDGE:0:-1]
    padded[EDGE : EDGE + len(samples)] = samples[: len(padded) - EDGE]
    window = window_frames * HOP
    beyond = len(padded) - EDGE - window  # samples behind the window's right edge
    if beyond > 0:
        mirror = padded[EDGE + window - 1 - beyond : EDGE + window - 1]
        padded[-beyond:] = mirror[::-1]
    return padded
