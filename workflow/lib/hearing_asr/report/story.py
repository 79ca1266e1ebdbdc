"""What the results say, in sentences that follow from numbers of the run; and what to doubt."""

from collections.abc import Mapping, Sequence

import pandas as pd

from hearing_asr.names import ZERO_SHOT
from hearing_asr.report.numbers import NOTHING, between, percent, points

# Speakers below which 95 % intervals cover less, and how much: docs/statistics.md.
COVERED = (
    (3, "about half"),
    (4, "about 73 %"),
    (5, "about 86 %"),
    (8, "about 90 to 92 %"),
    (20, "about 88 to 94 %"),
    (50, "about 91 to 94 %"),
)
LEVEL = 0.05
FRICATIVES = "fricatives"
HIGH = {"S": "/s/", "F": "/f/", "TH": "/θ/"}  # what a high-frequency loss should cost first


def summary(intervals: pd.DataFrame, effects: pd.DataFrame, base: str) -> list[str]:
    """The outcome: what the hearing losses cost, and what fine-tuning wins back.

    Args:
        intervals, effects: tables of `comparisons.write_comparisons`.
        base: name of the model before fine-tuning.
    """
    cells = {(row.model, row.variant): row for row in intervals.itertuples()}
    sentences = []
    reference = effects["reference"].iloc[0] if len(effects) else intervals["variant"].iloc[0]
    known = cells.get((ZERO_SHOT, reference))
    if known is not None:
        sentences.append(
            f"Before fine-tuning, {base} has a word error rate (WER) of {percent(known.wer)} % on "
            f"{reference} (95 % interval {between(known.wer_low, known.wer_high)})."
        )
    for row in effects.itertuples():
        sentences += _effect(row, cells)
    return sentences


def _effect(row, cells: Mapping) -> list[str]:
    acute, matched = (cells.get((model, row.variant)) for model in (ZERO_SHOT, row.variant))
    if acute is None or not pd.notna(row.loss):
        return []
    rate = f"to {percent(acute.wer)} %"
    if _clear(row.loss_low, row.loss_high):
        verb = "raises" if row.loss > 0 else "lowers"
        told = f"{row.variant} {verb} its WER by {_points(row, 'loss')}, {rate}."
    else:
        told = f"{row.variant} does not clearly change its WER: by {_points(row, 'loss')}, {rate}."
    if matched is None or not pd.notna(row.recovery):
        return [told]
    rate = f"to {percent(matched.wer)} %"
    if not _clear(row.recovery_low, row.recovery_high):
        change = f"does not clearly change that: by {_points(row, 'recovery')}, {rate}."
    elif row.recovery < 0:
        change = f"makes it worse by {_points(row, 'recovery')}, {rate}."
    else:
        share = ""
        if pd.notna(row.recovered):
            ends = between(row.recovered_low, row.recovered_high)
            share = f"; that is {percent(row.recovered, 0)} % of the loss ({ends})"
        change = f"wins back {_points(row, 'recovery')}, {rate}{share}."
    return [told, f"Fine-tuning on {row.variant} {change}"]


def _clear(low: float, high: float) -> bool:
    """Whether an interval is known and leaves 0 out."""
    return low > 0 or high < 0


def _points(row, effect: str) -> str:
    value, low, high = (getattr(row, f"{effect}{end}") for end in ("", "_low", "_high"))
    if value < 0 and _clear(low, high):
        value, low, high = -value, -high, -low  # the sentence says that it is the other way round
    return f"{100 * value:.1f} points ({between(low, high)})".replace("-", "−")


def doubts(
    intervals: pd.DataFrame,
    comparisons: pd.DataFrame,
    scores: pd.DataFrame,
    precisions: Sequence[str] = (),
    permutations: int = 10_000,
) -> list[str]:
    """What a reader must know before believing the numbers.

    Args:
        intervals, comparisons: tables of `comparisons.write_comparisons`.
        scores: table of `score_tables.write_scores`.
        precisions: in which the models have transcribed.
        permutations: of the tests.
    """
    told = [*_few_speakers(intervals.iloc[0]), *_seeds(intervals)]
    if excluded := int(scores["excluded"].max()):
        told.append(
            f"{excluded} clips of the test split have no words left after normalization and are "
            "in no rate."
        )
    if len(set(precisions)) > 1:
        told.append(
            f"Models did not all transcribe in the same precision ({', '.join(sorted(precisions))})"
            ": differences of a few words may be due to that."
        )
    if len(comparisons):
        told.append(_significant(intervals.iloc[0], comparisons, permutations))
    return told


