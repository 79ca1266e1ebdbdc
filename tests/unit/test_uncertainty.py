"""Intervals: against SciPy's bootstrap, a formula, and by what they must do."""

import numpy as np
import pytest
from scipy import stats

from hearing_asr import uncertainty
from hearing_asr.uncertainty import (
    bca_ends,
    block_codes,
    block_sums,
    bootstrap,
    intervals,
    ratio_intervals,
    resampled_sums,
)

RNG = np.random.default_rng(11)


def rate(totals):
    return totals[..., :1] / totals[..., 1:]


def clips(speakers=40, seed=3):
    """Errors and words of clips whose speakers differ: (clips, 2), speakers (clips,)."""
    rng = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(speakers), rng.integers(1, 8, speakers))
    words = rng.integers(3, 15, len(speaker))
    errors = rng.binomial(words, rng.beta(2, 6, speakers)[speaker])
    return np.column_stack([errors, words]).astype(float), speaker


def test_clips_without_a_name_are_blocks_of_their_own():
    assert block_codes(["b", "a", "b", "", "", "a"]).tolist() == [0, 1, 0, 2, 3, 1]
    assert block_codes([]).tolist() == []


def test_block_sums():
    values = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert block_sums(values, np.array([0, 1, 0])).tolist() == [[6, 8], [3, 4]]


def test_draws_take_as_many_blocks_as_there_are(monkeypatch):
    sums = np.column_stack([np.ones(7), np.arange(7.0)])
    monkeypatch.setattr(uncertainty, "CHUNK_CELLS", 70)  # several chunks, the last one short
    parts = list(resampled_sums(sums, 25, 1))
    assert [len(part) for part in parts] == [10, 10, 5]
    drawn = np.concatenate(parts)
    assert (drawn[:, 0] == 7).all()
    assert len(np.unique(drawn[:, 1])) > 5
    assert np.array_equal(drawn, np.concatenate(list(resampled_sums(sums, 25, 1))))
    assert not np.array_equal(drawn, np.concatenate(list(resampled_sums(sums, 25, 2))))


def test_replicates_spread_like_the_standard_error():
    values = RNG.normal(size=(400, 1))
    drawn = bootstrap(values, lambda totals: totals / 400, 20_000, 1)
    assert drawn.mean() == pytest.approx(values.mean(), abs=1e-3)
    assert drawn.std() == pytest.approx(values.std() / 20, rel=0.02)


def test_ends_are_scipys_bca_but_for_the_widening():
    data, speaker = clips(400)
    sums = block_sums(data, speaker)  # 400 blocks: widening by Student's quantile is 0.3 %
    estimate, low, high = intervals(sums, rate, 40_000, 1)

    def statistic(errors, words, axis=-1):
        return errors.sum(axis=axis) / words.sum(axis=axis)

    reference = stats.bootstrap(
        sums.T,
        statistic,
        paired=True,
        n_resamples=40_000,
        batch=500,
        method="BCa",
        random_state=np.random.default_rng(5),
    ).confidence_interval
    width = reference.high - reference.low
    assert estimate[0] == data[:, 0].sum() / data[:, 1].sum()
    assert low[0] == pytest.approx(reference.low, abs=0.02 * width)
    assert high[0] == pytest.approx(reference.high, abs=0.02 * width)


def test_skewed_data_have_scipys_bca_of_the_widened_level():
    values = np.random.default_rng(21).lognormal(sigma=1.5, size=25)
    sums = np.column_stack([values, np.ones(25)])
    _, low, high = intervals(sums, rate, 100_000, 1)
    wide = np.sqrt(25 / 24) * stats.t.ppf(0.975, 24)
    told = {
        "n_resamples": 100_000,
        "confidence_level": stats.norm.cdf(wide) - stats.norm.cdf(-wide),
    }
    rng = np.random.default_rng(5)
    bca = stats.bootstrap((values,), np.mean, method="BCa", rng=rng, **told).confidence_interval
    plain = stats.bootstrap((values,), np.mean, method="percentile", rng=rng, **told)
    assert bca.high - plain.confidence_interval.high > 0.05 * bca.high  # else this shows nothing
    assert low[0] == pytest.approx(bca.low, rel=0.01)
    assert high[0] == pytest.approx(bca.high, rel=0.01)


def test_ties_count_half():
    """Replicates that lie evenly about the estimate, many of them on it: no bias, even ends."""
    replicates = np.repeat([-2.0, -1.0, 0.0, 1.0, 2.0], [100, 200, 700, 200, 100])[:, None]
    without_one = np.array([[-1.0], [0.0], [1.0]] * 100)
    low, high = bca_ends(np.zeros(1), replicates, without_one)
    assert low[0] == pytest.approx(-high[0])
    assert high[0] > 1


def test_few_blocks_widen_the_interval_as_students_t():
    values = np.column_stack([RNG.normal(size=8), np.ones(8)])
    _, low, high = intervals(values, rate, 200_000, 1)
    mean, error = values[:, 0].mean(), stats.sem(values[:, 0])
    width = 2 * stats.t.ppf(0.975, 7) * error
    assert high[0] - low[0] == pytest.approx(width, rel=0.12)
    assert low[0] < mean < high[0]


