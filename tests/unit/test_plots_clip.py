"""One clip under every variant: the right clip, the right numbers, the share at the floor."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from datasets import Audio, Features, Value
from matplotlib.figure import Figure
from transformers import WhisperFeatureExtractor

from hearing_asr.audio import encode_flac
from hearing_asr.errors import InputError
from hearing_asr.features import log_mel
from hearing_asr.plots import clip as plots
from hearing_asr.shards import gather, shard_name, write_shard
from tests.conftest import speech_like

FEATURES = Features(
    {
        "audio": Audio(sampling_rate=16_000, decode=False),
        "scale": Value("float32"),
        "path": Value("string"),
        "sentence": Value("string"),
        "duration": Value("float32"),
    }
)
DURATIONS = {"d.mp3": 0.7, "b.mp3": 0.9, "a.mp3": 0.9, "c.mp3": 2.5, "e.mp3": 0.5}
OPTIONS = {"num_mel_bins": 80, "window_frames": 200, "dpi": 30}


def samples_of(clip, loudness=1.0):
    """Half a clip of sound, then silence, which is what lies at the floor."""
    samples = loudness * speech_like(DURATIONS[clip], seed=ord(clip[0]))
    samples[len(samples) // 2 :] = 0
    return samples


def write_variant(folder, loudness):
    shards = []
    clips = list(DURATIONS)
    for index, part in enumerate((clips[:2], clips[2:])):
        shards.append(folder / "test" / shard_name(index, 2))
        rows = []
        for clip in part:
            flac, scale = encode_flac(samples_of(clip, loudness))
            rows.append(
                {
                    "audio": {"bytes": flac, "path": clip},
                    "scale": scale,
                    "path": clip,
                    "sentence": "$5 for \\frac or $6",
                    "duration": DURATIONS[clip],
                }
            )
        write_shard(shards[-1], FEATURES, rows)
    gather(folder, {"test": shards})
    return folder / "test"


@pytest.fixture(scope="module")
def audio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return {
        name: write_variant(folder / name, loudness)
        for name, loudness in {"unmasked": 1.0, "loud": 1.9, "quiet": 1e-3}.items()
    }


def view(clip="a.mp3", loudness=1.0, window_frames=200):
    samples = samples_of(clip, loudness)
    mel, floor = log_mel(samples, 80, window_frames)
    return plots.ClipView(samples, mel, float(floor))


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "jpg"])
def test_figure_and_table_repeat_byte_for_byte(audio, tmp_path, suffix):
    for name in "xy":
        path = tmp_path / f"{name}.{suffix}"
        plots.plot_clip(audio, clip=None, path=path, csv=tmp_path / f"{name}.csv", **OPTIONS)
    assert (tmp_path / f"x.{suffix}").read_bytes() == (tmp_path / f"y.{suffix}").read_bytes()
    assert (tmp_path / "x.csv").read_bytes() == (tmp_path / "y.csv").read_bytes()


def test_table_against_a_direct_computation(audio, tmp_path):
    """Share at the floor from transformers' own features: log10 mel at 8 below its maximum."""
    plots.plot_clip(audio, clip="b.mp3", path=tmp_path / "c.png", csv=tmp_path / "c.csv", **OPTIONS)
    table = pd.read_csv(tmp_path / "c.csv").set_index("variant")
    assert list(table.index) == ["unmasked", "loud", "quiet"]
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=2)
    for name, loudness in {"unmasked": 1.0, "loud": 1.9, "quiet": 1e-3}.items():
        samples = samples_of("b.mp3", loudness)
        features = extractor(samples, sampling_rate=16_000, return_tensors="np").input_features[0]
        mel = features[:, : table.loc[name, "frames"]]
        at_floor = mel <= max(mel.max() - 2.0, -1.5) + 1e-6
        assert 0.3 < at_floor.mean() < 0.7
        assert table.loc[name, "cells"] == mel.size
        # One cell in a thousand may lie on either side of the edge by rounding.
        assert table.loc[name, "floor_share"] == pytest.approx(at_floor.mean(), abs=1e-3)
        assert table.loc[name, "cells_at_floor"] / mel.size == table.loc[name, "floor_share"]
        level = 20 * np.log10(np.abs(samples).max())
        assert table.loc[name, "peak_dbfs"] == pytest.approx(level, abs=0.006)
        rms = 20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)))
        assert table.loc[name, "rms_dbfs"] == pytest.approx(rms, abs=0.006)


