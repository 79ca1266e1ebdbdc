"""Hearing loss simulated on audio: what a listener with an audiogram no longer hears is taken away.

Method `gain_mask`: short-time Fourier transform, each bin scaled by 10^(-T(f)/20), inverse
transform, peak normalisation. It equals `librosa.stft` and `librosa.istft` doing the same
(n_fft 2048, hop 512, periodic Hann window, centred, zero-padded edges), several times faster.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from hearing_asr.audio import (
    SAMPLE_RATE,
    UndecodableError,
    damaged_clip,
    decode_flac,
    encode_flac,
)
from hearing_asr.audiograms import Audiogram
from hearing_asr.errors import InputError
from hearing_asr.joblog import progress
from hearing_asr.shards import read_shard, shard_features, write_shard

N_FFT = 2048  # samples: 128 ms at 16 kHz, bins 7.8 Hz apart
HOP = 512  # samples: 32 ms, so that four windows overlap everywhere
OVERLAP = N_FFT // HOP
EDGE = N_FFT // 2  # samples of silence before the clip: frame t is centred on sample t * HOP
BLOCK = 128  # frames transformed at a time: 1 MB, which stays in the cache

WINDOW = torch.hann_window(N_FFT)  # periodic

NORMALIZATIONS = ("peak", "none")

Mask = Callable[[np.ndarray], np.ndarray]


def variant_mask(variant: Mapping, name: str) -> Mask:
    """The function that lets a clip through a variant of the config.

    Args:
        variant: config entry with `method`, `normalization` and `audiogram`.
        name: of the variant, for messages.

    Returns:
        A function from float32 samples (n,), 16 kHz, to float32 samples (n,).

    Raises:
        InputError: unknown method or normalization, or a wrong audiogram.
    """
    if variant["method"] not in METHODS:
        raise InputError(
            f"variants.{name}.method: {variant['method']!r} is unknown; choose one of "
            f"{', '.join(METHODS)}"
        )
    if variant["normalization"] not in NORMALIZATIONS:
        raise InputError(
            f"variants.{name}.normalization: {variant['normalization']!r} is unknown; choose one "
            f"of {', '.join(NORMALIZATIONS)}"
        )
    mask = METHODS[variant["method"]](variant, name)
    if variant["normalization"] == "none":
        return mask
    return lambda samples: peak_normalize(mask(samples))


def gain_mask_from_config(variant: Mapping, name: str) -> Mask:
    """Method `gain_mask` with the audiogram of a config entry."""
    audiogram = Audiogram.from_config(variant["audiogram"], f"variants.{name}.audiogram")
    gain = audiogram.gain(np.fft.rfftfreq(N_FFT, 1 / SAMPLE_RATE)).astype(np.float32)
    return lambda samples: gain_mask(samples, gain)


METHODS: dict[str, Callable[[Mapping, str], Mask]] = {"gain_mask": gain_mask_from_config}


def gain_mask(samples: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Scale the short-time spectrum of `samples` by `gain`.

    Args:
        samples: float32 (n,), 16 kHz, n > 0.
        gain: float32 (1025,), linear, for the bins of a 2048-point transform.

    Returns:
        float32 (n,): the least-squares inverse of the scaled spectrum (Griffin & Lim 1984,
        IEEE TASSP 32(2), eq. 6).
    """
    if np.all(gain == gain[0]):  # analysis and synthesis reconstruct perfectly
        return samples * gain[0]
    n = len(samples)
    frames = 1 + n // HOP
    padded = torch.zeros((frames + OVERLAP - 1) * HOP)
    padded[EDGE : EDGE + n] = torch.from_numpy(samples)
    windows = padded.unfold(0, N_FFT, HOP)
    gains = torch.from_numpy(gain)

    summed = torch.zeros(frames + OVERLAP - 1, HOP)
    for begin in range(0, frames, BLOCK):
        spectrum = torch.fft.rfft(windows[begin : begin + BLOCK] * WINDOW)
        spectrum *= gains
        block = torch.fft.irfft(spectrum, N_FFT)
        block *= WINDOW
        _overlap_add(summed[begin:], block)
    output = summed.view(-1)[EDGE : EDGE + n]
    output /= _window_energy(frames)[EDGE : EDGE + n]
    return output.numpy()


def peak_normalize(samples: np.ndarray) -> np.ndarray:
    """Scale `samples` (n,) so that the largest magnitude is 1.

    Raises:
        InputError: there is nothing but zeros.
    """
    peak = max(samples.max(), -samples.min())
    if not peak > 0:
        raise InputError("nothing is left to normalise: every sample is zero")
    return samples / peak


def mask_shard(source: str | Path, output: str | Path, variant: Mapping, name: str) -> None:
    """Let every clip of a corpus shard through a variant: same rows, same order, same columns.

    Args:
        source: Arrow file of the corpus.
        output: Arrow file to write.
        variant: config entry with `method`, `normalization` and `audiogram`.
        name: of the variant.

    Raises:
        InputError: a wrong variant, or a clip of which nothing is left; its path is named.
    """
    torch.set_num_threads(1)  # shards are what runs in parallel
    mask = variant_mask(variant, name)

    def masked() -> Iterator[dict]:
        for row in progress(read_shard(source), str(output)):
            try:
                samples = mask(decode_flac(row["audio"]["bytes"], row["scale"]))
            except UndecodableError as error:
                raise InputError(damaged_clip(source, row["path"], error)) from None
            except InputError as error:
                raise InputError(f"variants.{name}, clip {row['path']}: {error}") from None
            flac, scale = encode_flac(samples)
            yield {**row, "audio": {"bytes": flac, "path": row["path"]}, "scale": scale}

    write_shard(output, shard_features(source), masked())


def _overlap_add(summed: torch.Tensor, block: torch.Tensor) -> None:
    """Add windows (k, 2048) to `summed` (>= k + 3, 512), each one row further than the last."""
    parts = block.reshape(-1, OVERLAP, HOP)
    for part in range(OVERLAP):
        summed[part : part + len(parts)] += parts[:, part]


@lru_cache(maxsize=64)
def _window_energy(frames: int) -> torch.Tensor:
    """Sum of the squared windows of `frames` frames, ((frames + 3) * 512,)."""
    energy = torch.zeros(frames + OVERLAP - 1, HOP)
    _overlap_add(energy, (WINDOW**2).repeat(frames, 1))
    return energy.view(-1)