def test_skewness_moves_both_ends():
    values = np.column_stack([RNG.lognormal(sigma=1.2, size=60), np.ones(60)])
    estimate, low, high = intervals(values, rate, 20_000, 1)
    assert high[0] - estimate[0] > 1.2 * (estimate[0] - low[0])
    _, mirrored_low, mirrored_high = intervals(values * [-1, 1], rate, 20_000, 1)
    assert -mirrored_high[0] == pytest.approx(low[0], rel=1e-6)
    assert -mirrored_low[0] == pytest.approx(high[0], rel=1e-6)


def test_speakers_that_differ_make_blocks_wider():
    data, speaker = clips(60)
    by_speaker = ratio_intervals(data[:, :1], data[:, 1:], speaker, replicates=4000, seed=1)
    one_by_one = np.arange(len(data))
    by_clip = ratio_intervals(data[:, :1], data[:, 1:], one_by_one, replicates=4000, seed=1)
    assert by_speaker[1] - by_speaker[0] > 1.3 * (by_clip[1] - by_clip[0])


def test_columns_share_their_draws():
    """A difference of two columns that move together is far surer than either."""
    data, speaker = clips(60)
    other = data[:, :1] + 1
    sums = block_sums(np.hstack([data[:, :1], other, data[:, 1:]]), speaker)

    def both(totals):
        rates = totals[..., :2] / totals[..., 2:]
        return np.concatenate([rates, rates[..., 1:] - rates[..., :1]], axis=-1)

    _, low, high = intervals(sums, both, 4000, 1)
    width = high - low
    assert width[2] < 0.5 * min(width[0], width[1])


def test_one_block_has_no_interval_and_what_no_draw_changes_has_none():
    estimate, low, high = intervals(np.array([[2.0, 8.0]]), rate, 100, 1)
    assert estimate[0] == 0.25
    assert np.isnan([low[0], high[0]]).all()
    nothing = np.column_stack([np.zeros(9), np.ones(9)])
    estimate, low, high = intervals(nothing, rate, 200, 1)
    assert estimate[0] == 0.0
    assert np.isnan([low[0], high[0]]).all()


def test_rounding_does_not_decide_about_ties():
    """A difference of rates, and a rate of differences: the same interval."""
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 4, size=(2, 6)).astype(float)
    words = np.full(6, 100.0)
    first = intervals(
        np.column_stack([one, other, words]),
        lambda t: (t[..., :1] - t[..., 1:2]) / t[..., 2:],
        999,
        1,
    )
    second = intervals(
        np.column_stack([one, other, words]),
        lambda t: t[..., :1] / t[..., 2:] - t[..., 1:2] / t[..., 2:],
        999,
        1,
    )
    for ours, theirs in zip(first, second, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-9)


def test_blocks_of_unequal_size_count_as_fewer():
    assert uncertainty.effective_blocks(np.repeat(np.arange(9), 4)) == pytest.approx(9)
    uneven = np.repeat([0, 1, 2], [96, 2, 2])
    assert uncertainty.effective_blocks(uneven) == pytest.approx(100**2 / (96**2 + 8))


def test_utterances_are_drawn_where_no_two_speakers_are_known():
    assert uncertainty.resampled_blocks(["a", "", "a"])[0] == "utterances"
    assert uncertainty.resampled_blocks(["", ""])[1].tolist() == [0, 1]
    what, blocks = uncertainty.resampled_blocks(["a", "b", "", "a"])
    assert (what, blocks.tolist()) == ("speakers", [0, 1, 2, 0])


def test_a_statistic_that_is_undefined_in_some_draws_has_no_ends():
    sums = np.column_stack([np.ones(4), np.array([1.0, 0.0, 0.0, 0.0])])
    estimate, low, high = intervals(sums, rate, 500, 1)
    assert estimate[0] == 4.0
    assert np.isnan([low[0], high[0]]).all()


def test_ends_do_not_depend_on_what_stands_beside():
    data, speaker = clips(30)
    many = np.hstack([data[:, :1], 2 * data[:, :1]])
    words = np.repeat(data[:, 1:], 2, axis=1)
    low, high = ratio_intervals(many, words, speaker, replicates=999, seed=4)
    alone = ratio_intervals(data[:, :1], data[:, 1:], speaker, replicates=999, seed=4)
    assert (low[0], high[0]) == (alone[0][0], alone[1][0])
    assert low[1] == pytest.approx(2 * low[0])


def test_ends_lie_within_the_replicates():
    replicates = RNG.normal(size=(50, 3)) + np.array([0, 10, -10])  # far from their estimate
    low, high = bca_ends(np.zeros(3), replicates, RNG.normal(size=(9, 3)))
    assert (low >= replicates.min(axis=0)).all()
    assert (high <= replicates.max(axis=0)).all()
    assert (low <= high).all()
