"""Predictions: what was written, normalized, counted and flagged, clip by clip."""

import numpy as np
import pandas as pd
import pytest

from hearing_asr.errors import InputError
from hearing_asr.failures import FLAGS, compression_ratio, count_flags
from hearing_asr.normalizers import describe, normalizer
from hearing_asr.predictions import (
    PREDICTION_COLUMNS,
    RAW_COLUMNS,
    read_predictions,
    write_predictions,
)
from hearing_asr.scoring import COUNT_COLUMNS, score_clips
from hearing_asr.transcripts import read_provenance
from tests.unit.predicted import predictions, rewritten, transcripts

REFERENCES = ["Two mugs!", "The colour red.", "Peter sees it"]
HYPOTHESES = ["2 mugs", "the color red", "Peter seas"]


def test_both_texts_are_counted(tmp_path):
    path = predictions(tmp_path / "p.parquet", REFERENCES, HYPOTHESES, normalizer="english")
    scored = read_predictions(path)
    assert tuple(scored.columns) == PREDICTION_COLUMNS
    assert scored["reference"].tolist() == REFERENCES
    assert scored["hypothesis"].tolist() == HYPOTHESES
    normalize = normalizer("english")
    normalized = [list(map(normalize, texts)) for texts in (REFERENCES, HYPOTHESES)]
    assert scored["reference_normalized"].tolist() == normalized[0]
    assert scored["hypothesis_normalized"].tolist() == normalized[1]
    for names, texts in ((COUNT_COLUMNS, normalized), (RAW_COLUMNS, (REFERENCES, HYPOTHESES))):
        expected = score_clips(*texts)
        for name, kept in zip(names, COUNT_COLUMNS, strict=True):
            assert scored[name].tolist() == expected[kept].tolist()
    assert scored["word_substitutions"].tolist() == [0, 0, 1]
    assert scored["raw_word_substitutions"].tolist() == [2, 3, 1]


def test_the_normalizer_and_the_decoding_are_recorded(tmp_path):
    path = predictions(tmp_path / "p.parquet", REFERENCES, HYPOTHESES, normalizer="english")
    provenance = read_provenance(path)
    assert provenance["normalizer"] == describe("english")
    assert provenance["decoding"]["num_beams"] == 1
    assert set(provenance["versions"]) == {"torch", "rapidfuzz"}


LOOP = "and the mugs and the mugs " * 12


@pytest.mark.parametrize(
    ("hypothesis", "told", "flags"),
    [
        ("two mugs", {}, set()),
        ("", {}, {"empty"}),
        ("", {"loudest_mel": -4.1}, {"empty"}),
        ("two mugs", {"loudest_mel": -4.1}, {"output_on_silence"}),
        ("two old mugs", {"loudest_mel": -3.9}, set()),
        (LOOP, {}, {"repetition", "hallucination"}),
        ("two mugs " * 5, {}, {"hallucination"}),  # compresses by 2.2, not by 2.4
        ("two mugs are not enough", {}, {"hallucination"}),  # three more than two
        ("two mugs are not", {}, set()),  # two more than two
        ("zwei", {"language": "de"}, {"wrong_language"}),
        ("two mugs", {"language": None, "language_probability": None}, set()),
    ],
)
def test_flags(tmp_path, hypothesis, told, flags):
    path = predictions(tmp_path / "p.parquet", ["two mugs"], [hypothesis], **told)
    scored = read_predictions(path)
    assert {flag for flag in FLAGS if scored[flag].iloc[0]} == flags
    assert count_flags(scored) == {flag: int(flag in flags) for flag in FLAGS}


def test_compression_ratio_is_whispers():
    from whisper.utils import compression_ratio as reference

    for text in ("two mugs", LOOP, "zwei Tassen für Ö", "a" * 500):
        assert compression_ratio(text) == reference(text)
    assert compression_ratio("") == 0.0


def test_a_model_that_diverged_is_told(tmp_path):
    path = transcripts(tmp_path / "t", ["two", "mugs"], ["", ""], entropy=[0.1, np.nan])
    with pytest.raises(InputError, match=r"t: .*entropy.* 1\.mp3"):
        write_predictions(path, tmp_path / "p", "simple")
    path = transcripts(tmp_path / "t", ["two", "mugs"], ["", ""], mean_logprob=[-np.inf, -1.0])
    with pytest.raises(InputError, match=r"mean_logprob is not a finite.* 0\.mp3.*diverged"):
        write_predictions(path, tmp_path / "p", "simple")
    assert not (tmp_path / "p").exists()


def test_an_unknown_normalizer(tmp_path):
    path = transcripts(tmp_path / "t", ["two"], ["two"])
    with pytest.raises(InputError, match=r"evaluation\.normalizer"):
        write_predictions(path, tmp_path / "p", "whisper")


def test_bad_files(tmp_path):
    path = predictions(tmp_path / "p.parquet", REFERENCES, HYPOTHESES)
    good = pd.read_parquet(path)
    bad = {
        r"columns missing: hypothesis, char_hits": good.drop(columns=["hypothesis", "char_hits"]),
        r"no clips": good.iloc[:0],
        r"no value in column 'hypothesis' for clips 1\.mp3": good.assign(
            hypothesis=["two mugs", None, "peter"]
        ),
        r"more than once: 1\.mp3": good.assign(path=["1.mp3", "1.mp3", "3.mp3"]),
    }
    for message, table in bad.items():
        rewritten(path, lambda _, table=table: table)
        with pytest.raises(InputError, match=rf"p\.parquet.*{message}"):
            read_predictions(path)
    good.to_parquet(path)
    with pytest.raises(InputError, match=r"p\.parquet: does not say what it was made with"):
        read_provenance(path)
    path.write_text("text")
    with pytest.raises(InputError, match=r"p\.parquet.*not a readable Parquet file"):
        read_predictions(path)
    with pytest.raises(InputError, match=r"gone\.parquet"):
        read_predictions(tmp_path / "gone.parquet")
