"""Tests of paired differences, and the correction for making many of them."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

FEWEST_SEGMENTS = 30  # of MAPSSWE
CHUNK_CELLS = 2_000_000  # signs that are held in memory at a time


def permutation_p_values(differences: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    """Two-sided p-values of paired permutation tests, blocks being exchanged as a whole.

    Were two systems alike, it would be chance which of them made which of a speaker's errors, so
    the sign of each block's difference could as well be the other one. The sum of differences is
    compared with its sums under other signs: under all of them where these are no more than
    `permutations`, else under as many drawn at random, the observed one counted among them
    (Phipson & Smyth 2010, "Permutation p-values should never be zero").

    Args:
        differences: (blocks, tests), one system's errors minus the other's in each block.
        permutations: number of sign patterns.
        seed: the same seed gives the same patterns; all tests share them.

    Returns:
        float64 (tests,).
    """
    blocks = len(differences)
    observed = np.abs(differences.sum(axis=0))
    least = observed - 1e-9 * np.maximum(observed, 1.0)  # sums in another order differ a little
    if blocks < 63 and 2**blocks <= permutations:
        patterns = np.arange(2**blocks)[:, None] >> np.arange(blocks) & 1
        sums = (2.0 * patterns - 1.0) @ differences
        return (np.abs(sums) >= least).mean(axis=0)
    rng = np.random.default_rng(seed)
    chunk = max(1, min(permutations, CHUNK_CELLS // blocks))
    as_large = np.zeros(differences.shape[1])
    for begin in range(0, permutations, chunk):
        count = min(chunk, permutations - begin)
        signs = 2.0 * rng.integers(0, 2, size=(count, blocks), dtype=np.int8) - 1.0
        as_large += (np.abs(signs @ differences) >= least).sum(axis=0)
    return (1 + as_large) / (1 + permutations)


def mapsswe(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matched-pairs sentence-segment word error test, each utterance being a segment.

    Gillick & Cox 1989, "Some statistical issues in the comparison of speech recognition
    algorithms": W = mean / (standard deviation / sqrt(n)) of the differences in errors per
    segment is about standard normal where the systems are alike. It takes utterances for
    independent, whoever spoke them.

    Args:
        differences: (clips, tests), one system's errors minus the other's.

    Returns:
        W and its two-sided p-value, each float64 (tests,). Where all differences are 0, W is 0
        and p is 1. NaN where all are the same but not 0, and with fewer than FEWEST_SEGMENTS
        clips: W is then not about normal.
    """
    clips = len(differences)
    if clips < FEWEST_SEGMENTS:
        nothing = np.full(differences.shape[1], np.nan)
        return nothing, nothing.copy()
    mean = differences.mean(axis=0)
    error = differences.std(axis=0, ddof=1) / np.sqrt(clips)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(mean == 0, 0.0, np.where(error > 0, mean / error, np.nan))
    return statistic, 2 * ndtr(-np.abs(statistic))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """P-values of a family of tests, adjusted so that 5 % is the chance of any false positive.

    Holm 1979, "A simple sequentially rejective multiple test procedure". NaN stays NaN and does
    not count as a test.
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(p_values), np.nan)
    known = np.flatnonzero(np.isfinite(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return adjusted
