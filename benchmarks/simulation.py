"""Speakers who are made up, so that the truth is known: do intervals and tests keep their word?

In a population, the log-odds of getting a word wrong are a level, plus an effect of the speaker,
plus one of the clip, both normal. Two systems share these; on top, each may have an effect of its
own on every speaker, which makes one better for some and the other better for others.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from hearing_asr.significance import mapsswe, permutation_p_values
from hearing_asr.uncertainty import block_sums, ratio_intervals

WORDS = (3, 14)  # in a clip, from and to
CLIP_SD = 0.5  # of the log-odds from clip to clip
UNEVEN = 0.2  # with 10 clips in the mean, the tenth that spoke most has 0.6 of all
ALPHA = 0.05
BATCH = 50  # tests with the same numbers of clips, which therefore share their draws
TESTS = ("permutation", "mapsswe", "paired", "overlap")


@dataclass(frozen=True)
class Population:
    """Where test sets come from.

    Attributes:
        speakers: in a test set.
        clips: of a speaker in the mean: 1, and more by a Poisson law.
        sd: of the log-odds of a word error from speaker to speaker.
        level: of the log-odds.
        uneven: whether few speakers spoke most clips: what is added to 1 then has a mean that
            differs from speaker to speaker, by a gamma law of shape UNEVEN.
    """

    speakers: int
    clips: float
    sd: float = 1.0
    level: float = -1.5
    uneven: bool = False

    def __str__(self) -> str:
        clips = f"{self.clips:g} {'uneven' if self.uneven else 'clips'}"
        return f"{self.speakers:,} speakers, {clips}, WER {true_rate(self):.0%}, sd {self.sd:g}"


@dataclass(frozen=True)
class Scored:
    """Test sets of the same design, with the errors of some systems.

    Attributes:
        errors: float64 (clips, systems, sets).
        words: float64 (clips, sets), at least 3.
        blocks: int64 (clips,), the speaker.
    """

    errors: np.ndarray
    words: np.ndarray
    blocks: np.ndarray


def true_rate(population: Population, shift: float = 0.0, own: float = 0.0) -> float:
    """The WER that endless test sets would have: the mean probability of an error.

    Args:
        shift: of the log-odds of a system.
        own: standard deviation of the system's own effects on speakers.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    spread = np.sqrt(population.sd**2 + CLIP_SD**2 + own**2)
    odds = population.level + shift + spread * points
    return float(weights @ expit(odds) / weights.sum())


def draw(
    population: Population,
    sets: int,
    rng: np.random.Generator,
    shifts: tuple[float, ...] = (0.0,),
    own: float = 0.0,
) -> Scored:
    """Draw test sets, and the errors that systems make on them.

    Args:
        shifts: of the log-odds, one for each system.
        own: standard deviation of what each system adds to a speaker's log-odds.
    """
    more = np.full(population.speakers, population.clips - 1)
    if population.uneven:
        more = more * rng.gamma(UNEVEN, 1 / UNEVEN, population.speakers)
    counts = 1 + rng.poisson(more)
    blocks = np.repeat(np.arange(population.speakers), counts)
    speakers = population.sd * rng.standard_normal((population.speakers, 1, sets))
    speakers = speakers + own * rng.standard_normal((population.speakers, len(shifts), sets))
    clips = CLIP_SD * rng.standard_normal((len(blocks), 1, sets))
    odds = population.level + np.array(shifts)[:, None] + speakers[blocks] + clips
    words = rng.integers(WORDS[0], WORDS[1] + 1, (len(blocks), sets))
    errors = rng.binomial(words[:, None], expit(odds))
    return Scored(errors.astype(float), words.astype(float), blocks)


def missed(population: Population, tests: int, replicates: int, seed: int) -> dict[str, float]:
    """Share of 95 % intervals that do not hold the true WER.

    Returns:
        `speakers` and `utterances`: by what was drawn.
    """
    truth = true_rate(population)
    outside = {"speakers": 0, "utterances": 0}
    for sets, draws, rng in _batches(tests, seed):
        made = draw(population, sets, rng)
        for drawn, blocks in (
            ("speakers", made.blocks),
            ("utterances", np.arange(len(made.blocks))),
        ):
            low, high = ratio_intervals(
                made.errors[:, 0], made.words, blocks, replicates=replicates, seed=draws
            )
            outside[drawn] += int(((truth < low) | (truth > high)).sum())
    return {drawn: count / tests for drawn, count in outside.items()}


def found(
    population: Population,
    tests: int,
    replicates: int,
    seed: int,
    *,
    shift: float = 0.0,
    own: float = 0.0,
) -> dict[str, float]:
    """Share of pairs of systems in which a difference is found; none is there without a shift.

    Args:
        shift: of the second system's log-odds.
        own: see `draw`.

    Returns:
        TESTS: permutation of speakers, p below 5 %; MAPSSWE, p below 5 %; the 95 % interval of
        the difference without 0; intervals of the two rates that do not overlap.
    """
    positive = dict.fromkeys(TESTS, 0)
    for sets, draws, rng in _batches(tests, seed):
        made = draw(population, sets, rng, (0.0, shift), own)
        for test, yes in decisions(made, replicates, draws).items():
            positive[test] += int(yes.sum())
    return {test: count / tests for test, count in positive.items()}


def decisions(made: Scored, replicates: int, seed: int) -> dict[str, np.ndarray]:
    """Whether each of TESTS tells two systems apart: bool (sets,), for each test."""
    differences = made.errors[:, 0] - made.errors[:, 1]
    chance = {"replicates": replicates, "seed": seed}
    low, high = ratio_intervals(differences, made.words, made.blocks, **chance)
    rates = np.hstack([made.errors[:, 0], made.errors[:, 1]])
    words = np.hstack([made.words, made.words])
    lows, highs = (
        ends.reshape(2, -1) for ends in ratio_intervals(rates, words, made.blocks, **chance)
    )
    by_speaker = block_sums(differences, made.blocks)
    return {
        "permutation": permutation_p_values(by_speaker, replicates, seed) < ALPHA,
        "mapsswe": mapsswe(differences)[1] < ALPHA,
        "paired": (low > 0) | (high < 0),
        "overlap": (lows[0] > highs[1]) | (lows[1] > highs[0]),
    }


def _batches(tests: int, seed: int) -> Iterator[tuple[int, int, np.random.Generator]]:
    """How many test sets, the seed of their draws, and what they are made with."""
    for number, begin in enumerate(range(0, tests, BATCH)):
        rng = np.random.default_rng([seed, number])
        yield min(BATCH, tests - begin), int(rng.integers(2**31)), rng
