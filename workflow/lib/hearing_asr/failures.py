"""How Whisper fails where little is left to hear: flags per clip.

A flag describes a hypothesis, whether or not it is counted as an error in the rates as well.
"""

import zlib

import numpy as np
import pandas as pd

# Whisper's own limit: text that compresses better repeats itself (openai/whisper, transcribe.py).
REPETITIVE = 2.4
# log10 of the power of the loudest log-Mel cell. A sine at full scale has about 2, so speech some
# 60 dB below full scale is taken for silence.
SILENCE = -4.0

FLAGS = {
    "empty": "nothing was written",
    "repetition": f"a loop: the text compresses by more than {REPETITIVE:g} to 1",
    "hallucination": "more words were inserted than the reference has",
    "output_on_silence": "words were written though the audio is silent",
    "wrong_language": "another language than the one asked for was the likeliest",
}


def compression_ratio(text: str) -> float:
    """Bytes of a text over bytes of its zlib compression; 0 for an empty text."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def failure_flags(clips: pd.DataFrame, language: str | None) -> dict[str, np.ndarray]:
    """Flag what went wrong with each clip.

    Args:
        clips: columns of transcripts, with the word counts of normalized texts.
        language: code of the language that was asked for; None for an English-only model.

    Returns:
        `compression_ratio`, float (clips,), and one boolean array (clips,) for each of FLAGS.
    """
    ratios = np.array([compression_ratio(text) for text in clips["hypothesis"]])
    said = clips["word_hits"] + clips["word_substitutions"] + clips["word_deletions"]
    written = clips["hypothesis"].str.strip() != ""
    other = np.zeros(len(clips), bool)
    if language is not None:
        other = (clips["language"].notna() & (clips["language"] != language)).to_numpy()
    return {
        "compression_ratio": ratios,
        "empty": ~written.to_numpy(),
        "repetition": ratios > REPETITIVE,
        "hallucination": (clips["word_insertions"] > said).to_numpy(),
        "output_on_silence": (written & (clips["loudest_mel"] <= SILENCE)).to_numpy(),
        "wrong_language": other,
    }


def count_flags(clips: pd.DataFrame) -> dict[str, int]:
    """How many clips have each of FLAGS."""
    return {flag: int(clips[flag].sum()) for flag in FLAGS}
