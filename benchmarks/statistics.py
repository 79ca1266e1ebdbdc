"""Scores and their uncertainty: how long, how much memory, and whether intervals keep their word.

Texts, counts and speakers are made up. Each measurement has a process of its own.
"""

import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product

import numpy as np
import pandas as pd

from benchmarks import simulation
from benchmarks.common import SPAWN, Row, Section, Stopwatch, best_in_turns, say
from benchmarks.ingestion import high_water
from benchmarks.simulation import Population

MILLION = 1_000_000
SCORING = 60  # seconds per million clips, at most
COMPARING = 20  # seconds, at most
LIMIT = 1024  # MiB
OFF = 2  # percentage points that a coverage may be off 95 %
ENOUGH = 50  # speakers from which on that is promised, where none spoke most of the clips

WRONG = 0.15  # of the words
WORDS = """a about actor after album also and appeared are artist as at band because been before
born both building but by called centre church city club college colour company could county
daughter died district during early eastern election family favourite film first five for former
from government had has he her his house i in includes into is island it its known language large
later line little local made many married member music neighbours new next north not now of official
on one opened originally other over park people played population published railway released river
road schools second series served several she since singer small south state station still team that
the their them then there these they this three through time today together tomorrow town twenty two
university until village was water we were western when where which while who will winter with won
work world would writer years you""".split()

CLIPS, SPEAKERS = 16_000, 5_000
MODELS = ("zero_shot", "normal", "lfloss", "hfloss")
VARIANTS = ("normal", "lfloss", "hfloss", "flat")
REPLICATES = 1_000  # of each simulated bootstrap
OWN = 0.3  # of the log-odds, where systems differ on speakers
SHIFT = -0.2  # of the log-odds of the better system
POPULATIONS = (
    Population(10, 12, sd=0.5),
    Population(20, 6),
    Population(50, 3),
    Population(50, 3, level=-3.0),
    Population(50, 3, sd=1.5, level=-3.0),
    Population(100, 3, sd=1.5, level=-3.0),
    Population(300, 3),
    Population(1000, 2),
    Population(50, 10, uneven=True),
    Population(300, 10, uneven=True),
)


def measure(
    scored: int, replicates: int, looped: int, tests: int, rounds: int
) -> Iterator[Section]:
    """All sections.

    Args:
        scored: clips that are scored.
        replicates: of the bootstrap over the matrix, and permutations.
        looped: replicates of the plain loop that it is compared with.
        tests: simulated in each population.
        rounds: see `best_in_turns`.
    """
    say("scoring")
    yield from scoring(scored, rounds)
    say("bootstrap")
    yield from bootstrap(replicates, looped)
    say("simulated test sets")
    yield from coverage(tests)


def scoring(clips: int, rounds: int) -> Iterator[Section]:
    """Time of counts and rates, scaled to a million clips."""
    sides = {"here": score, "jiwer": score_by_jiwer, "english": normalize}
    best = best_in_turns({name: partial(side, clips) for name, side in sides.items()}, rounds)
    seconds = {name: value * MILLION / clips for name, value in best.items()}
    title = "Scoring: s per million clips"
    row = Row("counts and rates, both kinds of texts", SCORING, seconds["here"], 1)
    yield Section(title, "limit", "here", [row])
    rows = [
        Row("the same counts by jiwer", seconds["jiwer"], seconds["here"]),
        Row("normalizer `english`, alone", seconds["english"], seconds["here"]),
    ]
    yield Section(title, "other", "here", rows)


def texts(clips: int) -> tuple[list[str], list[str]]:
    """References of 8 to 12 words, and hypotheses that have some of them wrong."""
    draw = random.Random(1)
    references, hypotheses = [], []
    for _ in range(clips):
        said = draw.choices(WORDS, k=draw.randint(8, 12))
        heard = [written for word in said for written in misheard(word, draw)]
        references.append(" ".join(said).capitalize() + ".")
        hypotheses.append(" ".join(heard).capitalize() + ".")
    return references, hypotheses


def misheard(word: str, draw: random.Random) -> list[str]:
    """What is written for a word: mostly itself, else another, nothing, or one more."""
    if draw.random() >= WRONG:
        return [word]
    other = draw.choice(WORDS)
    return draw.choices([[other], [], [word, other]], [6, 2, 2])[0]


