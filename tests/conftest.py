"""What several tests need: test speech, real speech where it is there, the repository's folder."""

import os
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

# Real human speech in the layout of a Common Voice release, where it lies beside the project.
DIGITS = Path(
    os.environ.get(
        "HEARING_ASR_SPEECH",
        ROOT.parent / "shared/corpora/digits/cv-corpus-digits-2026-11-20/en",
    )
)


@pytest.fixture(scope="session")
def digits() -> Path:
    """Folder of an extracted release with real speech."""
    if not DIGITS.is_dir():
        pytest.skip("no real speech here; set HEARING_ASR_SPEECH to an extracted release")
    return DIGITS


@pytest.fixture(scope="session")
def real_clips(digits) -> list[np.ndarray]:
    """Twenty clips of real speech, float32 (n,), 16 kHz."""
    from hearing_asr.audio import decode

    files = sorted((digits / "clips").glob("*.mp3"))
    return [decode(file.read_bytes()) for file in files[:: max(1, len(files) // 20)][:20]]


def speech_like(seconds: float, seed: int = 0, rate: int = 16_000) -> np.ndarray:
    """A voiced, modulated sound with a spectrum that falls like that of speech, float32 (n,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    pitch = 120 + 20 * np.sin(2 * np.pi * 2 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 40))
    envelope = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time)
    sound = envelope * voice + 0.01 * rng.standard_normal(len(time))
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)
