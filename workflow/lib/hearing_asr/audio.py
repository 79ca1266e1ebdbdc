"""Clips: from the bytes of a file to 16 kHz mono samples, and to FLAC and back."""

import io

import numpy as np
import soundfile as sf
import soxr

SAMPLE_RATE = 16_000  # Hz: what Whisper hears

# 24 bit, because storing must not change the science. A hearing loss pushes parts of the spectrum
# far below full scale, where the rounding noise of 16 bit (-98 dBFS) is no longer small against
# them. docs/storage.md has the measurement.
FLAC_SUBTYPE = "PCM_24"


class UndecodableError(ValueError):
    """The bytes are not the audio they should be; the message is the reason."""


def decode(data: bytes) -> np.ndarray:
    """Decode an audio file of any rate and number of channels.

    Args:
        data: the file's bytes (MP3, FLAC, WAV, Ogg: whatever libsndfile reads).

    Returns:
        float32 (n,), mono (mean of the channels), 16 kHz. n may be 0.

    Raises:
        UndecodableError: not audio, or cut off before the length that its header states.
    """
    try:
        with sf.SoundFile(io.BytesIO(data)) as file:
            stated, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except (sf.LibsndfileError, RuntimeError) as error:
        raise UndecodableError(f"not decodable as audio ({str(error).strip(' :')})") from None
    if len(samples) < stated:
        raise UndecodableError(
            f"truncated: {len(samples) / rate:.2f} s of {stated / rate:.2f} s as its header states"
        )
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if rate != SAMPLE_RATE and len(mono):
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def encode_flac(samples: np.ndarray) -> tuple[bytes, float]:
    """Store samples in FLAC at the full precision of 24 bit, whatever their level.

    Args:
        samples: float32 (n,) at 16 kHz, of any level.

    Returns:
        FLAC bytes of `samples / scale`, and `scale`: the smallest power of two that is not
        exceeded. Dividing by it is exact, so a quiet clip keeps its precision and one that
        overshoots full scale (MP3 decoders and resamplers do) is not clipped.
    """
    peak = float(np.abs(samples).max(initial=0.0))
    scale = float(2.0 ** np.ceil(np.log2(peak))) if peak > 0 else 1.0
    buffer = io.BytesIO()
    sf.write(buffer, samples / np.float32(scale), SAMPLE_RATE, format="FLAC", subtype=FLAC_SUBTYPE)
    return buffer.getvalue(), scale


def decode_flac(data: bytes, scale: float) -> np.ndarray:
    """Float32 samples (n,) of what `encode_flac` made."""
    samples, _ = sf.read(io.BytesIO(data), dtype="float32")
    return samples * np.float32(scale)