def score(clips: int) -> float:
    """CPU seconds for the counts of normalized and of raw texts, and the rates."""
    from hearing_asr.normalizers import normalizer
    from hearing_asr.scoring import RAW, corpus_rates, score_clips

    raw = texts(clips)
    normalized = [[*map(normalizer("simple"), side)] for side in raw]
    watch = Stopwatch()
    with watch:
        counts = score_clips(*normalized)
        counts |= {RAW + name: values for name, values in score_clips(*raw).items()}
        totals = {name: values.sum() for name, values in counts.items()}
        wrong = sum(counts[f"word_{kind}"] for kind in ("substitutions", "deletions", "insertions"))
        corpus_rates(totals | {"wrong_clips": (wrong > 0).sum(), "clips": clips})
    return watch.seconds


def score_by_jiwer(clips: int) -> float:
    """CPU seconds for the same counts, by `process_words` and `process_characters`."""
    import jiwer

    from hearing_asr.normalizers import normalizer

    raw = texts(clips)
    normalized = [[*map(normalizer("simple"), side)] for side in raw]
    watch = Stopwatch()
    with watch:
        for references, hypotheses in (normalized, raw):
            for reference, hypothesis in zip(references, hypotheses, strict=True):
                for process in (jiwer.process_words, jiwer.process_characters):
                    output = process(reference, hypothesis)
                    _ = output.hits, output.substitutions, output.deletions, output.insertions
    return watch.seconds


def normalize(clips: int) -> float:
    """CPU seconds for normalizing references and hypotheses with Whisper's English normalizer."""
    from hearing_asr.normalizers import normalizer

    sides = texts(clips)
    english = normalizer("english")
    watch = Stopwatch()
    with watch:
        for side in sides:
            for text in side:
                english(text)
    return watch.seconds


def bootstrap(replicates: int, looped: int) -> Iterator[Section]:
    """Time and memory of intervals and comparisons of a matrix of models and variants."""
    with ProcessPoolExecutor(1, mp_context=SPAWN, max_tasks_per_child=1) as pool:
        seconds, peak = pool.submit(compare, replicates).result()
        plain = pool.submit(plain_loop, looped).result() * replicates / looped
    clips = f"{CLIPS:,} clips, {SPEAKERS:,} speakers"
    title = f"Bootstrap, {clips}: s"
    cells = f"{replicates:,} replicates, {len(MODELS) * len(VARIANTS)} cells"
    yield Section(title, "limit", "here", [Row(cells, COMPARING, seconds, 1)])
    row = Row(cells, plain, seconds)
    note = f"  the loop is told from {looped:,} replicates"
    yield Section(title, "plain loop", "here", [row], note)
    row = Row("the process that does it", LIMIT, peak, 1)
    yield Section("Bootstrap, peak memory: MiB", "1 GiB", "here", [row])


def made_up_cells(clips: int = CLIPS, speakers: int = SPEAKERS):
    """Counts of every model on every variant, `cells.Cells`, for speakers who differ."""
    from hearing_asr.cells import SUMMED, Cells
    from hearing_asr.scoring import OUTCOMES

    rng = np.random.default_rng(1)
    names = tuple(product(MODELS, VARIANTS))
    who = rng.permutation(np.arange(clips) % speakers)
    wrong = rng.beta(2, 8, speakers)[who, None] * rng.uniform(0.5, 1.5, len(names))
    words = np.repeat(rng.integers(3, 15, (clips, 1)), len(names), axis=1)
    counts = np.zeros((clips, len(names), len(SUMMED)))
    for unit, scale in (("word", 1), ("char", 6), ("raw_word", 1), ("raw_char", 6)):
        missing = rng.binomial(scale * words, np.minimum(wrong / 3, 1))
        other = rng.binomial(scale * words - missing, np.minimum(wrong / 2, 1))
        more = rng.binomial(scale * words, np.minimum(wrong / 6, 1))
        hits = scale * words - missing - other
        for outcome, values in zip(OUTCOMES, (hits, other, missing, more), strict=True):
            counts[..., SUMMED.index(f"{unit}_{outcome}")] = values
    counts[..., SUMMED.index("wrong_clips")] = counts[..., 1:4].sum(axis=-1) > 0
    counts[..., SUMMED.index("clips")] = 1
    totals = counts.sum(axis=0)
    return Cells(
        names=names,
        seeds=((None,),) * len(names),
        paths=np.array([f"{clip}.mp3" for clip in range(clips)]),
        speakers=np.array([f"speaker {number}" for number in who]),
        counts=counts,
        excluded=0,
        by_seed={(*name, None): total for name, total in zip(names, totals, strict=True)},
    )


