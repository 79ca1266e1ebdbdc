"""Log-Mel datasets as training reads them: memory-mapped rows, batches as Whisper wants them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset, concatenate_datasets, load_from_disk
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from hearing_asr.errors import InputError
from hearing_asr.features import fill_logmel
from hearing_asr.models import ModelSpec

IGNORED = -100  # label that PyTorch's cross-entropy leaves out
COLUMNS = ("logmel", "padding", "labels")  # what a model is given; the rest tells about the clips


class LogMelDataset(TorchDataset):
    """Clips of one split, of one variant or of several one behind the other, memory-mapped.

    A row is a mapping with `logmel` (frames * num_mel_bins,) as stored, frame after frame,
    `padding` (the constant behind the valid frames) and `labels` (token ids).

    Attributes:
        folder: where the clips lie, in words.
        fingerprint: changes with every change of the data.
    """

    def __init__(self, folders: Sequence[str | Path], max_clips: int | None = None) -> None:
        """Open the datasets in `folders`, or their first clips, `max_clips` in all.

        Raises:
            InputError: no log-Mel dataset of one split in a folder, or one without a clip.
        """
        self.folder = ", ".join(map(str, folders))
        parts = [_open(folder) for folder in folders]
        self.fingerprint = "-".join(part._fingerprint for part in parts)
        if max_clips is not None:
            more = max_clips % len(parts)
            shares = [max_clips // len(parts) + (place < more) for place in range(len(parts))]
            parts = [
                part.select(range(share)) if share < len(part) else part
                for part, share in zip(parts, shares, strict=True)
            ]
        clips = concatenate_datasets(parts) if len(parts) > 1 else parts[0]
        self._clips = clips
        self._rows = clips.with_format("numpy", columns=list(COLUMNS))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._rows[index]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The rows of a batch, read together (PyTorch's DataLoader asks for them so)."""
        batch = self._rows[list(indices)]
        return [dict(zip(batch, row, strict=True)) for row in zip(*batch.values(), strict=True)]

    @property
    def hours(self) -> float:
        """Duration of all clips together, in hours."""
        return pc.sum(self._column("duration")).as_py() / 3600

    def check(self, spec: ModelSpec, prefix: Sequence[int]) -> None:
        """Make sure that a model can be trained on every clip, before the first step.

        Args:
            spec: of the model.
            prefix: the token ids that labels begin with for this model, language and task.

        Raises:
            InputError: other mel bins, clips longer than the model's window, labels longer than
                its positions or made for another model, language or task.
        """
        frames = self._column("frames")
        sizes = pc.list_value_length(self._column("logmel"))
        bins = pc.unique(pc.divide(pc.cast(sizes, pa.float64()), pc.cast(frames, pa.float64())))
        if bins.to_pylist() != [spec.num_mel_bins]:
            found = ", ".join(f"{value:g}" for value in bins.to_pylist()[:3])
            raise InputError(
                f"{self.folder}: clips with {found} mel bins, but the model takes "
                f"{spec.num_mel_bins}. Set features.num_mel_bins to {spec.num_mel_bins}."
            )
        positions = pc.subtract(pc.list_value_length(self._column("labels")), 1)
        self._check_longest(frames, spec.window_frames, "frames of 10 ms")
        self._check_longest(positions, spec.max_target_positions, "label positions")
        labels = self[0]["labels"].tolist()
        if labels[: len(prefix)] != list(prefix):
            raise InputError(
                f"{self.folder}: labels begin with {labels[: len(prefix)]}, not with "
                f"{list(prefix)}: they were made for another model, language or task. Build the "
                "log-Mel dataset again with the present config."
            )

    def _check_longest(self, lengths: pa.ChunkedArray, limit: int, unit: str) -> None:
        longest = pc.max(lengths).as_py()
        if longest > limit:
            path = self._clips[pc.index(lengths, longest).as_py()].get("path")
            raise InputError(
                f"{self.folder}: clip {path} has {longest} {unit}, but the model takes {limit}. "
                "Build the log-Mel dataset again with the present config."
            )

    def _column(self, name: str) -> pa.ChunkedArray:
        return self._clips.with_format("arrow", columns=[name])[:][name]


def _open(folder: str | Path) -> Dataset:
    try:
        clips = load_from_disk(str(folder))
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{folder}: no log-Mel dataset ({error}). Build it first.") from None
    if not isinstance(clips, Dataset) or not set(COLUMNS) <= set(clips.column_names):
        raise InputError(f"{folder}: not the log-Mel dataset of one split. Name its folder.")
    if len(clips) == 0:
        raise InputError(f"{folder}: the split has no clip. Raise its max_clips.")
    return clips


class ClipOrder(Sampler[int]):
    """The order in which a training takes its clips, from the first step to the last.

    Epochs, each shuffled anew, follow each other without a gap, and every step takes the next
    clips, as many as the effective batch size says, even where an epoch ends in the middle of a
    step. So every step sees the same clips, however they are divided among processes and
    accumulated batches, wherever the training was interrupted, and no clip is left out or
    repeated to fill up a batch.
    """

    def __init__(self, clips: int, length: int, seed: int) -> None:
        """Order `clips` clips so that `length` are taken in all; the order depends on `seed`."""
        self.clips = clips
        self.length = length
        self.seed = seed

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed)
        for begin in range(0, self.length, self.clips):
            epoch = torch.randperm(self.clips, generator=generator)
            yield from epoch[: self.length - begin].tolist()


class LogMelCollator:
    """Makes a batch of rows: spectrograms padded to the model's window, labels to the longest."""

    def __init__(self, num_mel_bins: int, window_frames: int) -> None:
        self.num_mel_bins = num_mel_bins
        self.window_frames = window_frames

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Make a batch.

        Returns:
            `input_features` float32 (clips, num_mel_bins, window_frames) and `labels` int64
            (clips, longest), -100 behind each clip's last token. <|startoftranscript|> is left
            out: the model puts it in front when it shifts the labels to the decoder's input.
        """
        shape = (len(rows), self.num_mel_bins, self.window_frames)
        spectrograms = np.empty(shape, np.float32)
        for spectrogram, row in zip(spectrograms, rows, strict=True):
            valid = row["logmel"].reshape(-1, self.num_mel_bins)
            fill_logmel(spectrogram, valid, row["padding"])
        texts = [row["labels"][1:] for row in rows]
        labels = np.full((len(rows), max(map(len, texts))), IGNORED, np.int64)
        for line, text in zip(labels, texts, strict=True):
            line[: len(text)] = text
        return {
            "input_features": torch.from_numpy(spectrograms),
            "labels": torch.from_numpy(labels),
        }
