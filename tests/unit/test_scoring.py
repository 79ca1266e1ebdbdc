"""Counts and rates against hand-made alignments, jiwer and a textbook edit distance."""

import random

import jiwer
import numpy as np
import pandas as pd
import pytest

from hearing_asr.scoring import (
    COUNT_COLUMNS,
    RATES,
    RAW,
    compute_wer,
    corpus_rates,
    score_clips,
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


def totals(references: list[str], hypotheses: list[str]) -> dict[str, float]:
    """What `corpus_rates` takes; the texts are raw and normalized at once."""
    scored = counts(references, hypotheses)
    wrong = scored[["word_substitutions", "word_deletions", "word_insertions"]].sum(axis=1) > 0
    summed = scored.sum().to_dict()
    raw = {f"{RAW}{name}": value for name, value in summed.items()}
    return summed | raw | {"wrong_clips": wrong.sum(), "clips": len(scored)}


def test_corpus_rates_are_jiwers():
    references, hypotheses = random_pairs(300)
    rates = corpus_rates(totals(references, hypotheses))
    assert tuple(rates) == RATES
    assert rates["wer"] == pytest.approx(jiwer.wer(references, hypotheses), abs=1e-12)
    assert rates["mer"] == pytest.approx(jiwer.mer(references, hypotheses), abs=1e-12)
    assert rates["wil"] == pytest.approx(jiwer.wil(references, hypotheses), abs=1e-12)
    assert rates["cer"] == pytest.approx(jiwer.cer(references, hypotheses), abs=1e-12)
    assert (rates["raw_wer"], rates["raw_cer"]) == (rates["wer"], rates["cer"])
    wrong = [one != other for one, other in zip(references, hypotheses, strict=True)]
    assert rates["ser"] == pytest.approx(np.mean(wrong))


def test_long_clips_weigh_more():
    rates = corpus_rates(totals(["a b c d e f g h i", "x"], ["a b c d e f g h i", "y"]))
    assert rates["wer"] == pytest.approx(1 / 10)
    assert rates["ser"] == 0.5


def test_rates_can_exceed_one_but_match_errors_cannot():
    rates = corpus_rates(totals(["two"], ["two old red mugs"]))
    assert rates["wer"] == 3.0
    assert rates["mer"] == 3 / 4
    assert rates["wil"] == pytest.approx(1 - 1 / 4)


def test_rates_where_nothing_was_written_or_said():
    silent = corpus_rates(totals(["two mugs"], [""]))
    assert [silent[name] for name in ("wer", "mer", "wil", "cer", "ser")] == [1.0] * 5
    assert not np.isfinite(corpus_rates(totals([""], ["two"]))["wer"])


def test_raw_rates_are_of_the_raw_counts():
    mixed = totals(["a b"], ["a c"]) | {"raw_word_hits": 3, "raw_word_substitutions": 1}
    assert corpus_rates(mixed)["wer"] == 1 / 2
    assert corpus_rates(mixed)["raw_wer"] == 1 / 4


def test_compute_wer_normalizes_both_sides():
    references = ["Two mugs!", "Hmm.", "the colour red"]
    hypotheses = ["2 mugs", "yes", "The color, read"]
    assert compute_wer(references, hypotheses, "english") == pytest.approx(1 / 5)
    assert compute_wer(references, hypotheses, "none") == jiwer.wer(references, hypotheses)
