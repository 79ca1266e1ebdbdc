"""Clips: from the bytes of a file to 16 kHz mono samples, and to FLAC and back."""

import io
import re

import numpy as np
import soundfile as sf
import soxr

from hearing_asr import mp3

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
        UndecodableError: not audio, or cut off before the length that its header states, or (MP3)
            within a frame.
    """
    tolerated = 0  # samples
    if (found := mp3.scan(data)) is not None:
        _refuse_truncated(found)
        data = mp3.with_length(data, found)
        tolerated = found.samples_per_frame
    try:
        with sf.SoundFile(io.BytesIO(data)) as file:
            stated, rate = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except (sf.LibsndfileError, RuntimeError) as error:
        raise UndecodableError(_reason(error)) from None
    if len(samples) < stated - tolerated:
        raise UndecodableError(
            f"truncated: {len(samples) / rate:.2f} s of {stated / rate:.2f} s as its header states"
        )
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    if rate != SAMPLE_RATE and len(mono):
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def _refuse_truncated(found: mp3.Mp3) -> None:
    """Raise UndecodableError for an MP3 that is not all there."""
    seconds = found.samples_per_frame / found.sample_rate
    present = f"{found.frames * seconds:.2f} s"
    # One frame of tolerance: some encoders count the Info frame too.
    if found.stated is not None and found.stated > found.frames + 1:
        raise UndecodableError(
            f"truncated: {present} of {found.stated * seconds:.2f} s as its header states"
        )
    if found.cut_off:
        raise UndecodableError(f"truncated: ends within a frame, after {present}")


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
    """Float32 samples (n,) of what `encode_flac` made.

    Raises:
        UndecodableError: the bytes are damaged.
    """
    try:
        samples, _ = sf.read(io.BytesIO(data), dtype="float32")
    except (sf.LibsndfileError, RuntimeError) as error:
        raise UndecodableError(_reason(error)) from None
    return samples * np.float32(scale)


def damaged_clip(shard: object, path: str, error: UndecodableError) -> str:
    """What to say of a stored clip that cannot be decoded."""
    return f"{shard}: clip {path}: {error}. The shard is damaged: delete it and run again."


def _reason(error: Exception) -> str:
    """libsndfile's words without the name it gives the bytes (an address, another every time)."""
    words = re.sub(r".*<_io.BytesIO object at [^>]*>[: ]*", "", str(error)).strip(" :.")
    return f"not decodable as audio ({words or 'unknown format'})"
