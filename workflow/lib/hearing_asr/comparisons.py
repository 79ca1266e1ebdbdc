"""What is compared with what, how large the differences are, and how sure that is.

With WER(m, v) of the model m (zero-shot, or trained on a variant) on the variant v, and the
reference variant r:

    loss(v)       WER(zero-shot, v) - WER(zero-shot, r): what the hearing loss costs
    recovery(v)   WER(zero-shot, v) - WER(v, v): what fine-tuning on the loss wins back
    remaining(v)  WER(v, v) - WER(r, r): what the loss costs once there was time to learn it
    recovered(v)  recovery(v) / loss(v): the share that is won back, where there surely is a loss

All are differences on identical clips.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from hearing_asr.cells import SUMMED, Cell, Cells, Key, load_cells, rates_of
from hearing_asr.names import ZERO_SHOT
from hearing_asr.score_tables import write_csv
from hearing_asr.scoring import RATES
from hearing_asr.significance import holm, mapsswe, permutation_p_values
from hearing_asr.uncertainty import (
    Draws,
    block_sums,
    bootstrap,
    effective_blocks,
    intervals,
    resampled_blocks,
)

EFFECTS = ("loss", "recovery", "remaining", "recovered")
NO_LOSS = 0.01  # the lower end of a loss below which no share of it is formed


def write_comparisons(
    files: Mapping[Key, str | Path],
    reference: str,
    draws: Draws,
    intervals_csv: str | Path,
    comparisons_csv: str | Path,
    effects_csv: str | Path,
) -> None:
    """Compare all models on all variants.

    Args:
        files: (model, variant, seed) -> prediction file.
        reference: the variant that losses are measured against.
        draws: of bootstrap and permutations.
        intervals_csv, comparisons_csv, effects_csv: see `interval_table`, `comparison_table` and
            `effect_table`.

    Raises:
        InputError: as `cells.load_cells` does.
    """
    cells = load_cells(files)
    write_csv(interval_table(cells, draws), intervals_csv)
    write_csv(comparison_table(cells, reference, draws), comparisons_csv)
    write_csv(effect_table(cells, reference, draws), effects_csv)


def interval_table(cells: Cells, draws: Draws) -> pd.DataFrame:
    """A row per cell.

    Columns: model, variant, seeds (how many), clips, speakers (that are known),
    nameless_clips (each of which is drawn as a speaker of its own), effective_speakers
    (`uncertainty.effective_blocks`), resampled (what the intervals are over: `speakers`, or
    `utterances` where fewer than two speakers are known); each of `scoring.RATES` with its
    ends `_low` and `_high`; `wer_low_utterances` and `wer_high_utterances`, the ends over
    utterances; `wer_seed_min`, `wer_seed_max` and `wer_seed_sd`, over seeds, empty where there is
    one. Rates of several seeds are those of the mean counts.
    """
    resampled, blocks = resampled_blocks(cells.speakers.tolist())
    names, count = cells.names, len(cells.names)

    def rates(totals: np.ndarray) -> np.ndarray:
        of = rates_of(totals.reshape(*totals.shape[:-1], count, len(SUMMED)))
        return np.concatenate([of[name] for name in RATES], axis=-1)

    flat = cells.counts.reshape(len(cells.paths), -1)
    ends = intervals(block_sums(flat, blocks), rates, draws.replicates, draws.seed)
    estimate, low, high = (values.reshape(len(RATES), count) for values in ends)
    words = np.hstack([cells.errors, cells.words[:, None]])
    _, low_utterances, high_utterances = intervals(
        words, lambda totals: totals[..., :-1] / totals[..., -1:], draws.replicates, draws.seed
    )
    rows = []
    for place, (model, variant) in enumerate(names):
        row = {"model": model, "variant": variant, "seeds": len(cells.seeds[place])}
        row |= {"clips": len(cells.paths), "speakers": cells.named_speakers()}
        row["nameless_clips"] = int((cells.speakers == "").sum())
        row["effective_speakers"], row["resampled"] = effective_blocks(cells.blocks()), resampled
        for number, rate in enumerate(RATES):
            row[rate] = estimate[number, place]
            row[f"{rate}_low"], row[f"{rate}_high"] = low[number, place], high[number, place]
        row["wer_low_utterances"] = low_utterances[place]
        row["wer_high_utterances"] = high_utterances[place]
        rows.append(row | _over_seeds(cells, (model, variant)))
    return pd.DataFrame(rows)


def _over_seeds(cells: Cells, cell: Cell) -> dict[str, float]:
    each = [
        float(rates_of(totals)["wer"]) for key, totals in cells.by_seed.items() if key[:2] == cell
    ]
    if len(each) < 2:
        return dict.fromkeys(("wer_seed_min", "wer_seed_max", "wer_seed_sd"), np.nan)
    return {
        "wer_seed_min": min(each),
        "wer_seed_max": max(each),
        "wer_seed_sd": float(np.std(each, ddof=1)),
    }


def family(cells: Cells, reference: str) -> list[tuple[str, Cell, Cell]]:
    """All comparisons that are made: what for, a cell, and the cell that it is compared with.

    `loss` and `remaining` as in this module; `zero-shot`: a fine-tuned model against the zero-shot
    one on the same variant; `matched`: a model against the one trained on the variant itself.
    Comparisons of which a cell is missing are left out.
    """
    made: list[tuple[str, Cell, Cell]] = []
    for model, variant in cells.names:
        if model == ZERO_SHOT and variant != reference:
            made.append(("loss", (model, variant), (model, reference)))
        if model == variant != reference:
            made.append(("remaining", (model, variant), (reference, reference)))
        if model != ZERO_SHOT:
            made.append(("zero-shot", (model, variant), (ZERO_SHOT, variant)))
        if model not in (ZERO_SHOT, variant):
            made.append(("matched", (model, variant), (variant, variant)))
    return [(kind, one, other) for kind, one, other in made if one in cells and other in cells]


def comparison_table(cells: Cells, reference: str, draws: Draws) -> pd.DataFrame:
    """A row per comparison of `family`.

    Columns: comparison, model, variant, other_model, other_variant; difference, WER minus that of
    the other, with its ends low and high; probability_of_improvement, the share of bootstrap
    replicates in which it has fewer errors than the other (Bisani & Ney 2004); p_permutation, by
    exchanging whole speakers; mapsswe and p_mapsswe; and `_holm`, the p-values after Holm's
    correction over all rows.
    """
    made = family(cells, reference)
    columns = ["comparison", "model", "variant", "other_model", "other_variant"]
    table = pd.DataFrame([(kind, *one, *other) for kind, one, other in made], columns=columns)
    errors, words = cells.errors, cells.words
    ones = [cells.index(one) for _, one, _ in made]
    others = [cells.index(other) for _, _, other in made]
    differences = errors[:, ones] - errors[:, others]
    _, blocks = resampled_blocks(cells.speakers.tolist())
    sums = block_sums(np.column_stack([differences, words]), blocks)

    def difference(totals: np.ndarray) -> np.ndarray:
        return totals[..., :-1] / totals[..., -1:]

    estimate, low, high = intervals(sums, difference, draws.replicates, draws.seed)
    drawn = bootstrap(sums, difference, draws.replicates, draws.seed)
    statistic, p_mapsswe = mapsswe(differences)
    p_values = permutation_p_values(sums[:, :-1], draws.replicates, draws.seed)
    return table.assign(
        difference=estimate,
        low=low,
        high=high,
        probability_of_improvement=(drawn < 0).mean(axis=0) + (drawn == 0).mean(axis=0) / 2,
        p_permutation=p_values,
        p_permutation_holm=holm(p_values),
        mapsswe=statistic,
        p_mapsswe=p_mapsswe,
        p_mapsswe_holm=holm(p_mapsswe),
    )


def effect_table(cells: Cells, reference: str, draws: Draws) -> pd.DataFrame:
    """A row per variant but the reference: each of EFFECTS with its ends `_low` and `_high`.

    Empty where a cell is missing; `recovered` also where the loss's lower end is below NO_LOSS.
    """
    variants = [name for name in cells.variants if name != reference]
    wanted = [
        cell
        for name in variants
        for cell in ((ZERO_SHOT, name), (ZERO_SHOT, reference), (name, name), (reference,) * 2)
    ]
    nothing = np.full(len(cells.paths), np.nan)
    errors = [cells.errors[:, cells.index(cell)] if cell in cells else nothing for cell in wanted]
    _, blocks = resampled_blocks(cells.speakers.tolist())
    sums = block_sums(np.column_stack([*errors, cells.words]), blocks)

    def effects(totals: np.ndarray) -> np.ndarray:
        rates = totals[..., :-1] / totals[..., -1:]
        acute, healthy, matched, trained = (rates[..., place::4] for place in range(4))
        loss, recovery = acute - healthy, acute - matched
        return np.concatenate([loss, recovery, matched - trained, recovery / loss], axis=-1)

    ends = intervals(sums, effects, draws.replicates, draws.seed)
    estimate, low, high = (values.reshape(len(EFFECTS), len(variants)) for values in ends)
    no_loss = ~(low[0] >= NO_LOSS)
    for values in (estimate, low, high):
        values[EFFECTS.index("recovered"), no_loss] = np.nan
    columns: dict[str, object] = {"variant": variants, "reference": reference}
    for place, effect in enumerate(EFFECTS):
        columns[effect] = estimate[place]
        columns[f"{effect}_low"], columns[f"{effect}_high"] = low[place], high[place]
    return pd.DataFrame(columns)
