"""Tests of differences: against SciPy, enumeration, and the definition of a p-value."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from hearing_asr import significance
from hearing_asr.significance import holm, mapsswe, permutation_p_values

RNG = np.random.default_rng(12)


def test_few_blocks_are_enumerated():
    differences = RNG.integers(-4, 8, size=(9, 3)).astype(float)
    sums = np.array([np.array(signs) @ differences for signs in product((-1, 1), repeat=9)])
    expected = (np.abs(sums) >= np.abs(differences.sum(axis=0)) - 1e-9).mean(axis=0)
    assert permutation_p_values(differences, 1000, 1) == pytest.approx(expected)
    assert permutation_p_values(np.ones((3, 1)), 8, 1)[0] == 2 / 8


def test_many_blocks_are_drawn_and_agree_with_scipy(monkeypatch):
    monkeypatch.setattr(significance, "CHUNK_CELLS", 3000)
    differences = RNG.normal(0.25, 1, size=(60, 1))
    ours = permutation_p_values(differences, 20_000, 1)[0]
    reference = stats.permutation_test(
        (differences[:, 0], np.zeros(60)),
        lambda one, other, axis: (one - other).sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=20_000,
        random_state=np.random.default_rng(2),
    ).pvalue
    assert ours == pytest.approx(reference, abs=0.006)


def test_drawn_p_values_are_never_zero_and_one_where_nothing_differs():
    assert permutation_p_values(np.ones((80, 1)), 999, 1)[0] == 1 / 1000
    assert permutation_p_values(np.zeros((80, 1)), 999, 1)[0] == 1.0
    assert permutation_p_values(np.zeros((4, 1)), 999, 1)[0] == 1.0


def test_tests_share_their_signs_and_the_seed_decides():
    differences = RNG.normal(size=(50, 2))
    together = permutation_p_values(differences, 500, 3)
    alone = permutation_p_values(differences[:, :1], 500, 3)
    assert together[0] == alone[0]
    assert permutation_p_values(-differences, 500, 3) == pytest.approx(together)
    assert not np.array_equal(permutation_p_values(differences, 500, 4), together)


def test_mapsswe_is_the_statistic_of_a_paired_t_test():
    one, other = RNG.poisson(3, size=(200, 2)), RNG.poisson(2.8, size=(200, 2))
    statistic, p_value = mapsswe((one - other).astype(float))
    reference = stats.ttest_rel(one, other)
    assert statistic == pytest.approx(reference.statistic)
    assert p_value == pytest.approx(2 * stats.norm.sf(np.abs(reference.statistic)))


def test_mapsswe_at_its_limits():
    statistic, p_value = mapsswe(np.column_stack([np.zeros(40), np.ones(40)]))
    assert (statistic[0], p_value[0]) == (0.0, 1.0)
    assert np.isnan([statistic[1], p_value[1]]).all()
    assert np.isnan(mapsswe(RNG.normal(size=(29, 2)))).all()
    assert np.isfinite(mapsswe(RNG.normal(size=(30, 2)))).all()


def test_holm_by_hand():
    """Four tests: 4 x 0.005, 3 x 0.01, then the running maximum."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []


def test_holm_leaves_out_what_is_unknown():
    adjusted = holm([0.01, np.nan, 0.02])
    assert adjusted[[0, 2]] == pytest.approx([0.02, 0.02])
    assert np.isnan(adjusted[1])


def test_false_positives_stay_at_their_level():
    """Speakers differ, systems do not: 5 % of the tests over speakers may say otherwise."""
    rng = np.random.default_rng(8)
    speakers, tests = 40, 600
    differences = rng.normal(size=(speakers, tests)) * rng.uniform(0.2, 3, size=(speakers, 1))
    rejected = (permutation_p_values(differences, 1000, 1) < 0.05).mean()
    assert 0.03 < rejected < 0.07