def compare(replicates: int) -> tuple[float, float]:
    """CPU seconds for both tables, and the peak memory of this process in MiB."""
    from hearing_asr.comparisons import comparison_table, interval_table
    from hearing_asr.uncertainty import Draws

    cells, draws = made_up_cells(), Draws(replicates, seed=1)
    watch = Stopwatch()
    with watch:
        interval_table(cells, draws)
        comparison_table(cells, VARIANTS[0], draws)
    return watch.seconds, high_water("self")


def plain_loop(replicates: int) -> float:
    """CPU seconds for replicates of the same sums, one after the other.

    Each draws speakers and adds up all their counts, from which all rates and differences follow;
    draws clips and adds up errors and words; and gives signs to the speakers' differences.
    """
    from hearing_asr.comparisons import family
    from hearing_asr.uncertainty import block_sums

    cells = made_up_cells()
    sums = block_sums(cells.counts.reshape(CLIPS, -1), cells.blocks())
    words = np.column_stack([cells.errors, cells.words])
    signed = np.ones((SPEAKERS, len(family(cells, VARIANTS[0]))))
    rng = np.random.default_rng(1)
    watch = Stopwatch()
    with watch:
        for _ in range(replicates):
            sums[rng.integers(0, len(sums), len(sums))].sum(axis=0)
            words[rng.integers(0, len(words), len(words))].sum(axis=0)
            rng.choice([-1.0, 1.0], len(signed)) @ signed
    return watch.seconds


def coverage(tests: int) -> Iterator[Section]:
    """How often intervals miss the true WER, and tests are wrong about two systems."""
    table = simulated(tests)
    least = 50 / tests  # half a test, in %: none in so many is not never
    miss = 100 - table[["speakers", "utterances"]]
    rows = [
        Row(name, max(row.utterances, least), max(row.speakers, least))
        for name, row in miss.iterrows()
    ]
    yield Section("95 % intervals without the true WER: %", "utterances", "speakers", rows)
    off = max(
        abs(table.speakers[str(population)] - 95)
        for population in POPULATIONS
        if population.speakers >= ENOUGH and not population.uneven
    )
    row = Row(f"the farthest, {ENOUGH} speakers and more", OFF, max(off, least), 1)
    yield Section("Coverage, off 95 %: percentage points", "limit", "here", [row])
    rows = [
        Row(name, max(row.overlap_power, least), max(row.permutation_power, least))
        for name, row in (100 - table.filter(like="_power")).iterrows()
    ]
    title = "Real differences that are not found: %"
    yield Section(title, "overlap", "permutation", rows, in_words(table))


def simulated(tests: int) -> pd.DataFrame:
    """All that is simulated, in %, a row per population.

    Columns: coverage by `speakers` and `utterances`; for each of `simulation.TESTS`, how often it
    tells systems apart that are alike on every speaker (`_alike`), alike in the mean only
    (`_own`), or different by SHIFT and by speaker (`_power`).
    """
    rows = {}
    for population in POPULATIONS:
        say(str(population))
        missed = simulation.missed(population, tests, REPLICATES, seed=1)
        row = {drawn: 1 - share for drawn, share in missed.items()}
        cases = {"alike": {}, "own": {"own": OWN}, "power": {"own": OWN, "shift": SHIFT}}
        for case, systems in cases.items():
            found = simulation.found(population, tests, REPLICATES, seed=2, **systems)
            row |= {f"{test}_{case}": share for test, share in found.items()}
        rows[str(population)] = row
    return 100 * pd.DataFrame.from_dict(rows, orient="index")


def in_words(table: pd.DataFrame) -> str:
    """What `simulated` found of pairs of systems, as text."""
    cases = {"alike": "alike", "own": "alike in the mean", "power": "different"}
    heads = " |".join(f"{words:>24}" for words in cases.values())
    tests = " |".join("".join(f"{test[:4]:>5}." for test in simulation.TESTS) for _ in cases)
    lines = ["", f"{'% of pairs told apart at 5 %':<40}{heads}", f"{'':<40}{tests}"]
    for name, row in table.iterrows():
        shares = " |".join(
            "".join(f"{row[f'{test}_{case}']:6.1f}" for test in simulation.TESTS) for case in cases
        )
        lines.append(f"  {name:<38}{shares}")
    return "\n".join(lines)
