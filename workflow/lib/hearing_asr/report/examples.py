"""Clips to read and to listen to: what was said, what each model wrote, how each variant sounds."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
from rapidfuzz.distance import Levenshtein

from hearing_asr.audio import SAMPLE_RATE, UndecodableError, damaged_clip, decode_flac
from hearing_asr.errors import InputError
from hearing_asr.predictions import read_predictions
from hearing_asr.shards import read_shard

LONGEST = 12.0  # s: longer clips would make the report large
TEXTS = ("path", "duration", "reference", "hypothesis")
NORMALIZED = ("reference_normalized", "hypothesis_normalized")


@dataclass(frozen=True)
class Written:
    """What a model wrote of a clip.

    Attributes:
        model, variant: names.
        hypothesis: raw.
        words: (word, what it is: same, wrong, missing or added; the word that was said in place
            of a wrong one, else ""), of normalized texts.
    """

    model: str
    variant: str
    hypothesis: str
    words: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Example:
    """A clip.

    Attributes:
        path: name of the clip.
        reference: raw.
        sounds: variant -> data URI of its audio.
        written: by each model that was asked, of each variant.
    """

    path: str
    reference: str
    sounds: Mapping[str, str]
    written: Sequence[Written]


def choose(predictions: str | Path, count: int, seed: int) -> list[str]:
    """Draw clips at random: not the best, not the worst, and the same ones every time.

    Clips longer than LONGEST, and those without words in their reference, are left out.

    Args:
        predictions: any prediction file of the run.
        count: how many.
        seed: of the draw.

    Returns:
        Paths, in the order of the file; fewer where there are not as many.
    """
    clips = read_predictions(predictions, (*TEXTS, *NORMALIZED))
    usable = clips[(clips["duration"] <= LONGEST) & (clips["reference_normalized"] != "")]
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(usable), min(count, len(usable)), replace=False)
    return usable["path"].iloc[np.sort(drawn)].tolist()


def examples(
    paths: Sequence[str],
    predictions: Mapping[tuple[str, str], str | Path],
    audio: Mapping[str, Sequence[str | Path]],
) -> list[Example]:
    """Gather what there is to read and to hear of the clips `paths`.

    Args:
        predictions: (model, variant) -> prediction file.
        audio: variant -> Arrow files of its audio.

    Raises:
        InputError: a file cannot be read.
    """
    texts = {
        cell: read_predictions(file, (*TEXTS, *NORMALIZED)).set_index("path").loc[paths]
        for cell, file in predictions.items()
    }
    sounds = {name: _sounds(shards, set(paths)) for name, shards in audio.items()}
    first = next(iter(texts.values()))
    return [
        Example(
            path,
            first.loc[path, "reference"],
            {name: found[path] for name, found in sounds.items()},
            [
                Written(
                    model,
                    variant,
                    of.loc[path, "hypothesis"],
                    compare(*(of.loc[path, column] for column in NORMALIZED)),
                )
                for (model, variant), of in texts.items()
            ],
        )
        for path in paths
    ]


def compare(reference: str, hypothesis: str) -> list[tuple[str, str, str]]:
    """Word by word: what is the same, wrong, missing or added; see `Written.words`."""
    said, heard = reference.split(), hypothesis.split()
    words = []
    for tag, begin, end, first, last in Levenshtein.opcodes(said, heard):
        if tag == "equal":
            words += [(word, "same", "") for word in heard[first:last]]
        elif tag == "replace":
            pairs = zip(heard[first:last], said[begin:end], strict=True)
            words += [(word, "wrong", instead) for word, instead in pairs]
        elif tag == "delete":
            words += [(word, "missing", "") for word in said[begin:end]]
        else:
            words += [(word, "added", "") for word in heard[first:last]]
    return words


def _sounds(shards: Sequence[str | Path], wanted: set[str]) -> dict[str, str]:
    found = {}
    for shard in shards:
        for row in read_shard(shard):
            if row["path"] in wanted:
                try:
                    samples = decode_flac(row["audio"]["bytes"], row["scale"])
                except UndecodableError as error:
                    raise InputError(damaged_clip(shard, row["path"], error)) from None
                found[row["path"]] = sound(samples)
    return found


def sound(samples: np.ndarray) -> str:
    """Samples (n,) at 16 kHz as a data URI: FLAC of 16 bit, turned down where it would clip."""
    peak = float(np.abs(samples).max(initial=0.0))
    buffer = io.BytesIO()
    quiet = samples / max(1.0, peak)
    sf.write(buffer, quiet, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return data_uri("audio/flac", buffer.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """A file as an address that holds the file itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