def _few_speakers(row: pd.Series) -> list[str]:
    speakers, effective = int(row["speakers"]), row["effective_speakers"]
    told = []
    if row["resampled"] == "utterances":
        alone = speakers and not row["nameless_clips"]
        whose = "one speaker" if alone else "speakers whom the corpus does not tell apart"
        told.append(
            f"All clips of the test split are of {whose}, so intervals and tests are over "
            "utterances: they say nothing about other speakers."
        )
    elif row["nameless_clips"]:
        told.append(
            f"{row['nameless_clips']:,} clips have no speaker's id. Each is drawn as a speaker of "
            "its own, which makes intervals too narrow if they are of few people."
        )
    covered = next((share for least, share in COVERED if effective < least), None)
    if row["resampled"] == "speakers" and covered:
        uneven = f", whose clips are spread as those of {effective:.0f}"
        told.append(
            f"The test split has {speakers} speakers{uneven if effective < speakers - 0.5 else ''}"
            f". What is called a 95 % interval covers {covered} over so few."
        )
    return told


def _seeds(intervals: pd.DataFrame) -> list[str]:
    trained = intervals[intervals["model"] != ZERO_SHOT]
    if not len(trained):
        return []
    if (trained["seeds"] == 1).all():
        return [
            "Every model was trained once, with one seed: how much training itself varies is not "
            "known, and no interval covers it. Add seeds to training.seeds to see it."
        ]
    return [
        f"Models were trained with {int(trained['seeds'].max())} seeds. Rates and differences "
        "are those of the mean over seeds; intervals cover the choice of speakers, and the "
        "spread over seeds is given beside them. Words, sounds, confidence and examples are those "
        "of the first seed."
    ]


def _significant(row: pd.Series, comparisons: pd.DataFrame, permutations: int) -> str:
    of, count = row["resampled"], len(comparisons)
    exchanged = row["speakers"] + row["nameless_clips"] if of == "speakers" else row["clips"]
    least = 2.0 ** float(1 - exchanged)
    if least * count > LEVEL:
        return (
            f"A test that exchanges {int(exchanged)} {of} gives no p-value below "
            f"{least:.2g}. After correction for {count} comparisons none can be significant here, "
            "however large the differences are."
        )
    if count / (permutations + 1) > LEVEL:
        return (
            f"{permutations:,} permutations give no p-value below {1 / (permutations + 1):.2g}. "
            f"After correction for {count} comparisons none can be significant: raise "
            "evaluation.replicates."
        )
    certain = int((comparisons["p_permutation_holm"] < LEVEL).sum())
    return (
        f"Of {count} comparisons, {certain} differ at {100 * LEVEL:.0f} % by the permutation test "
        f"over {of} after Holm's correction."
    )


def lost_first(losses: pd.DataFrame) -> list[str]:
    """What each variant costs the zero-shot model in sounds: /s/, /f/ and /th/, and by class.

    Args:
        losses: the third table of `phonemes.write_phonemes`.
    """
    sentences = []
    for variant, of in losses.groupby("variant", sort=False):
        known = {row.name_: row for row in of.rename(columns={"name": "name_"}).itertuples()}
        classes = [row for row in known.values() if row.kind == "class"]
        classes.sort(key=lambda row: -row.increase)
        sounds = [f"{ipa} {_increase(known[name])}" for name, ipa in HIGH.items() if name in known]
        place = [row.name_ for row in classes].index(FRICATIVES) if FRICATIVES in known else None
        whole = known["all phonemes"]
        more = [HIGH[name] for name in HIGH if name in known and known[name].low > whole.high]
        told = f" ({' and '.join(more)} clearly more than phonemes as a whole)" if more else ""
        third = "" if place is None or place < 3 else (
            f"; {FRICATIVES} are number {place + 1} of {len(classes)}, {_increase(classes[place])}"
        )  # fmt: skip
        sentences.append(
            f"{variant}: all phonemes {_increase(known['all phonemes'])}; "
            f"{', '.join(sounds)}{told}. Most is lost of "
            + ", ".join(f"{row.name_} {_increase(row)}" for row in classes[:3])
            + f", least of {classes[-1].name_} {_increase(classes[-1])}{third}."
        )
    return sentences


def _increase(row) -> str:
    ends = between(row.low, row.high)
    return points(row.increase) + ("" if ends == NOTHING else f" ({ends})")
