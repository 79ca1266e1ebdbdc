"""The Speech Intelligibility Index, against the standard's own example and its limits."""

import numpy as np
import pytest

from hearing_asr.audiograms import Audiogram
from hearing_asr.errors import InputError
from hearing_asr.intelligibility import (
    CENTRES,
    IMPORTANCE,
    NORMAL_EFFORT,
    QUIET,
    audiogram_index,
    speech_intelligibility_index,
)

SPEECH = [50.0, 40.0, 40.0, 30.0, 20.0, 0.0]
NOISE = [70.0, 65.0, 45.0, 25.0, 1.0, -15.0]
ZERO = np.zeros(6)


def flat(threshold):
    return Audiogram((1000.0,), (float(threshold),))


def test_worked_example_of_the_standard():
    """ANSI S3.5-1997, annex C.1: 0.504; more digits are those of the R package SII."""
    index = speech_intelligibility_index(SPEECH, NOISE, ZERO)
    assert index == pytest.approx(0.50395550625, abs=1e-12)


def test_importance_is_shared_out_in_full():
    assert IMPORTANCE.sum() == pytest.approx(1.0, abs=1e-12)


def test_no_loss_is_nearly_all_of_speech():
    # By hand: only at 8000 Hz is speech less than 15 dB above the internal noise:
    # (1.13 + 7.1 + 15) / 30 = 0.77433 of the importance 0.0549.
    assert audiogram_index(flat(0)) == pytest.approx(1 - 0.0549 * (1 - 23.23 / 30), abs=1e-12)


def test_a_sloping_loss_by_hand():
    sloping = Audiogram((250.0, 8000.0), (40.0, 40.0 + 7750 / 250))  # 1 dB per 250 Hz
    thresholds = [40, 41, 43, 47, 55, 71]
    internal = [-3.9, -9.7, -12.5, -17.7, -25.9, -7.1]
    audibility = [
        min(1.0, max(0.0, (speech - noise - threshold + 15) / 30))
        for speech, noise, threshold in zip(NORMAL_EFFORT, internal, thresholds, strict=True)
    ]
    assert min(audibility) == 0
    assert 0.3 < audibility[1] < 0.7
    assert audiogram_index(sloping) == pytest.approx(np.dot(IMPORTANCE, audibility), abs=1e-12)


@pytest.mark.parametrize("band", range(6))
def test_speech_at_the_threshold_is_half_audible(band):
    """Table 4: a threshold as far above the internal noise as normal speech is, in one band."""
    above = [38.65, 43.97, 37.51, 35.02, 35.23, 8.23][band]
    threshold = np.where(np.arange(6) == band, above, -20.0)
    index = speech_intelligibility_index(NORMAL_EFFORT, QUIET, threshold)
    assert index == pytest.approx(1 - IMPORTANCE[band] / 2, abs=1e-12)


def test_who_hears_nothing_understands_nothing():
    assert audiogram_index(flat(120)) == 0.0


def test_the_index_falls_with_the_threshold():
    indices = [audiogram_index(flat(threshold)) for threshold in range(-20, 131, 5)]
    assert indices == sorted(indices, reverse=True)
    assert len(set(indices)) > 10
    assert 0.0 <= min(indices) <= max(indices) <= 1.0


@pytest.mark.parametrize("band", range(6))
def test_every_band_counts_by_its_importance(band):
    threshold = np.where(np.arange(6) == band, 120.0, -20.0)
    index = speech_intelligibility_index(NORMAL_EFFORT, QUIET, threshold)
    assert index == pytest.approx(1 - IMPORTANCE[band], abs=1e-12)


def test_louder_is_not_better_for_ever():
    """Speech 26 dB above normal effort is distorted by a tenth: 1 - (26 - 10) / 160."""
    at = [
        speech_intelligibility_index(NORMAL_EFFORT + gain, QUIET, ZERO)
        for gain in (10.0, 26.0, 170.0, 400.0)
    ]
    assert at == pytest.approx([1.0, 0.9, 0.0, 0.0], abs=1e-12)


def test_noise_takes_away_what_it_covers():
    covered = speech_intelligibility_index(NORMAL_EFFORT, NORMAL_EFFORT + 15, ZERO)
    half = speech_intelligibility_index(NORMAL_EFFORT, NORMAL_EFFORT, ZERO)
    assert (covered, half) == pytest.approx((0.0, 0.5))


def test_thresholds_are_taken_at_the_centres():
    exact = Audiogram(tuple(CENTRES), (10.0, 60.0, 20.0, 50.0, 30.0, 40.0))
    assert audiogram_index(exact) == speech_intelligibility_index(
        NORMAL_EFFORT, QUIET, np.array(exact.thresholds)
    )


@pytest.mark.parametrize("wrong", [[0.0] * 5, [0.0] * 5 + [np.nan], 3.0])
@pytest.mark.parametrize("which", range(3))
def test_wrong_levels_are_named(wrong, which):
    arguments = [SPEECH, NOISE, ZERO]
    arguments[which] = wrong
    with pytest.raises(InputError, match=["speech", "noise", "threshold"][which]):
        speech_intelligibility_index(*arguments)