def test_floor_share_of_known_cells():
    mel = np.array([[1.0, -1.0], [-1.0, 0.5]], np.float32)
    assert plots.ClipView(np.zeros(1), mel, -1.0).floor_share == 0.5
    assert plots.ClipView(np.zeros(1), mel, -1.0).at_floor.tolist() == [
        [False, True],
        [True, False],
    ]


def test_clip_of_median_length_is_chosen_whatever_the_order(audio):
    split = plots._open(audio["unmasked"])
    # Median of 0.5, 0.7, 0.9, 0.9 (2.5 does not fit 2 s) is 0.8: three are equally near.
    assert plots.typical_clip(split, "", 2.0) == "a.mp3"
    assert plots.typical_clip(split.select([4, 3, 2, 1, 0]), "", 2.0) == "a.mp3"
    assert plots.typical_clip(split, "", 0.6) == "e.mp3"
    with pytest.raises(InputError, match="no clip fits the model's window of 0.1 s"):
        plots.typical_clip(split, "", 0.1)


def test_unknown_clip_names_some_that_exist(audio, tmp_path):
    with pytest.raises(InputError, match=r"'z.mp3' is not among the 5 clips .*a\.mp3, b\.mp3"):
        plots.plot_clip(audio, clip="z.mp3", path=tmp_path / "c.png", csv=tmp_path / "c", **OPTIONS)
    assert not list(tmp_path.iterdir())


def test_clip_longer_than_the_window(audio, tmp_path):
    with pytest.raises(InputError, match=r"'c.mp3' lasts 2.50 s, longer than .* window of 2 s"):
        plots.plot_clip(audio, clip="c.mp3", path=tmp_path / "c.png", csv=tmp_path / "c", **OPTIONS)


def test_missing_dataset_is_named(tmp_path):
    with pytest.raises(InputError, match="absent: no audio dataset there"):
        plots.plot_clip({"a": tmp_path / "absent"}, clip=None, path="c.png", csv="c.csv", **OPTIONS)


@pytest.mark.parametrize("columns", [1, 3, 13])
def test_columns_share_their_scales_and_tell_the_floor(columns):
    views = {f"variant_{index}": view(loudness=0.5**index) for index in range(columns)}
    fig = Figure(figsize=(12, 8))
    plots.draw_clip(fig, views)
    axes = np.array(fig.axes[: 3 * columns]).reshape(3, columns)
    assert [ax.get_title() for ax in axes[0]] == list(views)
    shares = [f"{shown.floor_share:.1%} at floor" for shown in views.values()]
    assert [ax.get_title() for ax in axes[2]] == shares
    for row in axes[1:]:
        assert len({ax.get_images()[0].get_clim() for ax in row}) == 1
    assert len({ax.get_ylim() for ax in axes[0]}) == 1
    quietest = min(shown.floor for shown in views.values())
    loudest = max(shown.mel.max() for shown in views.values())
    assert axes[2, 0].get_images()[0].get_clim() == (quietest, loudest)
    heard = axes[2, 0].get_images()[0].get_array()
    np.testing.assert_array_equal(heard.mask, views["variant_0"].at_floor.T)
    assert heard.mask.any()


def test_titles_of_many_columns_do_not_touch():
    fig = Figure(figsize=(12, 8), layout="constrained")
    plots.draw_clip(fig, {f"presbycusis_n{index}": view() for index in range(13)})
    fig.draw_without_rendering()
    for row in (0, 2):
        boxes = [ax.title.get_window_extent() for ax in fig.axes[13 * row : 13 * (row + 1)]]
        assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


def test_level_of_a_sine_at_full_scale_is_zero_decibels():
    time = np.arange(16_000) / 16_000
    levels = plots.spectrogram(np.sin(2 * np.pi * 1000 * time))
    assert levels.shape == (201, 101)
    assert levels[25, 50] == pytest.approx(0.0, abs=1e-6)  # 25 bins of 40 Hz
    assert levels[50, 50] < -100


def test_waveform_keeps_every_peak():
    samples = np.zeros(16_000, np.float32)
    samples[12_345], samples[4_321] = 0.7, -0.6
    ax = Figure().subplots()
    plots._draw_waveform(ax, samples)
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx(0.7)
    assert corners[:, 1].min() == pytest.approx(-0.6)
    assert corners[corners[:, 1].argmax(), 0] == pytest.approx(12_345 / 16_000, abs=1e-3)
