"""Counts and rates against hand-made alignments, jiwer and a textbook edit distance."""

import random
from pathlib import Path

import jiwer
import numpy as np
import pandas as pd
import pytest

from hearing_asr.errors import InputError
from hearing_asr.scoring import (
    COUNT_COLUMNS,
    compute_wer,
    corpus_scores,
    read_predictions,
    score_clips,
    score_table,
    wer_matrix,
    write_scores,
)

WORDS = ["peter", "kathy", "sees", "gives", "two", "nine", "large", "old", "red", "desks", "mugs"]


def edit_distance(reference, hypothesis):
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, heard in enumerate(hypothesis, 1):
            previous, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, previous + (expected != heard)),
            )
    return row[-1]


def random_pairs(count: int) -> tuple[list[str], list[str]]:
    rng = random.Random(3)
    references, hypotheses = [], []
    for _ in range(count):
        words = rng.choices(WORDS, k=rng.randint(1, 9))
        heard = []
        for word in words:
            heard += rng.choice([[word], [word], [word], [], [rng.choice(WORDS)], [word, "a"]])
        references.append(" ".join(words))
        hypotheses.append(" ".join(heard))
    return references, hypotheses


def counts(references: list[str], hypotheses: list[str]) -> pd.DataFrame:
    return pd.DataFrame(score_clips(references, hypotheses))


@pytest.mark.parametrize(
    ("reference", "hypothesis", "words", "chars"),
    [
        # (hits, substitutions, deletions, insertions)
        ("peter sees two mugs", "peter sees two mugs", (4, 0, 0, 0), (19, 0, 0, 0)),
        ("peter sees two mugs", "peter sees mugs", (3, 0, 1, 0), (15, 0, 4, 0)),
        ("peter sees", "peter old sees", (2, 0, 0, 1), (10, 0, 0, 4)),
        ("nine mugs", "nine rugs", (1, 1, 0, 0), (8, 1, 0, 0)),
        ("nine mugs", "", (0, 0, 2, 0), (0, 0, 9, 0)),
        ("", "two", (0, 0, 0, 1), (0, 0, 0, 3)),
        ("", "", (0, 0, 0, 0), (0, 0, 0, 0)),
        (" nine \t mugs ", "nine mugs\n", (2, 0, 0, 0), (9, 0, 0, 0)),
    ],
)
def test_hand_aligned(reference, hypothesis, words, chars):
    scored = score_clips([reference], [hypothesis])
    assert tuple(int(scored[name][0]) for name in COUNT_COLUMNS) == words + chars


def test_every_clip_as_jiwer_counts_it():
    references, hypotheses = random_pairs(400)
    ours = counts(references, hypotheses)
    for row, pair in enumerate(zip(references, hypotheses, strict=True)):
        for unit, output in (
            ("word", jiwer.process_words(*pair)),
            ("char", jiwer.process_characters(*pair)),
        ):
            for outcome in ("hits", "substitutions", "deletions", "insertions"):
                assert ours.loc[row, f"{unit}_{outcome}"] == getattr(output, outcome), pair


def test_errors_are_the_edit_distance():
    references, hypotheses = random_pairs(100)
    ours = counts(references, hypotheses)
    for unit, split in (("word", str.split), ("char", list)):
        errors = ours[[f"{unit}_{name}" for name in ("substitutions", "deletions", "insertions")]]
        distances = [
            edit_distance(split(reference), split(hypothesis))
            for reference, hypothesis in zip(references, hypotheses, strict=True)
        ]
        assert errors.sum(axis=1).tolist() == distances


def test_counts_are_whole_and_add_up():
    references, hypotheses = random_pairs(50)
    scored = score_clips(references, hypotheses)
    assert tuple(scored) == COUNT_COLUMNS
    assert all(array.dtype == np.int32 and array.shape == (50,) for array in scored.values())
    lengths = scored["word_hits"] + scored["word_substitutions"] + scored["word_deletions"]
    assert lengths.tolist() == [len(text.split()) for text in references]
    assert score_clips([], [])["word_hits"].shape == (0,)


def test_as_many_hypotheses_as_references():
    with pytest.raises(ValueError):
        score_clips(["two"], [])


def test_corpus_rates_are_jiwers():
    references, hypotheses = random_pairs(300)
    scores = corpus_scores(counts(references, hypotheses))
    assert scores["wer"] == pytest.approx(jiwer.wer(references, hypotheses), abs=1e-12)
    assert scores["cer"] == pytest.approx(jiwer.cer(references, hypotheses), abs=1e-12)
    assert scores["clips"] == 300
    assert scores["excluded"] == 0
    assert scores["words"] == sum(len(text.split()) for text in references)
    assert scores["chars"] == sum(map(len, references))


def test_long_clips_weigh_more():
    scores = corpus_scores(counts(["a b c d e f g h i", "x"], ["a b c d e f g h i", "y"]))
    assert scores["wer"] == pytest.approx(1 / 10)


def test_rates_can_exceed_one():
    assert corpus_scores(counts(["two"], ["two old red mugs"]))["wer"] == 3.0


def test_empty_references_are_excluded_and_counted():
    scores = corpus_scores(counts(["two mugs", "", ""], ["two", "nine old", ""]))
    assert (scores["clips"], scores["excluded"]) == (1, 2)
    assert scores["wer"] == 0.5
    assert scores["word_insertions"] == 0


def test_nothing_to_score():
    with pytest.raises(InputError, match=r"not a single clip"):
        corpus_scores(counts([], []))
    with pytest.raises(InputError, match=r"none of 2 clips.*evaluation\.normalizer"):
        corpus_scores(counts(["", ""], ["a", ""]))


