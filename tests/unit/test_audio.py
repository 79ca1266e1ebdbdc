import io

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import resample_poly

from hearing_asr.audio import UndecodableError, decode, decode_flac, encode_flac
from hearing_asr.features import log_mel
from hearing_asr.masking import variant_mask
from tests.conftest import speech_like
from tests.unit.test_masking import variant


def encoded(samples, rate, format="WAV", subtype="FLOAT"):
    buffer = io.BytesIO()
    sf.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def test_16_khz_mono_is_taken_as_it_is():
    samples = speech_like(1.0)
    np.testing.assert_array_equal(decode(encoded(samples, 16_000)), samples)


def test_channels_are_averaged():
    left, right = speech_like(1.0, seed=1), speech_like(1.0, seed=2)
    stereo = decode(encoded(np.stack([left, right], axis=1), 16_000))
    np.testing.assert_allclose(stereo, (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("rate", [8000, 32_000, 44_100, 48_000])
def test_resampling_keeps_tone_length_and_level(rate):
    time = np.arange(2 * rate) / rate
    tone = (0.5 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32)
    samples = decode(encoded(tone, rate))
    assert len(samples) == 32_000
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(32_000) / 16_000)
    np.testing.assert_allclose(samples[800:-800], expected[800:-800], atol=1e-3)


def test_resampling_agrees_with_scipy():
    samples = speech_like(1.0, rate=48_000)
    expected = resample_poly(samples, 1, 3, window=("kaiser", 12.0))
    np.testing.assert_allclose(
        decode(encoded(samples, 48_000))[400:-400], expected[400:-400], atol=5e-3
    )


@pytest.mark.parametrize("data", [b"", b"<html>404 not found</html>" * 50, b"\x00" * 5000])
def test_what_is_not_audio_is_told(data):
    with pytest.raises(UndecodableError, match="not decodable"):
        decode(data)


def test_an_mp3_that_was_cut_off_is_told():
    mp3 = encoded(speech_like(3.0, rate=48_000), 48_000, "MP3", "MPEG_LAYER_III")
    assert len(decode(mp3)) == pytest.approx(48_000, abs=16)
    with pytest.raises(UndecodableError, match=r"truncated: 1\.\d+ s of 3\.\d+ s"):
        decode(mp3[: len(mp3) // 2])


@pytest.mark.parametrize("level", [1e-4, 0.05, 0.5, 1.0, 1.7])
def test_flac_keeps_24_bit_at_any_level(level):
    samples = speech_like(1.0)
    samples *= np.float32(level / np.abs(samples).max())
    data, scale = encode_flac(samples)
    assert np.log2(scale) == int(np.log2(scale))
    assert np.abs(decode_flac(data, scale) - samples).max() <= scale * 2**-23
    assert 0.5 * scale < np.abs(samples).max() <= scale


def test_flac_of_silence():
    data, scale = encode_flac(np.zeros(100, np.float32))
    assert scale == 1.0
    assert not decode_flac(data, scale).any()


@pytest.mark.parametrize("normalization", ["peak", "none"])
@pytest.mark.parametrize("name", ["normal", "lfloss", "hfloss"])
def test_storing_does_not_change_the_log_mel_of_real_speech(real_clips, name, normalization):
    mask = variant_mask(variant(name, normalization), name)
    for samples in real_clips:
        for level in (1.0, 0.02):
            masked = mask(samples * np.float32(level))
            exact, _ = log_mel(masked, 128, 3000)
            stored, _ = log_mel(decode_flac(*encode_flac(masked)), 128, 3000)
            assert np.abs(stored - exact).max() < 1e-3


@pytest.mark.parametrize(("name", "bound"), [("normal", 1e-3), ("lfloss", 2e-2), ("hfloss", 1e-3)])
def test_storing_corpus_and_masked_clip_changes_no_more_than_documented(real_clips, name, bound):
    mask = variant_mask(variant(name), name)
    for samples in real_clips:
        exact, _ = log_mel(mask(samples), 128, 3000)
        stored = mask(decode_flac(*encode_flac(samples)))
        stored, _ = log_mel(decode_flac(*encode_flac(stored)), 128, 3000)
        assert np.abs(stored - exact).max() < bound  # docs/storage.md
