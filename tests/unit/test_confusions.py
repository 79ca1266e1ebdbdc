"""Confused words against jiwer's alignments and hand-made ones."""

import random
from collections import Counter

import jiwer
import pandas as pd
import pytest

from hearing_asr.confusions import COLUMNS, count_confusions, write_confusions
from hearing_asr.errors import InputError

WORDS = ["peter", "kathy", "sees", "gives", "two", "nine", "large", "old", "red", "desks"]


def random_pairs(count):
    rng = random.Random(5)
    references = [" ".join(rng.choices(WORDS, k=rng.randint(1, 9))) for _ in range(count)]
    hypotheses = []
    for reference in references:
        heard = []
        for word in reference.split():
            heard += rng.choice([[word], [word], [], [rng.choice(WORDS)], [word, "a"]])
        hypotheses.append(" ".join(heard))
    return references, hypotheses


def jiwers_confusions(references, hypotheses):
    output = jiwer.process_words(references, hypotheses)
    counts = Counter()
    rows = zip(output.alignments, output.references, output.hypotheses, strict=True)
    for chunks, reference, hypothesis in rows:
        for chunk in chunks:
            expected = reference[chunk.ref_start_idx : chunk.ref_end_idx]
            heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
            if chunk.type == "delete":
                counts.update((word, "") for word in expected)
            elif chunk.type == "insert":
                counts.update(("", word) for word in heard)
            elif chunk.type == "substitute":
                counts.update(zip(expected, heard, strict=True))
    return counts


def test_confusions_are_those_of_jiwers_alignment():
    references, hypotheses = random_pairs(400)
    ours = count_confusions(references, hypotheses)
    pairs = zip(ours["reference"], ours["hypothesis"], strict=True)
    counted = dict(zip(pairs, ours["count"], strict=True))
    assert counted == jiwers_confusions(references, hypotheses)
    assert {"", *WORDS} == set(ours["reference"])


def test_most_frequent_first_then_by_the_alphabet():
    table = count_confusions(
        ["b", "b", "c", "a d", "x y", "same", "a"], ["k", "k", "z", "a", "w x y", "same", "z"]
    )
    assert table.to_numpy().tolist() == [
        ["b", "k", 2],
        ["", "w", 1],
        ["a", "z", 1],
        ["c", "z", 1],
        ["d", "", 1],
    ]


def test_nothing_confused_and_empty_references():
    table = count_confusions(["two mugs", "", " "], [" two  mugs", "nine", ""])
    assert list(table.columns) == ["reference", "hypothesis", "count"]
    assert table.empty
    with pytest.raises(ValueError):
        count_confusions(["two"], [])


def write_predictions(path, references, hypotheses):
    table = pd.DataFrame(
        {
            "path": [f"{index}.mp3" for index in range(len(references))],
            "reference_normalized": references,
            "hypothesis_normalized": hypotheses,
        }
    )
    table.to_parquet(path)
    return path


def read(path):
    return pd.read_csv(path, keep_default_na=False)


def test_table_of_two_files(tmp_path):
    references = ["red red null", "red sees", ""]
    files = {
        ("zero_shot", "b"): write_predictions(
            tmp_path / "1.parquet", references, ["bed red nan", "bed sees a a", "null"]
        ),
        ("b", "a"): write_predictions(
            tmp_path / "2.parquet", references, ["red red null", "red null", ""]
        ),
        ("a", "a"): write_predictions(tmp_path / "3.parquet", references, ["red null", "", "x"]),
    }
    write_confusions(files, tmp_path / "new" / "confusions.csv")
    table = read(tmp_path / "new" / "confusions.csv")
    assert tuple(table.columns) == COLUMNS
    assert table.drop(columns="share").to_numpy().tolist() == [
        ["zero_shot", "b", "substitution", "red", "bed", 2],
        ["zero_shot", "b", "substitution", "null", "nan", 1],
        ["zero_shot", "b", "insertion", "", "a", 2],
        ["b", "a", "substitution", "sees", "null", 1],
        ["a", "a", "deletion", "red", "", 2],
        ["a", "a", "deletion", "sees", "", 1],
    ]
    assert table["share"].tolist() == pytest.approx([2 / 3, 1, 2 / 5, 1, 2 / 3, 1])


def test_limit_is_per_file_and_kind(tmp_path):
    references, hypotheses = random_pairs(300)
    path = write_predictions(tmp_path / "p.parquet", references, hypotheses)
    files = {("m", "a"): path, ("m", "b"): path}
    write_confusions(files, tmp_path / "all.csv", limit=10**6)
    write_confusions(files, tmp_path / "some.csv", limit=3)
    every, some = read(tmp_path / "all.csv"), read(tmp_path / "some.csv")
    groups = every.groupby(["variant", "kind"], sort=False)
    expected = pd.concat([group.iloc[:3] for _, group in groups], ignore_index=True)
    pd.testing.assert_frame_equal(some, expected)
    inserted = every[(every["kind"] == "insertion") & (every["variant"] == "a")]
    words = sum(len(text.split()) for text in references)
    assert inserted["share"].tolist() == pytest.approx((inserted["count"] / words).tolist())


def test_nothing_confused_in_any_file(tmp_path):
    path = write_predictions(tmp_path / "p.parquet", ["two"], ["two"])
    write_confusions({("m", "a"): path}, tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text() == ",".join(COLUMNS) + "\n"


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(InputError, match="no prediction files"):
        write_confusions({}, tmp_path / "c.csv")
    path = tmp_path / "p.parquet"
    pd.DataFrame({"path": ["1"], "reference_normalized": ["two"]}).to_parquet(path)
    with pytest.raises(InputError, match=r"p\.parquet: columns missing: hypothesis_normalized"):
        write_confusions({("m", "a"): path}, tmp_path / "c.csv")
