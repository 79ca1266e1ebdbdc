"""How sure a rate is: bootstrap over speakers or over utterances.

Clips of one speaker resemble each other: who mumbles once mumbles again. Utterances drawn one by
one are taken for independent, which makes intervals too narrow where speakers differ. So whole
speakers are drawn, with all their clips (Bisani & Ney 2004, "Bootstrap estimates for confidence
intervals in ASR performance evaluation"; blockwise: Liu & Peng 2020, arXiv:1912.09508).

Everything that is reported is a function of sums over clips (errors over words, differences of
such rates), so a replicate needs the sums of each block (a speaker, or a clip) once, and then
only how often each block was drawn. One draw serves all columns: what is compared stays paired.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

LEVEL = 0.95
SPEAKERS, UTTERANCES = "speakers", "utterances"
TIE = 1e-12
CHUNK_CELLS = 2_000_000  # draws that are held in memory at a time

Statistic = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Draws:
    """How chance is drawn: number of bootstrap replicates and of permutations, and the seed."""

    replicates: int
    seed: int


def block_codes(names: Sequence[str]) -> np.ndarray:
    """Number the blocks that clips belong to: int64 (clips,), 0, 1, ... in order of appearance.

    Clips with the same name form a block. Nobody knows whose clips without a name are: each of
    them is a block of its own.
    """
    codes, seen, count = np.empty(len(names), np.int64), {}, 0
    for clip, name in enumerate(names):
        if not name or name not in seen:
            seen[name] = count
            count += 1
        codes[clip] = seen[name]
    return codes


def resampled_blocks(names: Sequence[str]) -> tuple[str, np.ndarray]:
    """What is drawn, and the block of each clip: SPEAKERS where two are known, else UTTERANCES."""
    if len(set(names) - {""}) < 2:
        return UTTERANCES, np.arange(len(names))
    return SPEAKERS, block_codes(names)


def block_sums(values: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Add up `values` (clips, ...) over the clips of each block: float64 (blocks, ...)."""
    values = np.asarray(values, dtype=np.float64)
    sums = np.zeros((int(blocks.max(initial=-1)) + 1, *values.shape[1:]))
    np.add.at(sums, blocks, values)
    return sums


def effective_blocks(blocks: np.ndarray) -> float:
    """As how many blocks of one size they count: (sum of clips)^2 / sum of clips^2 (Kish 1965).

    Where few blocks have most of the clips these are far fewer than there are, and intervals over
    them too narrow (docs/statistics.md).
    """
    clips = np.bincount(blocks)
    return float(clips.sum() ** 2 / (clips.astype(float) ** 2).sum())


def resampled_sums(sums: np.ndarray, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """Draw as many blocks as there are, with replacement, `replicates` times; add up their sums.

    Args:
        sums: (blocks, columns), of each block.
        seed: the same seed gives the same draws.

    Yields:
        float64 (some replicates, columns), in bounded memory.
    """
    blocks = len(sums)
    rng = np.random.default_rng(seed)
    chunk = max(1, min(replicates, CHUNK_CELLS // blocks))
    for begin in range(0, replicates, chunk):
        count = min(chunk, replicates - begin)
        drawn = rng.integers(0, blocks, size=(count, blocks))
        drawn += np.arange(count)[:, None] * blocks
        times = np.bincount(drawn.ravel(), minlength=count * blocks).reshape(count, blocks)
        yield times.astype(np.float64) @ sums


def bootstrap(sums: np.ndarray, statistic: Statistic, replicates: int, seed: int) -> np.ndarray:
    """Replicates of a statistic of the sums over all clips.

    Args:
        sums: (blocks, columns), of each block.
        statistic: sums (..., columns) to values (..., values); undefined values are NaN.

    Returns:
        float64 (replicates, values).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [statistic(part) for part in resampled_sums(sums, replicates, seed)]
    return np.concatenate(parts)


def intervals(
    sums: np.ndarray, statistic: Statistic, replicates: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """95 % intervals of a statistic by bootstrap over blocks.

    The ends are bias-corrected and accelerated (BCa; Efron 1987, "Better bootstrap confidence
    intervals"), and widened for few blocks as a t-interval is against a normal one: n / (n - 1)
    under the root and Student's quantile in place of the normal one (Hesterberg 2015, "What
    teachers should know about the bootstrap", section 5.3).

    Args:
        sums: (blocks, columns), of each block.
        statistic: sums (..., columns) to values (..., values).
        replicates: number of draws.
        seed: the same seed gives the same intervals.

    Returns:
        Estimate, lower and upper ends, each float64 (values,). Ends are NaN where there is just
        one block, where the statistic is not defined in every draw, and where no draw changes it:
        no error in 50 clips does not mean that there is none to be expected.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        total = sums.sum(axis=0)
        estimate = statistic(total)
        if len(sums) < 2:
            nothing = np.full_like(estimate, np.nan)
            return estimate, nothing, nothing.copy()
        without_one = statistic(total - sums)
        drawn = bootstrap(sums, statistic, replicates, seed)
        low, high = bca_ends(estimate, drawn, without_one)
    return estimate, low, high


def bca_ends(
    estimate: np.ndarray, replicates: np.ndarray, without_one: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the widened BCa interval.

    Args:
        estimate: (values,), of the data.
        replicates: (replicates, values).
        without_one: (blocks, values), the statistic without one block after the other.

    Returns:
        Lower and upper ends (values,).
    """
    blocks, count = len(without_one), len(replicates)
    # Sums in another order differ a little; what was equal must stay a tie.
    near = TIE * np.maximum(np.abs(estimate), 1.0)
    tied = np.abs(replicates - estimate) <= near
    below = (replicates < estimate - near).sum(axis=0) + tied.sum(axis=0) / 2
    bias = ndtri(np.clip(below / count, 0.5 / count, 1 - 0.5 / count))
    away = without_one.mean(axis=0) - without_one
    spread = (away**2).sum(axis=0)
    skew = np.divide(
        (away**3).sum(axis=0), spread**1.5, out=np.zeros_like(spread), where=spread > 0
    )
    acceleration = skew / 6
    tail = (1 - LEVEL) / 2
    wide = np.sqrt(blocks / (blocks - 1)) * stdtrit(blocks - 1, [tail, 1 - tail])
    ends = []
    for normal in wide:
        shifted = bias + normal
        ends.append(ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 1e-3)))
    ordered = np.sort(replicates, axis=0)
    undefined = ~np.isfinite(replicates).all(axis=0) | tied.all(axis=0)
    return tuple(np.where(undefined, np.nan, _quantile(ordered, end)) for end in ends)


def _quantile(ordered: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A quantile of each column of sorted values, interpolated; `share` (columns,) in 0 to 1."""
    place = share * (len(ordered) - 1)
    lower = np.floor(place).astype(int)
    upper = np.minimum(lower + 1, len(ordered) - 1)
    column = np.arange(ordered.shape[1])
    part = place - lower
    return ordered[lower, column] * (1 - part) + ordered[upper, column] * part


def ratio_intervals(
    numerators: np.ndarray,
    denominators: np.ndarray,
    blocks: np.ndarray,
    *,
    replicates: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of ratios of sums, as errors over words.

    Args:
        numerators, denominators: (clips, ratios).
        blocks: (clips,), numbers of `block_codes`.

    Returns:
        Lower and upper ends, each (ratios,); NaN where they are undefined.
    """
    ratios = numerators.shape[1]
    sums = block_sums(np.hstack([numerators, denominators]), blocks)
    _, low, high = intervals(
        sums, lambda total: total[..., :ratios] / total[..., ratios:], replicates, seed
    )
    return low, high
