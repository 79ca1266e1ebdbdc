"""Log-Mel on disk: padded float32 in nested lists against valid frames in float16."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import pipeline, speech
from benchmarks.common import Row, Section
from hearing_asr.audio import SAMPLE_RATE, decode

PROMISED = 11


@dataclass(frozen=True)
class Stored:
    """The same clips, stored in two ways: dataset folders of one split."""

    padded: Path
    here: Path
    clips: int


def store(release: Path, model: Path, folder: Path) -> Stored:
    """Store the clips of a release as a script would, and as the workflow does."""
    pipeline.build(release, model, folder / "data")
    padded = folder / "padded"
    _store_padded(release, model, padded)
    clips = len(speech.clip_files(release))
    return Stored(padded, folder / "data" / "normal" / "logmel" / pipeline.SPLIT, clips)


def measure(stored: Stored) -> Section:
    """Bytes of the Arrow files per clip, in kB."""
    rows = [
        Row(
            f"{speech.LONG:g} s clips, {pipeline.NUM_MEL_BINS} mel bins",
            _bytes(stored.padded) / stored.clips / 1e3,
            _bytes(stored.here) / stored.clips / 1e3,
            PROMISED,
        )
    ]
    return Section("Log-Mel storage: kB per clip", "padded lists", "here", rows)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.arrow"))


def _store_padded(release: Path, model: Path, folder: Path) -> None:
    """What a script's `map` leaves: features as nested lists of 128 x 3000 numbers, and labels."""
    from datasets import Dataset, Features, List, Value
    from transformers import WhisperFeatureExtractor

    from hearing_asr.models import load_tokenizer

    extractor = WhisperFeatureExtractor(feature_size=pipeline.NUM_MEL_BINS)
    tokenizer = load_tokenizer(model, "en", "transcribe")
    columns = Features(
        {"input_features": List(List(Value("float32"))), "labels": List(Value("int32"))}
    )

    def rows() -> Iterator[dict]:
        clips = zip(speech.clip_files(release), speech.sentences(release), strict=True)
        for data, sentence in clips:
            samples = decode(data)
            padded = extractor(samples, sampling_rate=SAMPLE_RATE).input_features[0]
            labels = np.asarray(tokenizer(sentence).input_ids, np.int32)
            yield {"input_features": padded, "labels": labels}

    table = Dataset.from_list(list(rows()), features=columns)
    table.save_to_disk(folder, max_shard_size="50GB")
