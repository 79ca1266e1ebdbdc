import numpy as np
import pytest

from hearing_asr.audiograms import Audiogram
from hearing_asr.errors import InputError

HFLOSS = {125: 10, 250: 25, 500: 40, 1000: 55, 2000: 70, 4000: 85, 8000: 100}


def test_threshold_is_interpolated_linearly_over_hz_and_held_outside():
    audiogram = Audiogram.from_config(HFLOSS, "hfloss")
    # between 4000 Hz (85 dB) and 8000 Hz (100 dB): half way in Hz, not in octaves
    np.testing.assert_allclose(audiogram.threshold(np.array([6000.0])), [92.5])
    np.testing.assert_allclose(audiogram.threshold(np.array([0.0, 125.0, 8000.0])), [10, 10, 100])
    low = Audiogram.from_config({500: 20, 1000: 60}, "low")
    np.testing.assert_allclose(low.threshold(np.array([10.0, 7000.0])), [20, 60])


def test_gain_is_the_threshold_taken_away():
    audiogram = Audiogram.from_config(HFLOSS, "hfloss")
    np.testing.assert_allclose(
        20 * np.log10(audiogram.gain(np.array([125.0, 1000.0, 8000.0]))), [-10, -55, -100]
    )


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({}, "at least one"),
        ({250: 10, 125: 10}, "125 Hz.*rise"),
        ({0: 10}, "0 Hz"),
        ({8001: 10}, "8001 Hz.*8000"),
        ({1000: 131}, "131 dB at 1000 Hz"),
        ({1000: float("nan")}, "nan"),
        ({1000: "loud"}, "1000: 'loud' is not a pair of numbers"),
        ({"low": 10}, "'low': 10 is not a pair of numbers"),
        ({1000: True}, "not a pair of numbers"),
        ({1000: None}, "not a pair of numbers"),
    ],
)
def test_a_wrong_audiogram_is_refused_by_name(points, message):
    with pytest.raises(InputError, match=f"mine: .*{message}"):
        Audiogram.from_config(points, "mine")
