"""All cells of the matrix, model by variant, side by side: the same clips in each.

A cell is what the models trained in one way (with several seeds, if there are several) did with
the test clips of one variant. Counts of a cell are means over its seeds, so everything that
compares cells compares what is expected of such a model, on identical clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hearing_asr.errors import InputError
from hearing_asr.names import MIXED, ZERO_SHOT
from hearing_asr.predictions import RAW_COLUMNS, read_predictions
from hearing_asr.scoring import COUNT_COLUMNS, corpus_rates
from hearing_asr.transcripts import read_provenance, some
from hearing_asr.uncertainty import block_codes

SUMMED = (*COUNT_COLUMNS, *RAW_COLUMNS, "wrong_clips", "clips")
NEEDED = ("path", "client_id", "reference_normalized", *COUNT_COLUMNS, *RAW_COLUMNS)

Key = tuple[str, str, int | None]  # model (what it was trained on), variant, seed
Cell = tuple[str, str]  # model, variant


@dataclass(frozen=True)
class Cells:
    """Counts of all clips in all cells.

    Attributes:
        names: (model, variant) of each cell.
        seeds: of each cell, as many as files were read for it.
        paths, speakers: of the clips.
        counts: float64 (clips, cells, len(SUMMED)): means over the seeds.
        excluded: clips with an empty normalized reference, which are in nothing of the above.
        by_seed: totals (len(SUMMED),) of each file.
    """

    names: tuple[Cell, ...]
    seeds: tuple[tuple[int | None, ...], ...]
    paths: np.ndarray
    speakers: np.ndarray
    counts: np.ndarray
    excluded: int
    by_seed: Mapping[Key, np.ndarray]

    @property
    def models(self) -> list[str]:
        """Models in order of appearance."""
        return list(dict.fromkeys(model for model, _ in self.names))

    @property
    def variants(self) -> list[str]:
        """Variants in order of appearance."""
        return list(dict.fromkeys(variant for _, variant in self.names))

    @property
    def words(self) -> np.ndarray:
        """Words of the references, (clips,)."""
        said = [SUMMED.index(f"word_{outcome}") for outcome in SAID]
        return self.counts[:, 0, said].sum(axis=1)

    @property
    def errors(self) -> np.ndarray:
        """Word errors, (clips, cells)."""
        wrong = [SUMMED.index(f"word_{outcome}") for outcome in WRONG]
        return self.counts[:, :, wrong].sum(axis=2)

    def __contains__(self, cell: object) -> bool:
        return cell in self.names

    def index(self, cell: Cell) -> int:
        """Place of a cell."""
        return self.names.index(cell)

    def named_speakers(self, member: np.ndarray | slice = slice(None)) -> int:
        """Number of speakers that are known, of all clips or of `member`s."""
        return len(set(self.speakers[member]) - {""})

    def blocks(self) -> np.ndarray:
        """Number of the speaker of each clip, (clips,)."""
        return block_codes(self.speakers.tolist())


SAID = ("hits", "substitutions", "deletions")
WRONG = ("substitutions", "deletions", "insertions")


def load_cells(files: Mapping[Key, str | Path]) -> Cells:
    """Read the prediction files of all models on all variants.

    Args:
        files: (model, variant, seed) -> prediction file; the seed is None for a model that was
            not trained here.

    Raises:
        InputError: a file cannot be read, lacks columns or values, has no clip or one twice, does
            not hold the same clips and references as the first one, or was decoded or normalized
            in another way; none of its references keeps a word; there is no file.
    """
    if not files:
        raise InputError("no prediction files to score; name at least one model and one variant.")
    first: tuple[Path, pd.DataFrame] | None = None
    by_seed: dict[Key, np.ndarray] = {}
    summed: dict[Cell, np.ndarray] = {}
    seeds: dict[Cell, list[int | None]] = {}
    for key, file in files.items():
        path = Path(file)
        clips = read_predictions(path, NEEDED).set_index("path", drop=False)
        if first is None:
            first = path, clips
        _check_same_making(path, first[0])
        clips = _like_first(path, clips, *first)
        scored = _words(clips) > 0
        if not scored.any():
            raise InputError(
                f"{path}: none of {len(clips)} clips has a reference with words after "
                "normalization; choose another evaluation.normalizer."
            )
        counts = _counts(clips[scored])
        by_seed[key] = counts.sum(axis=0)
        cell = key[:2]
        summed[cell] = summed.get(cell, 0.0) + counts
        seeds.setdefault(cell, []).append(key[2])
    _, clips = first
    scored = _words(clips) > 0
    return Cells(
        names=tuple(summed),
        seeds=tuple(tuple(seeds[cell]) for cell in summed),
        paths=clips.loc[scored, "path"].to_numpy(),
        speakers=clips.loc[scored, "client_id"].to_numpy(),
        counts=np.stack([summed[cell] / len(seeds[cell]) for cell in summed], axis=1),
        excluded=int((~scored).sum()),
        by_seed=by_seed,
    )


def _check_same_making(path: Path, first: Path) -> None:
    ours, theirs = read_provenance(path), read_provenance(first)
    for name in ("decoding", "normalizer"):
        if ours.get(name) != theirs.get(name):
            raise InputError(
                f"{path}: {name} {ours.get(name)}, but {theirs.get(name)} in {first}: they cannot "
                "be compared. Delete the one that is not as configured, so that it is made again."
            )


def _words(clips: pd.DataFrame) -> pd.Series:
    return sum(clips[f"word_{outcome}"] for outcome in SAID)


def _counts(clips: pd.DataFrame) -> np.ndarray:
    wrong = sum(clips[f"word_{outcome}"] for outcome in WRONG) > 0
    counts = clips[[*COUNT_COLUMNS, *RAW_COLUMNS]].to_numpy(dtype=float)
    return np.column_stack([counts, wrong.to_numpy(dtype=float), np.ones(len(clips))])


def _like_first(
    path: Path, clips: pd.DataFrame, first_path: Path, first: pd.DataFrame
) -> pd.DataFrame:
    """The clips in the order of the first file, once it is sure that they are the same."""
    missing = first.index.difference(clips.index, sort=False)
    extra = clips.index.difference(first.index, sort=False)
    if len(missing) or len(extra):
        raise InputError(
            f"{path}: not the clips of {first_path}; missing: {some(missing)}; extra: "
            f"{some(extra)}. Delete the file with the wrong clips, so that it is predicted again."
        )
    clips = clips.reindex(first.index)
    told = "reference_normalized"
    other = clips.index[clips[told] != first[told]]
    if len(other):
        raise InputError(
            f"{path}: normalized references differ from {first_path}: {some(other)}. Was "
            "one file written with another normalizer? Delete it, so that it is predicted again."
        )
    return clips


def rates_of(totals: np.ndarray) -> dict[str, np.ndarray]:
    """`scoring.corpus_rates` of arrays whose last axis is SUMMED."""
    return corpus_rates({name: totals[..., place] for place, name in enumerate(SUMMED)})


def order_models(models: Sequence[str], variants: Sequence[str]) -> list[str]:
    """Models as tables and figures show them: zero-shot, then in the order of variants, mixed."""
    known = [name for name in (ZERO_SHOT, *variants, MIXED) if name in models]
    return known + [name for name in models if name not in known]
