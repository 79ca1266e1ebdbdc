"""Log-Mel rows and batches, against transformers' own feature extractor and label shifting."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import load_from_disk
from torch.utils.data import DataLoader
from transformers import WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import shift_tokens_right

from hearing_asr.errors import InputError
from hearing_asr.models import ModelSpec, load_tokenizer, whisper_config
from hearing_asr.training_data import ClipOrder, LogMelCollator, LogMelDataset
from tests.unit.toys import toy_clips, toy_model, toy_samples

SPEC = ModelSpec(80, 100, 32, True)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A folder with a model and eight clips in float32."""
    folder = tmp_path_factory.mktemp("training_data")
    model = toy_model(folder / "model")
    toy_clips(folder / "train", model, dtype="float32")
    return folder


def prefix(toy):
    return load_tokenizer(toy / "model", "en", "transcribe").prefix_tokens


def test_several_variants_follow_each_other(toy):
    toy_clips(toy / "dev", toy / "model", clips=3, dtype="float32", padding=-0.25)
    both = LogMelDataset([toy / "train", toy / "dev"])
    train, dev = LogMelDataset([toy / "train"]), LogMelDataset([toy / "dev"])
    assert len(both) == len(train) + len(dev)
    assert both.fingerprint == f"{train.fingerprint}-{dev.fingerprint}"
    assert both.hours == pytest.approx(train.hours + dev.hours)
    assert both[len(train)]["padding"] == -0.25 != both[0]["padding"]
    for place, row in ((0, train[0]), (len(train), dev[0]), (len(both) - 1, dev[len(dev) - 1])):
        np.testing.assert_array_equal(both[place]["logmel"], row["logmel"])
        np.testing.assert_array_equal(both[place]["labels"], row["labels"])
    both.check(SPEC, prefix(toy))
    few = LogMelDataset([toy / "train", toy / "dev"], max_clips=5)
    rows = few.__getitems__(list(range(5)))
    for row, expected in zip(rows, [train[0], train[1], train[2], dev[0], dev[1]], strict=True):
        np.testing.assert_array_equal(row["logmel"], expected["logmel"])


def test_batch_is_what_the_feature_extractor_makes(toy):
    spec = whisper_config(toy / "model")
    dataset = LogMelDataset([toy / "train"])
    collate = LogMelCollator(spec.num_mel_bins, spec.window_frames)
    batch = collate(dataset.__getitems__([3, 0, 5]))["input_features"]
    extractor = WhisperFeatureExtractor.from_pretrained(toy / "model")
    samples = [toy_samples(clip) for clip in (3, 0, 5)]
    theirs = extractor(samples, sampling_rate=16_000, return_tensors="pt").input_features
    assert batch.dtype == torch.float32
    assert batch.shape == theirs.shape == (3, 80, 100)
    torch.testing.assert_close(batch, theirs, rtol=0, atol=2e-6)


def test_half_precision_is_widened(toy, tmp_path):
    stored = toy_clips(tmp_path / "half", toy / "model", 3, dtype="float16")
    collate = LogMelCollator(80, 100)
    half = collate(LogMelDataset([stored]).__getitems__([0, 1, 2]))["input_features"]
    full = collate(LogMelDataset([toy / "train"]).__getitems__([0, 1, 2]))["input_features"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0, atol=1e-3)


def test_labels_become_the_decoders_input(toy):
    dataset = LogMelDataset([toy / "train"])
    rows = dataset.__getitems__([0, 1])
    lengths = [len(row["labels"]) for row in rows]
    assert lengths[0] < lengths[1]
    labels = LogMelCollator(80, 100)(rows)["labels"]
    assert labels.dtype == torch.int64
    assert labels.shape == (2, lengths[1] - 1)
    assert (labels[0, lengths[0] - 1 :] == -100).all()
    assert (labels >= 0).sum().item() == sum(lengths) - 2
    tokenizer = load_tokenizer(toy / "model", "en", "transcribe")
    shifted = shift_tokens_right(labels, tokenizer.pad_token_id, tokenizer.prefix_tokens[0])
    assert shifted[1].tolist() == rows[1]["labels"].tolist()[:-1]
    assert labels[1].tolist() == rows[1]["labels"].tolist()[1:]


def test_rows_read_together_or_alone_are_the_same(toy):
    dataset = LogMelDataset([toy / "train"])
    plain = load_from_disk(str(toy / "train"))
    assert len(dataset) == len(plain) == 8
    for index, row in zip([6, 1, 1], dataset.__getitems__([6, 1, 1]), strict=True):
        alone = dataset[index]
        for name in ("logmel", "labels"):
            np.testing.assert_array_equal(row[name], alone[name])
            np.testing.assert_array_equal(row[name], plain[index][name])
        assert row["padding"] == alone["padding"] == np.float32(plain[index]["padding"])


