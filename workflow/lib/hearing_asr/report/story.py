"""What the results say, in sentences that follow from numbers of the run; and what to doubt."""

from collections.abc import Mapping

import pandas as pd

from hearing_asr.cells import ZERO_SHOT
from hearing_asr.phonemes import first_lost
from hearing_asr.report.numbers import between, percent, points

FEW_SPEAKERS = 50  # below, intervals over speakers are a little too narrow (docs/statistics.md)
LEVEL = 0.05
FRICATIVES = "fricatives"  # what a high-frequency loss should cost first


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
            f"Before fine-tuning, {base} gets {percent(known.wer)} % of the words of {reference} "
            f"speech wrong (95 % interval {between(known.wer_low, known.wer_high)})."
        )
    for row in effects.itertuples():
        sentences += _effect(row, cells)
    return sentences


def _effect(row, cells: Mapping) -> list[str]:
    acute, matched = (cells.get((model, row.variant)) for model in (ZERO_SHOT, row.variant))
    if acute is None or not pd.notna(row.loss):
        return []
    told = (
        f"{row.variant} costs {points(row.loss)} points ({between(row.loss_low, row.loss_high)}): "
        f"{percent(acute.wer)} % of the words are wrong."
    )
    if matched is None or not pd.notna(row.recovery):
        return [told]
    share = ""
    if pd.notna(row.recovered):
        share = f", {percent(row.recovered, 0)} % of the loss"
    won = "wins back" if row.recovery >= 0 else "loses a further"
    return [
        told,
        f"Fine-tuning on {row.variant} {won} {abs(100 * row.recovery):.1f} points{share} "
        f"({between(row.recovery_low, row.recovery_high)}), to {percent(matched.wer)} %.",
    ]


def doubts(intervals: pd.DataFrame, comparisons: pd.DataFrame, scores: pd.DataFrame) -> list[str]:
    """What a reader must know before believing the numbers."""
    told = []
    first = intervals.iloc[0]
    speakers = int(first["speakers"])
    if first["resampled"] == "utterances":
        told.append(
            "All clips of the test split are of one speaker, so intervals and tests are over "
            "utterances: they say nothing about other speakers."
        )
    elif first["effective_speakers"] < FEW_SPEAKERS:
        uneven = f", whose clips are spread as those of {first['effective_speakers']:.0f}"
        told.append(
            f"The test split has {speakers} speakers"
            f"{uneven if first['effective_speakers'] < speakers - 0.5 else ''}. Intervals over so "
            "few cover somewhat less than 95 %."
        )
    if first["resampled"] == "speakers" and len(comparisons) * 2 / 2**speakers > LEVEL:
        told.append(
            f"A test that exchanges {speakers} speakers gives no p-value below "
            f"{2 / 2**speakers:.2g}, which after correction for {len(comparisons)} comparisons "
            "cannot be significant, however large the differences are."
        )
    trained = intervals[intervals["model"] != ZERO_SHOT]
    if len(trained) and (trained["seeds"] == 1).all():
        told.append(
            "Every model was trained once, with one seed: how much training itself varies is not "
            "known, and no interval covers it. Add seeds to training.seeds to see it."
        )
    elif len(trained):
        told.append(
            f"Models were trained with {int(trained['seeds'].max())} seeds. Rates and differences "
            "are those of the mean over seeds; intervals cover the choice of speakers, and the "
            "spread over seeds is given beside them."
        )
    excluded = int(scores["excluded"].max())
    if excluded:
        told.append(
            f"{excluded} clips of the test split have no words left after normalization and are "
            "in no rate."
        )
    if len(comparisons):
        certain = int((comparisons["p_permutation_holm"] < LEVEL).sum())
        told.append(
            f"Of {len(comparisons)} comparisons, {certain} differ at {LEVEL:.0%} by the "
            "permutation test over speakers after Holm's correction."
        )
    return told


def lost_first(classes: pd.DataFrame, reference: str) -> list[str]:
    """Which sounds each variant costs first, as the zero-shot model hears them.

    Args:
        classes: table of `phonemes.write_phonemes`.
        reference: the variant that the others are compared with.
    """
    sentences = []
    zero_shot = classes[classes["model"] == ZERO_SHOT]
    for variant in dict.fromkeys(zero_shot["variant"]):
        if variant == reference:
            continue
        ranked = first_lost(classes, variant, reference)
        told = [f"{name} ({points(value / 100)} points)" for name, value in ranked]
        names = [name for name, _ in ranked]
        place = names.index(FRICATIVES) + 1 if FRICATIVES in names else 0
        where = f"; {FRICATIVES} (/s/, /f/, /th/, ...) are number {place} of {len(names)} classes"
        sentences.append(
            f"{variant} costs {', '.join(told[:3])} most, {told[-1]} least{where if place else ''}."
        )
    return sentences
