"""The speech synthesizer: every utterance on its own, and mistakes that speak for themselves."""

import ctypes
import os

import espeakng_loader
import numpy as np
import pytest

from hearing_asr import espeak
from hearing_asr.demo_corpus import SPEAKERS
from hearing_asr.errors import InputError
from hearing_asr.matrix_sentences import MATRIX

SETTINGS = {"rate": 180, "pitch": 50, "pitch_range": 50, "seed": 1}
VOICES = sorted({s.voice for speakers in SPEAKERS.values() for s in speakers})
LANGUAGES = sorted({voice.partition("+")[0] for voice in VOICES})

PHONEMES_IPA = 0x02  # of espeak_TextToPhonemes


def phonemes(library: ctypes.CDLL, word: str) -> str:
    text = ctypes.c_char_p(word.encode())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    spoken = library.espeak_TextToPhonemes(ctypes.byref(text), 1, PHONEMES_IPA)
    return spoken.decode().replace("ˈ", "").replace("ː", "")


def test_an_utterance_does_not_depend_on_what_was_spoken_before():
    first = espeak.speak("Agnes lost two thin shirts.", "gmw/en-US+f5", **SETTINGS)
    espeak.speak("Something else, and longer.", "gmw/en-GB-scotland+m3", **SETTINGS)
    again = espeak.speak("Agnes lost two thin shirts.", "gmw/en-US+f5", **SETTINGS)
    np.testing.assert_array_equal(first, again)


def test_seed_changes_the_breath_noise_alone():
    one = espeak.speak("Agnes lost two thin shirts.", "gmw/en-US+f5", **SETTINGS)
    two = espeak.speak("Agnes lost two thin shirts.", "gmw/en-US+f5", **{**SETTINGS, "seed": 2})
    assert len(one) == len(two)
    assert not np.array_equal(one, two)
    assert np.corrcoef(one, two)[0, 1] > 0.5


def test_rate_and_pitch_do_what_they_say():
    def spoken(**changes):
        return espeak.speak("Mark hid nine mugs.", "gmw/en+m3", **{**SETTINGS, **changes})

    assert len(spoken(rate=120)) > 1.3 * len(spoken(rate=180))
    assert fundamental(spoken(pitch=90)) > 1.3 * fundamental(spoken(pitch=50))


def fundamental(samples: np.ndarray) -> float:
    """Median frequency (Hz) of the strongest autocorrelation between 60 and 400 Hz."""
    low, high = espeak.SAMPLE_RATE // 400, espeak.SAMPLE_RATE // 60
    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(float), 1024)[::512]
    frames = frames[frames.std(axis=1) > 0.5 * samples.std()]
    spectra = np.fft.rfft(frames, 2048)
    correlation = np.fft.irfft(np.abs(spectra) ** 2)[:, low:high]
    return float(np.median(espeak.SAMPLE_RATE / (low + correlation.argmax(axis=1))))


def test_all_voices_of_the_demo_exist():
    for voice in VOICES:
        with espeak.engine(voice):
            pass


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_of_a_position_sound_different_in_every_accent(language):
    with espeak.engine(language) as library:
        for words in MATRIX:
            spoken = {word: phonemes(library, word) for word in words}
            assert all(spoken.values())
            for word, sounds in spoken.items():
                others = [distance(sounds, other) for w, other in spoken.items() if w != word]
                assert min(others) >= 2, (word, spoken)


def distance(one: str, two: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(two) + 1))
    for i, a in enumerate(one, 1):
        row, previous = [i], row
        for j, b in enumerate(two, 1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (a != b)))
    return row[-1]


@pytest.mark.parametrize("voice", ["gmw/en-US+nobody", "gmw/nowhere"])
def test_unknown_voice_is_named(voice):
    with pytest.raises(InputError, match=voice.replace("+", r"\+")):
        espeak.speak("One.", voice, **SETTINGS)


def test_folder_without_data_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="Install"):
        espeak.speak("One.", "gmw/en", **SETTINGS)


def test_long_path_of_the_voices(monkeypatch, tmp_path):
    """The library holds no more than 160 characters of it; a relative path may be short enough."""
    folder = tmp_path / ("x" * 150) / "espeak-ng-data"
    folder.parent.mkdir()
    os.symlink(espeakng_loader.get_data_path(), folder)
    monkeypatch.setattr(espeakng_loader, "get_data_path", lambda: str(folder))
    with pytest.raises(InputError, match="shorter path"):
        espeak.speak("One.", "gmw/en", **SETTINGS)
    monkeypatch.chdir(folder.parent)
    assert len(espeak.speak("One.", "gmw/en-GB-scotland+m3", **SETTINGS)) > 1000


def test_library_that_is_loaded_already_is_refused():
    with (
        espeak.engine("gmw/en"),
        pytest.raises(RuntimeError, match="loaded"),
        espeak.engine("gmw/en"),
    ):
        pass
