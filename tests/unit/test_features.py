import librosa
import numpy as np
import pytest
import torch
import whisper
from transformers import WhisperFeatureExtractor

from hearing_asr.features import log_mel, mel_filters, pad_logmel, valid_frames
from tests.conftest import speech_like

WINDOW = 3000  # frames: 30 s
# lengths around every edge: short, frame boundaries, the window's right edge and its mirror
LENGTHS = [4800, 4801, 47_999, 48_000, 479_599, 479_759, 479_761, 479_801, 479_960, 480_000]


def ours(samples, bins, window=WINDOW):
    return pad_logmel(*log_mel(samples, bins, window), window)


@pytest.fixture(scope="module")
def sounds(request):
    rng = np.random.default_rng(1)
    return [
        *(speech_like(30.0, seed=k)[:length] for k, length in enumerate(LENGTHS)),
        rng.standard_normal(30_000).astype(np.float32) * 0.1,
        rng.standard_normal(30_000).astype(np.float32) * 1e-6,  # so faint that the floor is -10
    ]


@pytest.mark.parametrize("bins", [80, 128])
def test_rebuilt_features_equal_transformers(bins, sounds):
    extractor = WhisperFeatureExtractor(feature_size=bins)
    for samples in sounds:
        expected = extractor(samples, sampling_rate=16_000).input_features[0]
        np.testing.assert_allclose(ours(samples, bins), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bins", [80, 128])
def test_rebuilt_features_equal_transformers_on_real_speech(bins, real_clips):
    extractor = WhisperFeatureExtractor(feature_size=bins)
    for samples in real_clips:
        expected = extractor(samples, sampling_rate=16_000).input_features[0]
        valid, padding = log_mel(samples, bins, WINDOW)
        np.testing.assert_allclose(pad_logmel(valid, padding, WINDOW), expected, rtol=0, atol=1e-6)
        stored = pad_logmel(valid.astype(np.float16), padding, WINDOW)
        np.testing.assert_allclose(stored, expected, rtol=0, atol=1e-3)


def test_a_short_window_equals_transformers():
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=3)
    for length in (4800, 30_000, 47_900, 48_000):
        samples = speech_like(3.0)[:length]
        expected = extractor(samples, sampling_rate=16_000).input_features[0]
        np.testing.assert_allclose(ours(samples, 80, 300), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bins", [80, 128])
def test_rebuilt_features_equal_openai(bins, sounds):
    for samples in sounds:
        padded = torch.from_numpy(whisper.pad_or_trim(samples))
        expected = whisper.log_mel_spectrogram(padded, n_mels=bins).numpy()
        np.testing.assert_allclose(ours(samples, bins), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("bins", [80, 128])
def test_mel_filters_equal_librosa(bins):
    np.testing.assert_allclose(
        mel_filters(bins), librosa.filters.mel(sr=16_000, n_fft=400, n_mels=bins), atol=1e-7
    )


def test_everything_behind_the_valid_frames_is_the_constant(sounds):
    extractor = WhisperFeatureExtractor(feature_size=80)
    for samples in sounds:
        expected = extractor(samples, sampling_rate=16_000).input_features[0]
        valid, padding = log_mel(samples, 80, WINDOW)
        assert len(valid) == valid_frames(len(samples), WINDOW)
        assert (expected[:, len(valid) :] == padding).all()


def test_only_frames_that_touch_audio_are_valid():
    assert valid_frames(4800, WINDOW) == 32  # frame 31 is centred on 4960 and begins at 4760
    assert valid_frames(480_000, WINDOW) == WINDOW
