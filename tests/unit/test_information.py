"""What is left: shares at the floor counted by hand, spectra against SciPy and known sounds."""

import logging

import librosa
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.signal
from datasets import Dataset

from hearing_asr import information
from hearing_asr.audio import encode_flac
from hearing_asr.audiograms import Audiogram
from hearing_asr.corpus import corpus_features
from hearing_asr.errors import InputError
from hearing_asr.features import log_mel
from hearing_asr.information import (
    band_powers,
    floor_shares,
    long_term_spectrum,
    mel_centres,
    window_powers,
    write_information,
)
from hearing_asr.intelligibility import audiogram_index
from hearing_asr.logmel import logmel_features
from hearing_asr.shards import gather_split, shard_name, write_shard
from tests.conftest import speech_like

BINS = 80
HFLOSS = {"125": 10, "1000": 55, "8000": 100}  # as the configuration gives it
RNG = np.random.default_rng(5)


def write_split(folder, features, rows, shards=2):
    """A split as the workflow makes it: rows dealt out to shards."""
    folder.mkdir(parents=True)
    paths = [folder / shard_name(shard, shards) for shard in range(shards)]
    for shard, path in enumerate(paths):
        write_shard(path, features, rows[shard::shards])
    gather_split(folder, paths)
    return folder


def logmel_row(cells, padding, dtype):
    return {
        "path": "a.mp3",
        "client_id": "someone",
        "sentence": "Anna.",
        "duration": len(cells) / 100,
        "frames": len(cells),
        "padding": padding,
        "logmel": cells.ravel().astype(dtype),
        "labels": np.array([1], np.int32),
    }


def logmel_split(folder, clips, dtype="float16", **options):
    """Clips are pairs as `log_mel` returns them."""
    rows = [logmel_row(cells, padding, dtype) for cells, padding in clips]
    return write_split(folder, logmel_features(dtype), rows, **options)


def audio_split(folder, clips, **options):
    rows = []
    for index, samples in enumerate(clips):
        flac, scale = encode_flac(samples.astype(np.float32))
        name = f"clip_{index}.mp3"
        duration = len(samples) / 16_000
        audio = {"bytes": flac, "path": name}
        rows.append({"audio": audio, "scale": scale, "path": name, "duration": duration})
    return write_split(folder, corpus_features(["path"]), rows, **options)


def sine(frequency, amplitude=1.0, seconds=1.0):
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(16_000 * seconds) / 16_000)


def level_at(spectrum, frequency):
    frequencies, levels = spectrum
    return levels[frequencies == frequency].item()