def test_workers_read_the_same_batches(toy):
    dataset, collate = LogMelDataset([toy / "train"]), LogMelCollator(80, 100)
    alone = list(DataLoader(dataset, batch_size=3, collate_fn=collate))
    worked = list(DataLoader(dataset, batch_size=3, collate_fn=collate, num_workers=1))
    assert len(alone) == len(worked) == 3
    for here, there in zip(alone, worked, strict=True):
        assert torch.equal(here["input_features"], there["input_features"])
        assert torch.equal(here["labels"], there["labels"])


def test_first_clips_and_hours(toy):
    durations = [len(toy_samples(clip)) / 16_000 for clip in range(8)]
    assert LogMelDataset([toy / "train"]).hours == pytest.approx(sum(durations) / 3600)
    few = LogMelDataset([toy / "train"], max_clips=3)
    assert len(few) == 3
    assert few.hours == pytest.approx(sum(durations[:3]) / 3600)
    assert len(LogMelDataset([toy / "train"], max_clips=100)) == 8
    assert few.fingerprint == load_from_disk(str(toy / "train"))._fingerprint


def test_a_dataset_that_fits(toy):
    LogMelDataset([toy / "train"]).check(SPEC, prefix(toy))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (ModelSpec(128, 100, 32, True), "80 mel bins, but the model takes 128"),
        (ModelSpec(80, 50, 32, True), "frames of 10 ms, but the model takes 50"),
        (ModelSpec(80, 100, 6, True), "label positions, but the model takes 6"),
    ],
)
def test_a_dataset_for_another_model(toy, spec, message):
    dataset = LogMelDataset([toy / "train"])
    with pytest.raises(InputError, match=message):
        dataset.check(spec, prefix(toy))


def test_the_longest_label_fits_exactly(toy):
    longest = max(len(labels) for labels in load_from_disk(str(toy / "train"))["labels"])
    dataset = LogMelDataset([toy / "train"])
    dataset.check(ModelSpec(80, 100, longest - 1, True), prefix(toy))
    with pytest.raises(InputError, match=r"clip clip_\d\.mp3"):
        dataset.check(ModelSpec(80, 100, longest - 2, True), prefix(toy))


def test_one_clip_with_other_mel_bins(toy, tmp_path):
    good = load_from_disk(str(toy / "train"))
    mixed = good.map(lambda row, i: {"frames": 50 if i == 5 else row["frames"]}, with_indices=True)
    mixed.save_to_disk(str(tmp_path / "mixed"))
    with pytest.raises(InputError, match="mel bins"):
        LogMelDataset([tmp_path / "mixed"]).check(SPEC, prefix(toy))


def test_labels_for_another_language(toy):
    german = load_tokenizer(toy / "model", "de", "transcribe").prefix_tokens
    with pytest.raises(InputError, match="another model, language or task"):
        LogMelDataset([toy / "train"]).check(SPEC, german)


def test_folders_without_clips(toy, tmp_path):
    with pytest.raises(InputError, match="no log-Mel dataset"):
        LogMelDataset([tmp_path / "absent"])
    (shard,) = toy_clips(tmp_path / "empty", toy / "model", clips=1).glob("*.arrow")
    schema = pa.ipc.open_stream(shard.read_bytes()).schema
    with pa.ipc.new_stream(str(shard), schema):
        pass
    with pytest.raises(InputError, match="no clip"):
        LogMelDataset([tmp_path / "empty"])
    load_from_disk(str(toy / "train")).remove_columns("logmel").save_to_disk(str(tmp_path / "bare"))
    with pytest.raises(InputError, match="not the log-Mel dataset of one split"):
        LogMelDataset([tmp_path / "bare"])


def test_every_epoch_takes_every_clip_once_in_another_order():
    order = list(ClipOrder(clips=7, length=24, seed=3))
    epochs = [order[begin : begin + 7] for begin in (0, 7, 14)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    assert len(order) == len(ClipOrder(7, 24, 3)) == 24
    assert order == list(ClipOrder(7, 24, 3))
    assert order[:9] == list(ClipOrder(7, 9, 3))  # a longer training begins in the same way
    assert order != list(ClipOrder(7, 24, 4))


def test_more_clips_in_a_step_than_there_are():
    assert sorted(list(ClipOrder(clips=2, length=5, seed=0))[:4]) == [0, 0, 1, 1]
