"""Log-Mel datasets: what a model is trained and tested on, made of shards of audio."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Features, List, Value

from hearing_asr.audio import SAMPLE_RATE, UndecodableError, damaged_clip, decode_flac
from hearing_asr.corpus import LABEL_TOO_LONG, LONGER_THAN_WINDOW, RejectedClip
from hearing_asr.errors import InputError
from hearing_asr.features import log_mel
from hearing_asr.joblog import progress
from hearing_asr.models import FRAMES_PER_SECOND, whisper_config
from hearing_asr.quarantine import write_quarantine
from hearing_asr.shards import count_rows, read_rows, read_shard, write_shard

Tokenize = Callable[[str], list[int]]


@dataclass(frozen=True)
class FeatureSpec:
    """What a model wants of its input.

    Attributes:
        num_mel_bins: 80 or 128.
        window_frames: frames (10 ms) of its window; 3000 for Whisper as released.
        max_labels: positions of its decoder; 448 for Whisper as released.
        dtype: `float16` or `float32`, in which the spectrogram is stored.
    """

    num_mel_bins: int
    window_frames: int
    max_labels: int
    dtype: str = "float16"


def feature_spec(model: str | Path, num_mel_bins: int, dtype: str) -> FeatureSpec:
    """What the model in a folder wants, checked against the configured number of mel bins.

    Raises:
        InputError: not a Whisper model, or one with another number of mel bins.
    """
    config = whisper_config(model)
    if config.num_mel_bins != num_mel_bins:
        raise InputError(
            f"features.num_mel_bins: {num_mel_bins}, but the model in {model} wants "
            f"{config.num_mel_bins}; set it to {config.num_mel_bins}"
        )
    return FeatureSpec(num_mel_bins, config.window_frames, config.max_target_positions, dtype)


def logmel_features(dtype: str) -> Features:
    """Columns of a log-Mel dataset; `logmel` is (frames * num_mel_bins,), frame after frame."""
    return Features(
        {
            "path": Value("string"),
            "client_id": Value("string"),
            "sentence": Value("string"),
            "duration": Value("float32"),
            "frames": Value("int32"),
            "padding": Value("float32"),
            "logmel": List(Value(dtype)),
            "labels": List(Value("int32")),
        }
    )


def logmel_shard(
    source: str | Path,
    output: str | Path,
    rejected: str | Path,
    spec: FeatureSpec,
    tokenize: Tokenize,
    shuffle_seed: int | None = None,
) -> None:
    """Turn a shard of audio into a shard of log-Mel spectrograms and labels.

    Args:
        source: Arrow file of the corpus or of masked audio.
        output: Arrow file to write.
        rejected: TSV file: clips that the model cannot take whole (longer than its window, or
            with more labels than its decoder has positions). They are never cut.
        spec: what the model wants.
        tokenize: sentence to label token ids, with Whisper's prefix and end token.
        shuffle_seed: order the rows at random; None keeps their order. Clips are spread over
            shards at random already, so shuffled shards make a shuffled split. The order follows
            from the seed and the shard's name and is that of every variant.
    """
    torch.set_num_threads(1)  # shards are what runs in parallel
    rejections: list[tuple[str, str, str]] = []

    def converted() -> Iterator[dict]:
        rows = _ordered(source, shuffle_seed)
        for row in progress(rows, str(output)):
            try:
                yield _convert(row, spec, tokenize)
            except UndecodableError as error:
                raise InputError(damaged_clip(source, row["path"], error)) from None
            except RejectedClip as rejection:
                rejections.append((row["path"], rejection.reason, rejection.detail))

    write_shard(output, logmel_features(spec.dtype), converted())
    write_quarantine(rejected, rejections)


def _ordered(source: str | Path, shuffle_seed: int | None) -> Iterator[dict]:
    if shuffle_seed is None:
        return read_shard(source)
    seed = [shuffle_seed, *Path(source).name.encode()]
    order = np.random.default_rng(seed).permutation(count_rows(source))
    return read_rows(source, order.tolist())


def _convert(row: Mapping, spec: FeatureSpec, tokenize: Tokenize) -> dict:
    labels = tokenize(row["sentence"])
    positions = len(labels) - 1  # the decoder is given all but the last and predicts all but one
    if positions > spec.max_labels:
        raise RejectedClip(LABEL_TOO_LONG, f"{positions} of {spec.max_labels} positions")
    samples = decode_flac(row["audio"]["bytes"], row["scale"])
    window = spec.window_frames / FRAMES_PER_SECOND
    if len(samples) > window * SAMPLE_RATE:
        raise RejectedClip(LONGER_THAN_WINDOW, f"{row['duration']:.2f} s of {window:g} s")
    valid, padding = log_mel(samples, spec.num_mel_bins, spec.window_frames)
    return {
        "path": row["path"],
        "client_id": row["client_id"],
        "sentence": row["sentence"],
        "duration": row["duration"],
        "frames": len(valid),
        "padding": padding,
        "logmel": valid.ravel().astype(spec.dtype),
        "labels": np.asarray(labels, np.int32),
    }
