"""The statistics' measurements run, and the populations they are tried on are what they say."""

import math

import numpy as np
import pytest
from benchmarks import simulation, statistics
from benchmarks.common import Size, render
from benchmarks.simulation import BATCH, TESTS, Population, Scored
from benchmarks.statistics import MODELS, VARIANTS

from hearing_asr.comparisons import Draws, comparison_table, interval_table
from hearing_asr.scoring import compute_wer


@pytest.fixture(scope="module")
def sections():
    with pytest.MonkeyPatch.context() as patch:  # starting processes takes seconds
        patch.setattr(statistics, "POPULATIONS", (Population(50, 2), Population(60, 3)))
        patch.setattr(statistics, "REPLICATES", 50)
        patch.setattr(
            statistics, "best_in_turns", lambda sides, _: {name: sides[name]() for name in sides}
        )
        return list(statistics.measure(30, replicates=20, looped=2, tests=3, rounds=1))


def test_all_is_measured(sections):
    assert [len(section.rows) for section in sections] == [1, 2, 1, 1, 1, 2, 1, 2]
    for row in (row for section in sections for row in section.rows):
        assert all(math.isfinite(value) and value > 0 for value in (row.other, row.here, row.ratio))


def test_what_is_promised(sections):
    promised = [row for section in sections for row in section.rows if row.promised is not None]
    assert [row.other for row in promised] == [60, 20, 1024, 2]
    assert [row.promised for row in promised] == [1, 1, 1, 1]


def test_the_table_shows_every_population_and_test(sections):
    text = render(sections[-1])
    for word in ("50 speakers, 2 clips, WER 23%, sd 1", "60 speakers", *(t[:4] for t in TESTS)):
        assert word in text


def test_quick_is_smaller():
    quick, full = Size.quick(), Size()
    for name in ("scored", "replicates", "looped", "tests"):
        assert getattr(quick, name) < getattr(full, name)


def test_sentences_are_as_long_and_as_wrong_as_they_say():
    references, hypotheses = statistics.texts(2000)
    lengths = {len(text.split()) for text in references}
    assert lengths == set(range(8, 13))
    assert compute_wer(references, hypotheses, "simple") == pytest.approx(0.155, abs=0.01)
    assert statistics.texts(3)[0] == references[:3]


def test_made_up_cells_can_be_compared():
    cells = statistics.made_up_cells(clips=200, speakers=60)
    assert cells.models == list(MODELS)
    assert cells.variants == list(VARIANTS)
    assert len(np.unique(cells.blocks())) == 60
    said = cells.counts[..., :3].sum(axis=-1)
    assert np.array_equal(said, np.repeat(cells.words[:, None], len(cells.names), axis=1))
    draws = Draws(30, 1)
    rates = interval_table(cells, draws)
    assert len(rates) == 16
    assert rates.wer.between(0.05, 0.6).all()
    assert rates.ser.between(0.3, 1).all()
    assert not comparison_table(cells, VARIANTS[0], draws).isna().any(axis=None)


@pytest.mark.parametrize("own", [0.0, 0.6])
def test_the_true_rate_is_that_of_a_large_sample(own):
    population = Population(400, 3, sd=0.8, level=-1.0)
    made = simulation.draw(population, 100, np.random.default_rng(3), (0.0, 0.5), own)
    measured = made.errors.sum(axis=(0, 2)) / made.words.sum()
    for system, shift in enumerate((0.0, 0.5)):
        expected = simulation.true_rate(population, shift, own)
        assert measured[system] == pytest.approx(expected, abs=0.005)
    assert simulation.true_rate(population, 0.5) > simulation.true_rate(population) + 0.08


def test_without_spread_the_rate_is_that_of_the_level(monkeypatch):
    monkeypatch.setattr(simulation, "CLIP_SD", 0.0)
    assert simulation.true_rate(Population(9, 2, sd=0.0, level=0.0)) == pytest.approx(0.5)
    odds = math.log(0.2 / 0.8)
    assert simulation.true_rate(Population(9, 2, sd=0.0, level=odds)) == pytest.approx(0.2)


def test_a_test_set_has_its_speakers_clips_and_words():
    made = simulation.draw(Population(500, 4), 7, np.random.default_rng(1), (0.0, 0.0))
    clips = np.bincount(made.blocks)
    assert len(clips) == 500
    assert clips.min() == 1
    assert clips.mean() == pytest.approx(4, abs=0.3)
    assert made.words.shape == (len(made.blocks), 7)
    assert set(np.unique(made.words)) == set(range(3, 15))
    assert made.errors.shape == (len(made.blocks), 2, 7)
    assert (made.errors <= made.words[:, None]).all()


def test_uneven_speakers_have_as_many_clips_in_the_mean():
    made = simulation.draw(Population(3000, 10, uneven=True), 1, np.random.default_rng(1))
    clips = np.sort(np.bincount(made.blocks))
    assert clips.mean() == pytest.approx(10, abs=1.2)
    assert clips[-300:].sum() / clips.sum() == pytest.approx(0.6, abs=0.05)


def test_all_tests_see_a_plain_difference_and_none_sees_what_is_not_there():
    blocks = np.repeat(np.arange(40), 2)
    words = np.full((80, 1), 10.0)
    errors = np.random.default_rng(5).integers(2, 5, (80, 1, 1)).astype(float)
    same = Scored(np.repeat(errors, 2, axis=1), words, blocks)
    assert not any(yes.any() for yes in simulation.decisions(same, 200, 1).values())
    more = errors + np.random.default_rng(6).integers(2, 5, errors.shape)
    other = Scored(np.concatenate([errors, more], axis=1), words, blocks)
    assert all(yes.all() for yes in simulation.decisions(other, 200, 1).values())


def test_shares_are_of_all_batches_and_the_seed_decides():
    population = Population(30, 3)
    shares = simulation.missed(population, BATCH + 10, 100, seed=4)
    assert shares == simulation.missed(population, BATCH + 10, 100, seed=4)
    assert all(0 <= share <= 1 for share in shares.values())
    first = simulation.missed(population, BATCH, 100, seed=4)
    more = shares["utterances"] * (BATCH + 10) - first["utterances"] * BATCH
    assert 0 <= round(more) <= 10


def test_drawing_utterances_misses_more_where_speakers_differ():
    shares = simulation.missed(Population(40, 5), 300, 300, seed=2)
    assert shares["speakers"] < 0.12
    assert shares["utterances"] > shares["speakers"] + 0.1


def test_only_exchanging_speakers_holds_where_systems_suit_some_speakers_better():
    population = Population(20, 6)
    alike = simulation.found(population, 300, 300, seed=2)
    mixed = simulation.found(population, 300, 300, seed=2, own=0.6)
    assert set(alike) == set(TESTS)
    assert max(alike["permutation"], mixed["permutation"]) < 0.09
    assert mixed["mapsswe"] > alike["mapsswe"] + 0.08