def test_compute_wer_normalizes_both_sides():
    references = ["Two mugs!", "Hmm.", "the colour red"]
    hypotheses = ["2 mugs", "yes", "The color, read"]
    assert compute_wer(references, hypotheses, "english") == pytest.approx(1 / 5)
    assert compute_wer(references, hypotheses, "none") == jiwer.wer(references, hypotheses)


def write_predictions(path: Path, hypotheses: list[str], **changes) -> Path:
    references = ["two mugs", "nine old desks", "peter sees"]
    table = pd.DataFrame(
        {
            "path": ["1.mp3", "2.mp3", "3.mp3"],
            "client_id": "a",
            "duration": 1.0,
            "reference": references,
            "hypothesis": hypotheses,
            "reference_normalized": references,
            "hypothesis_normalized": hypotheses,
            **score_clips(references, hypotheses),
        }
    ).assign(**changes)
    table.to_parquet(path)
    return path


@pytest.fixture
def cells(tmp_path):
    perfect = ["two mugs", "nine old desks", "peter sees"]
    one_wrong = ["two rugs", "nine old desks", "peter sees"]
    return {
        ("zero_shot", "normal"): write_predictions(tmp_path / "a.parquet", perfect),
        ("zero_shot", "hfloss"): write_predictions(tmp_path / "b.parquet", ["", "", ""]),
        ("hfloss", "normal"): write_predictions(tmp_path / "c.parquet", one_wrong),
        ("hfloss", "hfloss"): write_predictions(tmp_path / "d.parquet", perfect),
    }


def test_table_and_matrix(cells):
    scores = score_table(cells)
    assert list(zip(scores["model"], scores["variant"], strict=True)) == list(cells)
    assert scores["wer"].tolist() == pytest.approx([0, 1, 1 / 7, 0])
    assert scores["word_deletions"].tolist() == [0, 7, 0, 0]
    assert scores["clips"].tolist() == [3] * 4
    matrix = wer_matrix(scores)
    assert (list(matrix.index), list(matrix.columns)) == (
        ["zero_shot", "hfloss"],
        ["normal", "hfloss"],
    )
    assert matrix.to_numpy() == pytest.approx(np.array([[0, 1], [1 / 7, 0]]))


def test_written_tables_can_be_read_back(cells, tmp_path):
    write_scores(cells, tmp_path / "m" / "scores.csv", tmp_path / "m" / "wer_matrix.csv")
    scores = pd.read_csv(tmp_path / "m" / "scores.csv")
    assert list(scores.columns[:5]) == ["model", "variant", "clips", "excluded", "words"]
    pd.testing.assert_frame_equal(scores, score_table(cells), check_dtype=False)
    matrix = pd.read_csv(tmp_path / "m" / "wer_matrix.csv", index_col="model")
    assert matrix.loc["hfloss", "normal"] == pytest.approx(1 / 7)


def test_order_of_clips_does_not_matter(cells):
    path = cells["hfloss", "normal"]
    before = score_table(cells)
    pd.read_parquet(path).iloc[::-1].to_parquet(path)
    pd.testing.assert_frame_equal(score_table(cells), before)


def test_other_clips(cells):
    path = cells["hfloss", "normal"]
    pd.read_parquet(path).assign(path=["1.mp3", "2.mp3", "9.mp3"]).to_parquet(path)
    with pytest.raises(InputError, match=r"c\.parquet.*missing: 3\.mp3; extra: 9\.mp3"):
        score_table(cells)


def test_a_clip_less_names_some_only(tmp_path):
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    texts = ["two"] * 9
    columns = dict.fromkeys(
        ("reference", "hypothesis", "reference_normalized", "hypothesis_normalized"), texts
    )
    table = pd.DataFrame(
        {"path": [f"{i}.mp3" for i in range(9)], **columns, **score_clips(texts, texts)}
    )
    table.to_parquet(first)
    table.iloc[:2].to_parquet(second)
    with pytest.raises(InputError, match=r"b\.parquet.*missing: 2\.mp3, .* and 2 more; extra: no"):
        score_table({("m", "a"): first, ("m", "b"): second})


def test_other_references(cells):
    path = cells["zero_shot", "hfloss"]
    table = pd.read_parquet(path)
    table.loc[1, "reference_normalized"] = "9 old desks"
    table.to_parquet(path)
    with pytest.raises(InputError, match=r"b\.parquet.*references differ.*2\.mp3.*normalizer"):
        score_table(cells)


def test_bad_prediction_files(tmp_path):
    path = write_predictions(tmp_path / "p.parquet", ["two mugs", "nine", "peter"])
    good = pd.read_parquet(path)
    bad = {
        r"columns missing: hypothesis, char_hits": good.drop(columns=["hypothesis", "char_hits"]),
        r"no clips": good.iloc[:0],
        r"no value in column 'hypothesis' for clips 2\.mp3": good.assign(
            hypothesis=["two mugs", None, "peter"]
        ),
        r"more than once: 1\.mp3": good.assign(path=["1.mp3", "1.mp3", "3.mp3"]),
    }
    for message, table in bad.items():
        table.to_parquet(path)
        with pytest.raises(InputError, match=rf"p\.parquet.*{message}"):
            read_predictions(path)
    path.write_text("text")
    with pytest.raises(InputError, match=r"p\.parquet.*not a readable Parquet file"):
        read_predictions(path)
    with pytest.raises(InputError, match=r"gone\.parquet"):
        read_predictions(tmp_path / "gone.parquet")


def test_no_files():
    with pytest.raises(InputError, match=r"no prediction files"):
        score_table({})