@pytest.mark.parametrize("bins", [80, 128])
def test_mel_centres_are_those_of_librosa(bins):
    expected = librosa.mel_frequencies(n_mels=bins + 2, fmin=0.0, fmax=8000.0, htk=False)[1:-1]
    np.testing.assert_allclose(mel_centres(bins), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_shares_are_those_that_were_put_there(tmp_path, dtype):
    """By hand, with a floor that float16 does not have; 60 clips are more than one batch."""
    clips, at_floor, frames = [], np.zeros(BINS), 0
    for _ in range(60):
        padding = np.float32(RNG.uniform(-1.5, -0.5))
        cells = padding + RNG.uniform(0.01, 2.0, (RNG.integers(3, 40), BINS)).astype(np.float32)
        floored = RNG.random(cells.shape) < np.linspace(0, 1, BINS)
        clips.append((np.where(floored, padding, cells), padding))
        at_floor += floored.sum(axis=0)
        frames += len(cells)
    shares = floor_shares(logmel_split(tmp_path / "test", clips, dtype), BINS)
    np.testing.assert_array_equal(shares, at_floor / frames)
    assert shares[0] == 0
    assert shares[-1] == 1


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_floor_of_real_spectrograms_is_found(tmp_path, dtype):
    clips = [log_mel(speech_like(1.0, seed), BINS, 3000) for seed in range(3)]
    # Low-passed: what is above is 80 dB below the maximum and more.
    lowpass = scipy.signal.butter(10, 1000, fs=16_000, output="sos")
    quiet = [scipy.signal.sosfilt(lowpass, speech_like(1.0, seed)) for seed in range(3)]
    quiet = [log_mel(samples.astype(np.float32), BINS, 3000) for samples in quiet]
    shares = floor_shares(logmel_split(tmp_path / "all", clips, dtype), BINS)
    lowpassed = floor_shares(logmel_split(tmp_path / "low", quiet, dtype), BINS)
    assert shares.max() < 0.05
    assert lowpassed[mel_centres(BINS) < 800].max() < 0.2
    assert lowpassed[mel_centres(BINS) > 4000].min() > 0.9
    for split, measured in ((clips, shares), (quiet, lowpassed)):
        exact = np.mean(np.concatenate([cells == padding for cells, padding in split]), axis=0)
        np.testing.assert_allclose(measured, exact, rtol=0, atol=0.02)


def test_long_clips_count_more(tmp_path):
    short = (np.full((1, BINS), -1.0, np.float32), np.float32(-1.0))
    long = (np.full((3, BINS), 0.5, np.float32), np.float32(-1.0))
    shares = floor_shares(logmel_split(tmp_path / "test", [short, long]), BINS)
    np.testing.assert_array_equal(shares, np.full(BINS, 0.25))


def test_a_clip_at_its_floor_throughout(tmp_path):
    valid, padding = log_mel(np.zeros(4000, np.float32), BINS, 3000)
    shares = floor_shares(logmel_split(tmp_path / "test", [(valid, padding)], shards=1), BINS)
    np.testing.assert_array_equal(shares, np.ones(BINS))


def test_shards_without_a_clip_do_no_harm(tmp_path):
    clip = (np.full((2, BINS), -1.0, np.float32), np.float32(-1.0))
    assert floor_shares(logmel_split(tmp_path / "l", [clip], shards=3), BINS).min() == 1.0
    assert np.isfinite(long_term_spectrum(audio_split(tmp_path / "a", [sine(440)], shards=3))).all()


def test_other_mel_bins_are_refused(tmp_path):
    clips = [log_mel(speech_like(0.5), 128, 3000)]
    folder = logmel_split(tmp_path / "test", clips, shards=1)
    with pytest.raises(InputError, match=r"test: clips with 128 mel bins, not 80\. Set features"):
        floor_shares(folder, 80)


def test_powers_are_those_of_scipy():
    samples = RNG.standard_normal(5000)
    _, density = scipy.signal.welch(
        samples, 16_000, window="hann", nperseg=512, noverlap=256, detrend=False
    )
    ours = window_powers(samples)
    assert ours.shape == (1 + (5000 - 512) // 256, 257)
    np.testing.assert_allclose(ours.mean(axis=0), density * 16_000 / 512, rtol=1e-12)


@pytest.mark.parametrize("frequency", [500, 1000, 2000, 4000, 6300])
def test_a_sine_has_the_level_that_it_has(tmp_path, frequency):
    spectrum = long_term_spectrum(audio_split(tmp_path / "test", [sine(frequency, 0.1)], shards=1))
    assert level_at(spectrum, frequency) == pytest.approx(10 * np.log10(0.1**2 / 2), abs=0.02)
    others = spectrum[1][spectrum[0] != frequency]
    assert others.max() < -40


def test_bands_are_those_of_the_standard():
    """IEC 61260-1:2014, base 10: a flat density puts into each band what it is wide."""
    frequencies = np.array(information.THIRD_OCTAVES)
    exact = 10.0 ** (np.arange(20, 39) / 10)
    np.testing.assert_allclose(frequencies, exact, rtol=0.015)  # nominal ones are rounded
    flat = np.full(257, 31.25)  # 1 per Hz
    flat[[0, -1]] /= 2
    np.testing.assert_allclose(band_powers(flat), exact * (10**0.05 - 10**-0.05), rtol=1e-12)


def test_a_bin_counts_for_the_bands_that_it_reaches_into():
    power = np.zeros(257)
    power[3] = 1.0  # 78.125 to 109.375 Hz; the band of 100 Hz begins at 89.125 Hz
    expected = (109.375 - 100 * 10**-0.05) / 31.25
    np.testing.assert_allclose(band_powers(power), [expected] + [0] * 18, atol=1e-12)


def test_white_noise_rises_by_a_decibel_per_band(tmp_path):
    """Of mean square 0.01 in 8000 Hz, a band has the share that it is wide."""
    noise = 0.1 * RNG.standard_normal(16_000 * 40)
    frequencies, levels = long_term_spectrum(audio_split(tmp_path / "test", [noise], shards=1))
    exact = 10.0 ** (np.arange(20, 39) / 10)
    expected = 10 * np.log10(0.01 / 8000 * exact * (10**0.05 - 10**-0.05))
    np.testing.assert_allclose(levels, expected, atol=0.4)
    assert frequencies[0] == 100
    assert frequencies[-1] == 6300


def test_power_is_averaged_over_windows_of_all_clips(tmp_path):
    """Silence of the same length takes away 3 dB; a clip three times as long counts three times."""
    tone = sine(1000, 0.1, 0.512)  # 31 windows
    silence = np.zeros(512 + 256 * 30)
    alone = long_term_spectrum(audio_split(tmp_path / "a", [tone], shards=1))
    half = long_term_spectrum(audio_split(tmp_path / "b", [tone, silence]))
    longer = [tone, np.zeros(512 + 256 * (3 * 31 - 1))]
    quarter = long_term_spectrum(audio_split(tmp_path / "c", longer))
    fall = [level_at(alone, 1000) - level_at(other, 1000) for other in (half, quarter)]
    windows = len(window_powers(tone))
    expected = [10 * np.log10((windows + other) / windows) for other in (31, 93)]
    assert fall == pytest.approx(expected, abs=1e-6)


def test_only_the_first_clips_where_wanted(tmp_path):
    folder = audio_split(tmp_path / "test", [sine(1000), sine(2000)], shards=1)
    assert level_at(long_term_spectrum(folder, max_clips=1), 2000) < -40
    for enough in (2, 3, None):
        assert level_at(long_term_spectrum(folder, enough), 2000) == pytest.approx(-6.02, abs=0.02)


def test_quiet_clips_keep_their_level(tmp_path):
    """FLAC holds them scaled up."""
    quiet = long_term_spectrum(audio_split(tmp_path / "test", [sine(1000, 1e-4)], shards=1))
    assert level_at(quiet, 1000) == pytest.approx(-83.01, abs=0.02)


def test_silence_has_the_lowest_level(tmp_path):
    silent = audio_split(tmp_path / "test", [np.zeros(16_000)], shards=1)
    with np.errstate(all="raise"):
        _, levels = long_term_spectrum(silent)
    np.testing.assert_array_equal(levels, np.full(19, -120.0))


def test_clips_shorter_than_a_window_are_left_out(tmp_path):
    sounds = [sine(1000), np.ones(511)]
    with_blip = long_term_spectrum(audio_split(tmp_path / "a", sounds, shards=1))
    without = long_term_spectrum(audio_split(tmp_path / "b", sounds[:1], shards=1))
    np.testing.assert_array_equal(with_blip, without)
    with pytest.raises(InputError, match=r"c: no clip lasts 0\.032 s"):
        long_term_spectrum(audio_split(tmp_path / "c", sounds[1:], shards=1))


READERS = [
    pytest.param(lambda folder: floor_shares(folder, BINS), logmel_features("float16"), id="floor"),
    pytest.param(long_term_spectrum, corpus_features(["path"]), id="spectrum"),
]


@pytest.mark.parametrize(("read", "features"), READERS)
def test_what_is_no_split_is_named(tmp_path, read, features):
    with pytest.raises(InputError, match="absent: no (log-Mel|audio) dataset .* Build it first"):
        read(tmp_path / "absent")
    Dataset.from_list([{"path": "a"}]).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(InputError, match="other: not the (log-Mel|audio) dataset of one split"):
        read(tmp_path / "other")
    shard = tmp_path / "empty" / shard_name(0, 1)
    row = logmel_row(np.zeros((1, BINS)), 0.0, "float16") | {"scale": 1.0}
    row["audio"] = {"bytes": b"", "path": "a.mp3"}
    write_split(tmp_path / "empty", features, [row], shards=1)
    write_shard(shard, features, [])
    with pytest.raises(InputError, match="empty: the split has no clip. Raise its max_clips"):
        read(tmp_path / "empty")


def test_shards_that_were_cut_are_named(tmp_path):
    clips = [log_mel(speech_like(0.5), BINS, 3000)]
    logmel = logmel_split(tmp_path / "logmel", clips, shards=1)
    audio = audio_split(tmp_path / "audio", [sine(440)], shards=1)
    for folder in (logmel, audio):
        shard = folder / "data-00000-of-00001.arrow"
        shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"logmel/data-00000-of-00001.arrow: not a complete shard"):
        floor_shares(logmel, BINS)
    with pytest.raises(InputError, match=r"audio/data-00000-of-00001.arrow: not a complete shard"):
        long_term_spectrum(audio)


def test_a_shard_that_is_damaged_within_is_named(tmp_path):
    clips = [(RNG.uniform(0, 1, (100, BINS)), 0.0)] * 60  # 3 batches
    folder = logmel_split(tmp_path / "test", clips, shards=1)
    shard = folder / "data-00000-of-00001.arrow"
    with open(shard, "rb") as file, pa.ipc.open_stream(file) as stream:
        second = next(file.tell() for _ in stream)
    content = bytearray(shard.read_bytes())
    content[second : second + 8] = b"damaged!"
    shard.write_bytes(content)
    with pytest.raises(InputError, match="test: no log-Mel dataset .* Build it first"):
        floor_shares(folder, BINS)


def test_a_clip_that_cannot_be_decoded_is_named(tmp_path):
    audio = {"bytes": b"fLaC and no more", "path": "a.mp3"}
    row = {"audio": audio, "scale": 1.0, "path": "a.mp3", "duration": 1.0}
    folder = write_split(tmp_path / "test", corpus_features(["path"]), [row], shards=1)
    with pytest.raises(InputError, match=r"00001.arrow: clip a.mp3: .* The shard is damaged"):
        long_term_spectrum(folder)


@pytest.fixture
def splits(tmp_path):
    sounds = [speech_like(1.0, seed) for seed in range(3)]
    clips = [log_mel(samples, BINS, 3000) for samples in sounds]
    audio = {"unmasked": sounds, "hfloss": sounds[:1], "none": sounds[1:]}
    return {
        "audio": {name: audio_split(tmp_path / "a" / name, clips) for name, clips in audio.items()},
        "logmel": {name: logmel_split(tmp_path / name, clips) for name in ("hfloss", "none")},
        "audiograms": {"hfloss": HFLOSS, "none": {1000: 0}},
        "num_mel_bins": BINS,
    }


def write(folder, splits):
    kinds = ("floor", "spectrum", "sii")
    files = {kind: folder / f"{kind}.csv" for kind in kinds}
    write_information(**splits, **{f"{kind}_csv": path for kind, path in files.items()})
    return {
        kind: pd.read_csv(path, dtype={"variant": str}, keep_default_na=False)
        for kind, path in files.items()
    }


def test_tables_hold_what_was_measured(tmp_path, splits, caplog):
    with caplog.at_level(logging.INFO):
        tables = write(tmp_path / "out", splits)
    floor, spectrum, sii = tables["floor"], tables["spectrum"], tables["sii"]
    assert list(floor) == ["variant", "mel_bin", "frequency_hz", "share_at_floor"]
    assert list(spectrum) == ["variant", "frequency_hz", "level_db"]
    assert list(sii) == ["variant", "sii"]
    assert list(floor["variant"].unique()) == list(sii["variant"]) == ["hfloss", "none"]
    assert list(spectrum["variant"].unique()) == ["unmasked", "hfloss", "none"]
    for name, rows in floor.groupby("variant"):
        assert rows["mel_bin"].tolist() == list(range(BINS))
        np.testing.assert_allclose(rows["frequency_hz"], mel_centres(BINS), rtol=1e-5)
        expected = floor_shares(splits["logmel"][name], BINS)
        np.testing.assert_allclose(rows["share_at_floor"], expected, rtol=1e-5)
    for name, rows in spectrum.groupby("variant"):
        expected = long_term_spectrum(splits["audio"][name])
        np.testing.assert_allclose(rows[["frequency_hz", "level_db"]].T, expected, rtol=1e-5)
    hfloss = audiogram_index(Audiogram.from_config(HFLOSS, "hfloss"))
    none = audiogram_index(Audiogram((1000.0,), (0.0,)))
    assert sii["sii"].tolist() == pytest.approx([hfloss, none], rel=1e-5)
    assert sum("clips" in record.message for record in caplog.records) >= 5


def test_tables_repeat_byte_for_byte(tmp_path, splits):
    for name in "ab":
        write(tmp_path / name, splits)
    for kind in ("floor", "spectrum", "sii"):
        first, second = (tmp_path / name / f"{kind}.csv" for name in "ab")
        assert first.read_bytes() == second.read_bytes()


def test_a_wrong_audiogram_is_named_before_anything_is_measured(tmp_path, splits):
    splits["audiograms"]["none"] = {"1000": "x"}
    with pytest.raises(InputError, match=r"variants\.none\.audiogram"):
        write(tmp_path / "out", splits)
    assert not (tmp_path / "out").exists()
