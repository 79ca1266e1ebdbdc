"""The scalars that a training run left in its TensorBoard logs, and their statistics."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from tensorboard.backend.event_processing.event_accumulator import SCALARS, EventAccumulator

from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path

EVENT_FILES = "events.out.tfevents.*"
COLUMNS = ["step", "wall_time", "value"]


@dataclass(frozen=True)
class TrainingLog:
    """What one training run logged.

    Attributes:
        scalars: tag (as `train/loss`) -> frame with step (int64), wall_time (float64, s since
            1970) and value (float64), steps strictly rising. Values may be NaN or infinite.
        sessions: wall times of the first and last scalar of each event file, in order of start;
            a run that was resumed has several.
    """

    scalars: Mapping[str, pd.DataFrame]
    sessions: tuple[tuple[float, float], ...]


def read_log(runs: str | Path) -> TrainingLog:
    """Read all event files below the folder `runs`.

    A resumed run starts at its last checkpoint and logs again what came after it: of several
    values of a tag for one step, the one with the latest wall time counts.

    Raises:
        InputError: no such folder, no event files in it, or none with a scalar.
    """
    runs = Path(runs)
    if not runs.is_dir():
        raise InputError(
            f"{runs}: no such folder. TensorBoard logs are expected there; train first, with "
            "training.report_to: tensorboard."
        )
    files = sorted(runs.rglob(EVENT_FILES))
    if not files:
        raise InputError(
            f"{runs}: no TensorBoard event files ({EVENT_FILES}) in it. Train with "
            "training.report_to: tensorboard."
        )
    per_file = [scalars for scalars in map(_read_file, files) if scalars]
    if not per_file:
        raise InputError(
            f"{runs}: its {len(files)} event files hold no scalars. Nothing was logged; was the "
            "training stopped before its first training.logging_steps?"
        )
    tags = sorted({tag for scalars in per_file for tag in scalars})
    merged = {tag: _merge(scalars[tag] for scalars in per_file if tag in scalars) for tag in tags}
    return TrainingLog(merged, tuple(sorted(_session(scalars) for scalars in per_file)))


def _read_file(path: Path) -> dict[str, pd.DataFrame]:
    # Keep everything: by default TensorBoard samples, and drops steps that were logged twice.
    events = EventAccumulator(str(path), size_guidance={SCALARS: 0}, purge_orphaned_data=False)
    events.Reload()
    return {
        tag: pd.DataFrame(
            [(event.step, event.wall_time, event.value) for event in events.Scalars(tag)],
            columns=COLUMNS,
        )
        for tag in events.Tags()[SCALARS]
    }


def _merge(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One row per step, rising; the latest wall time wins."""
    rows = pd.concat(list(frames), ignore_index=True)
    rows = rows.sort_values(["step", "wall_time"], kind="stable")
    return rows.drop_duplicates("step", keep="last").reset_index(drop=True)


def _session(scalars: Mapping[str, pd.DataFrame]) -> tuple[float, float]:
    times = pd.concat([frame["wall_time"] for frame in scalars.values()])
    return float(times.min()), float(times.max())


