import librosa
import numpy as np
import pytest

from hearing_asr.audio import decode_flac, encode_flac
from hearing_asr.audiograms import Audiogram
from hearing_asr.corpus import corpus_features
from hearing_asr.errors import InputError
from hearing_asr.masking import mask_shard, variant_mask
from hearing_asr.release import COLUMNS
from hearing_asr.shards import read_shard, write_shard
from tests.conftest import speech_like

FREQUENCIES = (125, 250, 500, 1000, 2000, 4000, 8000)
AUDIOGRAMS = {
    "normal": dict.fromkeys(FREQUENCIES, 10),
    "lfloss": dict(zip(FREQUENCIES, (100, 85, 70, 55, 40, 25, 10), strict=True)),
    "hfloss": dict(zip(FREQUENCIES, (10, 25, 40, 55, 70, 85, 100), strict=True)),
    "notch": {1000: 0, 3000: 5, 4000: 60, 6000: 10},
}


def variant(name, normalization="peak"):
    return {
        "method": "gain_mask",
        "normalization": normalization,
        "audiogram": AUDIOGRAMS[name],
    }


def by_librosa(samples, audiogram):
    """The definition, with librosa's transforms."""
    spectrum = librosa.stft(
        samples, n_fft=2048, hop_length=512, window="hann", center=True, pad_mode="constant"
    )
    frequencies = librosa.fft_frequencies(sr=16_000, n_fft=2048)
    threshold = np.interp(frequencies, list(audiogram), list(audiogram.values()))
    spectrum *= 10 ** (-threshold / 20)[:, None]
    return librosa.istft(
        spectrum, hop_length=512, n_fft=2048, window="hann", center=True, length=len(samples)
    )


@pytest.mark.parametrize("name", AUDIOGRAMS)
@pytest.mark.parametrize("length", [4800, 16_000, 16_384, 16_385, 47_999, 80_000])
def test_gain_mask_equals_librosa(name, length):
    samples = speech_like(5.0, seed=length)[:length]
    expected = by_librosa(samples, AUDIOGRAMS[name])
    masked = variant_mask(variant(name, "none"), name)(samples)
    assert masked.dtype == np.float32
    assert masked.shape == samples.shape
    np.testing.assert_allclose(masked, expected, rtol=0, atol=1e-6)
    normalised = variant_mask(variant(name), name)(samples)
    np.testing.assert_allclose(normalised, expected / np.abs(expected).max(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", AUDIOGRAMS)
def test_gain_mask_equals_librosa_on_real_speech(real_clips, name):
    mask = variant_mask(variant(name), name)
    for samples in real_clips:
        expected = by_librosa(samples, AUDIOGRAMS[name])
        expected /= np.abs(expected).max()
        np.testing.assert_allclose(mask(samples), expected, rtol=0, atol=1e-5)


def test_a_tone_is_attenuated_by_its_threshold():
    time = np.arange(32_000) / 16_000
    for frequency, threshold in AUDIOGRAMS["hfloss"].items():
        if frequency == 8000:  # Nyquist: no tone to speak of
            continue
        tone = np.sin(2 * np.pi * frequency * time).astype(np.float32)
        masked = variant_mask(variant("hfloss", "none"), "hfloss")(tone)[8000:24_000]
        level = 20 * np.log10(np.sqrt(2 * np.mean(masked.astype(np.float64) ** 2)))
        # the window's main lobe sees a little of the slope on both sides
        assert level == pytest.approx(-threshold, abs=1.0)


def test_peak_normalisation_fills_full_scale():
    masked = variant_mask(variant("lfloss"), "lfloss")(speech_like(1.0))
    assert np.abs(masked).max() == pytest.approx(1.0, abs=1e-6)


def test_interpolated_gain_follows_the_audiogram():
    gain = Audiogram.from_config(AUDIOGRAMS["lfloss"], "lfloss").gain(np.array([6000.0]))
    assert 20 * np.log10(gain[0]) == pytest.approx(-17.5)


def corpus_row(path, samples):
    flac, scale = encode_flac(samples)
    row = dict.fromkeys(corpus_features(COLUMNS), "text")
    return row | {
        "audio": {"bytes": flac, "path": path},
        "scale": scale,
        "path": path,
        "duration": len(samples) / 16_000,
    }


def test_a_shard_keeps_rows_order_and_columns(tmp_path):
    clips = [speech_like(0.5 + 0.1 * k, seed=k) for k in range(5)]
    rows = [corpus_row(f"clip{k}.mp3", clip) for k, clip in enumerate(clips)]
    write_shard(tmp_path / "in.arrow", corpus_features(COLUMNS), rows)
    mask_shard(tmp_path / "in.arrow", tmp_path / "out.arrow", variant("hfloss"), "hfloss")
    masked = list(read_shard(tmp_path / "out.arrow"))
    assert [list(row) for row in masked] == [list(corpus_features(COLUMNS))] * len(rows)
    for before, after, clip in zip(rows, masked, clips, strict=True):
        same = set(before) - {"audio", "scale", "duration"}
        assert {name: after[name] for name in same} == {name: before[name] for name in same}
        expected = by_librosa(clip, AUDIOGRAMS["hfloss"])
        expected /= np.abs(expected).max()
        stored = decode_flac(after["audio"]["bytes"], after["scale"])
        np.testing.assert_allclose(stored, expected, rtol=0, atol=1e-5)


def test_a_damaged_clip_is_named(tmp_path):
    row = corpus_row("bad.mp3", speech_like(1.0))
    data = bytearray(row["audio"]["bytes"])
    data[len(data) // 2 : len(data) // 2 + 500] = bytes(500)
    row["audio"]["bytes"] = bytes(data)
    write_shard(tmp_path / "in.arrow", corpus_features(COLUMNS), [row])
    with pytest.raises(InputError, match=r"in.arrow: clip bad.mp3: not decodable.*delete it"):
        mask_shard(tmp_path / "in.arrow", tmp_path / "out.arrow", variant("hfloss"), "hfloss")


def test_a_clip_of_which_nothing_is_left_is_named(tmp_path):
    row = corpus_row("quiet.mp3", np.zeros(8000, np.float32))
    write_shard(tmp_path / "in.arrow", corpus_features(COLUMNS), [row])
    with pytest.raises(InputError, match=r"variants.hfloss, clip quiet.mp3: nothing is left"):
        mask_shard(tmp_path / "in.arrow", tmp_path / "out.arrow", variant("hfloss"), "hfloss")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.arrow"]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("method", "magic", "method: 'magic' is unknown"), ("normalization", "rms", "'rms'")],
)
def test_an_unknown_method_or_normalisation_is_refused(key, value, message):
    with pytest.raises(InputError, match=message):
        variant_mask(variant("normal") | {key: value}, "normal")
