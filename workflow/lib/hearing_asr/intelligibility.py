"""Speech Intelligibility Index: which share of speech a human listener can hear and make use of.

ANSI S3.5-1997, "Methods for Calculation of the Speech Intelligibility Index", octave-band
procedure: one band per octave, without the spread of masking that the finer procedures have.
"""

import numpy as np

from hearing_asr.audiograms import Audiogram
from hearing_asr.errors import InputError

# Table 4 of the standard. Spectrum levels are in dB re 20 µPa in 1 Hz.
CENTRES = np.array([250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0])  # Hz
IMPORTANCE = np.array([0.0617, 0.1671, 0.2373, 0.2648, 0.2142, 0.0549])
NORMAL_EFFORT = np.array([34.75, 34.27, 25.01, 17.32, 9.33, 1.13])  # speech at 1 m, 62.35 dB SPL
INTERNAL_NOISE = np.array([-3.9, -9.7, -12.5, -17.7, -25.9, -7.1])  # of normal hearing

QUIET = np.full(len(CENTRES), -50.0)  # section 4.2: what stands for no noise

DISTORTION_ONSET = 10.0  # dB above normal effort from which on loud speech is understood less
DISTORTION_RANGE = 160.0  # dB from there to where nothing is understood
PEAKS = 15.0  # dB by which the peaks of speech rise above its average level
SPEECH_RANGE = 30.0  # dB from the faintest parts of speech to its peaks


def speech_intelligibility_index(
    speech: np.ndarray, noise: np.ndarray, threshold: np.ndarray
) -> float:
    """The index for six octave bands around 250 to 8000 Hz.

    Args:
        speech: (6,), equivalent speech spectrum level in dB re 20 µPa in 1 Hz.
        noise: (6,), equivalent noise spectrum level in the same unit; `QUIET` for none.
        threshold: (6,), equivalent hearing threshold level in dB HL.

    Returns:
        0 (nothing of speech can be made use of) to 1 (everything).

    Raises:
        InputError: not six numbers each, or a number that is not finite.
    """
    speech, noise, threshold = (
        _bands(name, values)
        for name, values in (("speech", speech), ("noise", noise), ("threshold", threshold))
    )
    # Octave bands mask none but themselves, so that noise is all the masking there is.
    disturbance = np.maximum(noise, INTERNAL_NOISE + threshold)
    excess = speech - NORMAL_EFFORT - DISTORTION_ONSET
    distortion = np.clip(1.0 - excess / DISTORTION_RANGE, 0.0, 1.0)
    audibility = np.clip((speech - disturbance + PEAKS) / SPEECH_RANGE, 0.0, 1.0)
    return float(np.sum(IMPORTANCE * distortion * audibility))


def audiogram_index(audiogram: Audiogram) -> float:
    """The index, 0 to 1, of standard speech at normal vocal effort, in quiet, for an audiogram.

    It is what the standard states for a human listener with these thresholds, unaided, 1 m from a
    talker. It is not a measure of the audio that the model is given: that is normalised to its
    peak, so that the loss of level, which the index counts, is made up for. Nor does it predict
    word error rates; it orders the hearing losses by how much of speech stays audible.

    Thresholds between the points of the audiogram are those that the mask takes (linear over Hz).
    """
    return speech_intelligibility_index(NORMAL_EFFORT, QUIET, audiogram.threshold(CENTRES))


def _bands(name: str, values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != CENTRES.shape or not np.isfinite(values).all():
        raise InputError(
            f"{name}: {values.tolist()} given; give six finite levels in dB, for the octaves "
            "around 250 to 8000 Hz"
        )
    return values