def smooth_values(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average without the bias towards 0 at its start, as in TensorBoard.

    s_n = (1 - w) sum_i w^(n-i) x_i / (1 - w^n). For w = 1 this has a limit, the mean of all values
    so far, which is returned then. Values that are not finite stay where they are and leave the
    average untouched.

    Args:
        values: float (n,).
        weight: w, 0 (no smoothing) to 1.

    Returns:
        float64 (n,).

    Raises:
        InputError: the weight is out of range.
    """
    if not 0.0 <= weight <= 1.0:
        raise InputError(f"plots.smooth: {weight} is out of range; choose 0.0 (raw) to 1.0")
    smoothed = np.array(values, dtype=np.float64)
    total = norm = 0.0
    for index in np.flatnonzero(np.isfinite(smoothed)):
        total = weight * total + smoothed[index]
        norm = weight * norm + 1.0
        smoothed[index] = total / norm
    return smoothed


def summarize(scalars: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Statistics of each tag.

    Returns:
        Index: tag. Columns: count; not_finite (how many of them are NaN or infinite); first and
        last as logged; min, min_step, max, max_step, mean and std (of the population) of the
        finite values, NaN where there are none.
    """
    return pd.DataFrame({tag: _statistics(frame) for tag, frame in scalars.items()}).T.astype(
        {"count": int, "not_finite": int}
    )


def _statistics(frame: pd.DataFrame) -> dict[str, float]:
    finite = frame[np.isfinite(frame["value"])]
    value = finite["value"].to_numpy()
    step = finite["step"].to_numpy()
    known = len(finite) > 0
    return {
        "count": len(frame),
        "not_finite": len(frame) - len(finite),
        "first": frame["value"].iloc[0],
        "last": frame["value"].iloc[-1],
        "min": value.min() if known else np.nan,
        "min_step": step[value.argmin()] if known else np.nan,
        "max": value.max() if known else np.nan,
        "max_step": step[value.argmax()] if known else np.nan,
        "mean": value.mean() if known else np.nan,
        "std": value.std() if known else np.nan,
    }


def logged_time(sessions: Iterable[tuple[float, float]]) -> float:
    """Seconds within the sessions: pauses between them are left out, overlaps count once."""
    seconds, end = 0.0, -np.inf
    for first, last in sorted(sessions):
        seconds += max(0.0, last - max(first, end))
        end = max(end, last)
    return seconds


def write_summary(log: TrainingLog, path: str | Path, title: str) -> None:
    """Write a text file for people: steps, duration, and the statistics of each metric."""
    table = summarize(log.scalars)
    steps = pd.concat([frame["step"] for frame in log.scalars.values()])
    first, last = log.sessions[0][0], max(end for _, end in log.sessions)
    lines = [
        f"Training log: {title}",
        "",
        f"steps         {steps.min()} to {steps.max()}",
        f"first entry   {_utc(first)}",
        f"last entry    {_utc(last)}",
        f"logged time   {timedelta(seconds=round(logged_time(log.sessions)))} (h:mm:ss) "
        f"in {len(log.sessions)} session{'s' * (len(log.sessions) > 1)}",
    ]
    if "eval/wer" in table.index and np.isfinite(best := table.loc["eval/wer", "min"]):
        at = table.loc["eval/wer", "min_step"]
        lines.append(f"best eval WER {best:.1%} at step {at:.0f}")
    lines += [
        "",
        "Statistics of the raw values; min, max, mean and std (of the population) of those that",
        "are finite, not_finite says how many are NaN or infinite. WER is a ratio, times in s.",
        "",
        table.to_string(float_format=lambda value: f"{value:.6g}", na_rep="nan"),
        "",
    ]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(lines), encoding="utf-8")


def _utc(wall_time: float) -> str:
    return f"{datetime.fromtimestamp(wall_time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def write_csv(log: TrainingLog, combined: str | Path) -> None:
    """Write the raw scalars: one CSV per tag, and all of them in the long table `combined`.

    The files of the tags lie beside `combined` and are named after the tag, as `train_loss.csv`,
    with columns step, wall_time, value. CSV files of tags that the log no longer has are removed:
    the folder of `combined` holds nothing else.
    """
    combined = Path(combined)
    written = {combined}
    for tag, frame in log.scalars.items():
        path = _tag_path(combined.parent, tag, written)
        write_table(frame, path)
        written.add(path)
    long = [frame.assign(tag=tag)[["tag", *COLUMNS]] for tag, frame in log.scalars.items()]
    write_table(pd.concat(long), combined)
    for stale in set(combined.parent.glob("*.csv")) - written:
        stale.unlink()


def _tag_path(folder: Path, tag: str, taken: set[Path]) -> Path:
    name = re.sub(r"[^\w.-]+", "_", tag)
    path, number = folder / f"{name}.csv", 1
    while path in taken:
        number += 1
        path = folder / f"{name}_{number}.csv"
    return path


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write scalars as CSV; values have the digits of the float32 that TensorBoard stores."""
    with atomic_path(path) as temporary:
        frame.assign(value=frame["value"].astype(np.float32)).to_csv(
            temporary, index=False, na_rep="nan"
        )
