"""Training logs: what is read, summed up and drawn equals what was written in the event files."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from hearing_asr.errors import InputError
from hearing_asr.plots import logs, training

RNG = np.random.default_rng(7)
STEPS = np.arange(10, 410, 10)
LOGGED = {
    "train/loss": (STEPS, 3 * np.exp(-STEPS / 100) + RNG.normal(0, 0.05, len(STEPS))),
    "train/grad_norm": (STEPS, RNG.lognormal(0, 1, len(STEPS))),
    "train/learning_rate": (STEPS, 1.5e-5 * (1 - STEPS / 400)),
    "eval/loss": (STEPS[9::10], np.array([1.5, 0.9, 0.7, 0.8])),
    "eval/wer": (STEPS[9::10], np.array([1.25, 0.6, 0.325, 0.4])),
}
FIGURES = {"dpi": 30, "figsize": (12, 8)}


def write_events(folder, scalars, start=1000.0):
    """One event file; a step's wall time is `start` + step."""
    writer = EventFileWriter(str(folder), filename_suffix=f".{start:.0f}")
    for tag, (steps, values) in scalars.items():
        for step, value in zip(steps, values, strict=True):
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
            writer.add_event(Event(wall_time=start + step, step=int(step), summary=summary))
    writer.close()


@pytest.fixture
def runs(tmp_path):
    write_events(tmp_path / "runs" / "a", LOGGED)
    return tmp_path / "runs"


def draw_all(runs, folder, suffix="png", smooth=0.0, names=tuple(training.METRICS)):
    training.plot_training(
        runs,
        figures={name: folder / f"{name}.{suffix}" for name in names},
        overview=folder / f"training_overview.{suffix}",
        summary=folder / "training_summary.txt",
        csv=folder / "csv_data" / "all_metrics.csv",
        title="hfloss",
        smooth=smooth,
        **FIGURES,
    )


def metric_axes(name, log, smooth=0.0):
    ax = Figure().subplots()
    training.draw_metric(ax, training.METRICS[name], log, smooth)
    return ax


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_scalars_are_read_as_written(runs):
    log = logs.read_log(runs)
    assert set(log.scalars) == set(LOGGED)
    for tag, (steps, values) in LOGGED.items():
        np.testing.assert_array_equal(log.scalars[tag]["step"], steps)
        np.testing.assert_array_equal(log.scalars[tag]["value"], values.astype(np.float32))
        np.testing.assert_array_equal(log.scalars[tag]["wall_time"], 1000.0 + steps)
    assert log.sessions == ((1010.0, 1400.0),)


def test_nothing_is_sampled_away(tmp_path):
    steps = np.arange(12_000)  # TensorBoard keeps 10,000 scalars of a tag unless told otherwise
    write_events(tmp_path, {"train/loss": (steps, steps / 7)})
    assert len(logs.read_log(tmp_path).scalars["train/loss"]) == len(steps)


def test_of_overlapping_steps_the_latest_wall_time_wins(tmp_path):
    # The later file lies in the folder that is read first.
    write_events(tmp_path / "b", {"train/loss": ([10, 20, 30, 40], [1.0, 2.0, 3.0, 4.0])}, 1000)
    write_events(tmp_path / "a", {"train/loss": ([30, 40, 50], [7.0, 8.0, 9.0])}, 5000)
    log = logs.read_log(tmp_path)
    assert log.scalars["train/loss"]["step"].tolist() == [10, 20, 30, 40, 50]
    assert log.scalars["train/loss"]["value"].tolist() == [1.0, 2.0, 7.0, 8.0, 9.0]
    assert log.sessions == ((1010.0, 1040.0), (5030.0, 5050.0))


def test_a_step_logged_twice_in_one_file_keeps_the_later(tmp_path):
    write_events(tmp_path, {"eval/wer": ([10, 20, 10], [0.9, 0.8, 0.7])})
    assert logs.read_log(tmp_path).scalars["eval/wer"]["value"].tolist() == pytest.approx(
        [0.7, 0.8]
    )


def test_steps_before_a_restart_within_a_file_are_kept(tmp_path):
    """A writer that announces its restart makes TensorBoard forget what it had from there on."""
    writer = EventFileWriter(str(tmp_path))
    restart = SessionLog(status=SessionLog.START)
    for event in (
        *(Event(wall_time=step, step=step, summary=loss(step)) for step in (10, 20, 30)),
        Event(wall_time=40, step=20, session_log=restart),
        Event(wall_time=50, step=20, summary=loss(-1.0)),
    ):
        writer.add_event(event)
    writer.close()
    scalars = logs.read_log(tmp_path).scalars["train/loss"]
    assert dict(zip(scalars["step"], scalars["value"], strict=True)) == {10: 10, 20: -1, 30: 30}


def loss(value):
    return Summary(value=[Summary.Value(tag="train/loss", simple_value=value)])


def test_a_file_cut_off_by_a_killed_job_is_read_up_to_there(runs):
    (file,) = runs.rglob(logs.EVENT_FILES)
    file.write_bytes(file.read_bytes()[:-7])
    assert len(logs.read_log(runs).scalars["train/loss"]) == len(STEPS)
    assert len(logs.read_log(runs).scalars["eval/wer"]) == 3


def test_missing_empty_and_silent_folders_are_named(tmp_path):
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'absent'}: no such folder")):
        logs.read_log(tmp_path / "absent")
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}: no TensorBoard event files")):
        logs.read_log(tmp_path)
    write_events(tmp_path, {})
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}: its 1 event files hold no scal")):
        logs.read_log(tmp_path)


def test_smoothing_by_hand():
    # w = 0.5: 1; (0.5 * 1 + 1 * 3) / 1.5; (0.25 * 1 + 0.5 * 3 + 1 * 5) / 1.75
    expected = [1.0, 7 / 3, 27 / 7]
    np.testing.assert_allclose(logs.smooth_values(np.array([1.0, 3.0, 5.0]), 0.5), expected)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9, 0.999])
def test_smoothing_is_that_of_tensorboard(weight):
    values = RNG.normal(size=200)
    last, expected = 0.0, []
    for count, value in enumerate(values, 1):  # as in TensorBoard's line chart
        last = last * weight + (1 - weight) * value
        expected.append(last / (1 - weight**count))
    np.testing.assert_allclose(logs.smooth_values(values, weight), expected, rtol=1e-9, atol=1e-12)


def test_full_smoothing_is_the_limit():
    values = RNG.normal(size=50)
    means = np.cumsum(values) / np.arange(1, 51)
    np.testing.assert_allclose(logs.smooth_values(values, 1.0), means)
    np.testing.assert_allclose(logs.smooth_values(values, 1 - 1e-9), means, atol=1e-6)


def test_smoothing_leaves_gaps_and_steps_over_them():
    smoothed = logs.smooth_values(np.array([1.0, np.nan, 3.0, np.inf, 5.0]), 0.5)
    np.testing.assert_allclose(smoothed, [1.0, np.nan, 7 / 3, np.inf, 27 / 7])


@pytest.mark.parametrize("weight", [-0.1, 1.1, np.nan])
def test_smoothing_out_of_range(weight):
    with pytest.raises(InputError, match="^plots.smooth: "):
        logs.smooth_values(np.ones(3), weight)


def test_summary_against_numpy(runs):
    table = logs.summarize(logs.read_log(runs).scalars)
    for tag, (steps, values) in LOGGED.items():
        values = values.astype(np.float32).astype(np.float64)
        row = table.loc[tag]
        expected = [
            values[0],
            values[-1],
            values.min(),
            values.max(),
            values.mean(),
            np.std(values),
        ]
        np.testing.assert_allclose(
            row[["first", "last", "min", "max", "mean", "std"]].astype(float), expected
        )
        assert row["min_step"] == steps[np.argmin(values)]
        assert row["max_step"] == steps[np.argmax(values)]
        assert (row["count"], row["not_finite"]) == (len(values), 0)


def test_summary_counts_what_is_not_finite(tmp_path):
    write_events(tmp_path, {"train/loss": ([1, 2, 3, 4, 5], [4.0, np.nan, 2.0, np.inf, 3.0])})
    write_events(tmp_path, {"eval/wer": ([1, 2], [np.nan, np.nan])}, start=2000)
    table = logs.summarize(logs.read_log(tmp_path).scalars)
    assert table.loc["train/loss", ["count", "not_finite"]].tolist() == [5, 2]
    assert table.loc["train/loss", ["min", "min_step", "max", "mean"]].tolist() == [2, 3, 4, 3]
    assert table.loc["eval/wer", ["count", "not_finite"]].tolist() == [2, 2]
    assert np.isnan(table.loc["eval/wer", "mean"])


def test_logged_time_leaves_out_pauses_and_counts_overlaps_once():
    assert logs.logged_time([(0, 100), (1000, 1010)]) == 110
    assert logs.logged_time([(50, 150), (0, 100), (20, 30)]) == 150


def test_summary_file(runs, tmp_path):
    write_events(runs / "b", {"train/loss": ([410], [0.1])}, start=90_000)
    logs.write_summary(logs.read_log(runs), tmp_path / "s.txt", "hfloss")
    text = (tmp_path / "s.txt").read_text()
    assert "Training log: hfloss" in text
    assert "10 to 410" in text
    assert "1970-01-01 00:16:50 UTC" in text  # 1010 s
    assert "0:06:30 (h:mm:ss) in 2 sessions" in text  # 390 s and a single entry
    assert "best eval WER 32.5% at step 300" in text
    row = next(line for line in text.splitlines() if line.startswith("eval/wer"))
    assert row.split() == [
        *("eval/wer", "4", "0", "1.25", "0.4", "0.325", "300", "1.25", "100", "0.64375"),
        "0.364166",  # square root of the mean of 0.60625^2, 0.04375^2, 0.31875^2, 0.24375^2
    ]


def test_csv_equals_what_was_written(runs, tmp_path):
    log = logs.read_log(runs)
    logs.write_csv(log, tmp_path / "csv_data" / "all_metrics.csv")
    for tag, (steps, values) in LOGGED.items():
        table = pd.read_csv(tmp_path / "csv_data" / f"{tag.replace('/', '_')}.csv")
        assert table.columns.tolist() == ["step", "wall_time", "value"]
        np.testing.assert_array_equal(table["step"], steps)
        np.testing.assert_array_equal(table["wall_time"], 1000.0 + steps)
        np.testing.assert_array_equal(table["value"].astype(np.float32), values.astype(np.float32))
    combined = pd.read_csv(tmp_path / "csv_data" / "all_metrics.csv")
    assert combined.columns.tolist() == ["tag", "step", "wall_time", "value"]
    assert len(combined) == sum(len(steps) for steps, _ in LOGGED.values())
    rate = combined[combined["tag"] == "train/learning_rate"]["value"]
    np.testing.assert_array_equal(
        rate.astype(np.float32), LOGGED["train/learning_rate"][1].astype("f4")
    )


def test_csv_of_tags_that_share_a_file_name_and_of_tags_now_gone(tmp_path):
    first = {"train/loss": ([1], [1.0]), "train_loss": ([1], [2.0]), "old": ([1], [3.0])}
    write_events(tmp_path / "first", first)
    logs.write_csv(logs.read_log(tmp_path / "first"), tmp_path / "csv" / "all.csv")
    assert pd.read_csv(tmp_path / "csv" / "train_loss.csv")["value"].tolist() == [1.0]
    assert pd.read_csv(tmp_path / "csv" / "train_loss_2.csv")["value"].tolist() == [2.0]
    write_events(tmp_path / "second", {"train/loss": ([1], [np.nan])})
    logs.write_csv(logs.read_log(tmp_path / "second"), tmp_path / "csv" / "all.csv")
    assert {path.name for path in (tmp_path / "csv").iterdir()} == {"all.csv", "train_loss.csv"}
    assert (tmp_path / "csv" / "train_loss.csv").read_text().splitlines()[1] == "1,1001.0,nan"


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg", "jpg"])
def test_figures_and_tables_repeat_byte_for_byte(runs, tmp_path, suffix):
    for folder in ("one", "two"):
        draw_all(runs, tmp_path / folder, suffix, smooth=0.6, names=["loss_curves"])
    names = {str(path.relative_to(tmp_path / "one")) for path in (tmp_path / "one").rglob("*.*")}
    figures = {f"loss_curves.{suffix}", f"training_overview.{suffix}"}
    assert figures | {"training_summary.txt", "csv_data/all_metrics.csv"} <= names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_every_figure_is_drawn(runs, tmp_path):
    draw_all(runs, tmp_path)
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn == {
        "loss_curves",
        "learning_rate",
        "gradient_norm",
        "word_error_rate",
        "training_overview",
    }


def test_lines_are_the_logged_values(runs):
    ax = metric_axes("loss_curves", logs.read_log(runs))
    drawn = {line.get_label(): line for line in ax.get_lines()}
    for label, tag in (("train", "train/loss"), ("evaluation", "eval/loss")):
        np.testing.assert_array_equal(drawn[label].get_xdata(), LOGGED[tag][0])
        np.testing.assert_allclose(drawn[label].get_ydata(), LOGGED[tag][1], rtol=1e-6)


def test_wer_is_drawn_in_percent_with_its_best(runs):
    ax = metric_axes("word_error_rate", logs.read_log(runs))
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), [125, 60, 32.5, 40], rtol=1e-6)
    assert labels(ax) == ["evaluation", "best: 32.5 % at step 300"]
    assert ax.get_lines()[1].get_xydata().tolist() == [[300, pytest.approx(32.5)]]


def test_smoothed_line_stands_before_the_faint_raw_one(runs):
    ax = metric_axes("gradient_norm", logs.read_log(runs), smooth=0.6)
    raw, smoothed = ax.get_lines()
    values = LOGGED["train/grad_norm"][1]
    assert raw.get_alpha() < 0.5
    np.testing.assert_allclose(raw.get_ydata(), values, rtol=1e-6)
    np.testing.assert_allclose(smoothed.get_ydata(), logs.smooth_values(values, 0.6), rtol=1e-6)


def test_learning_rate_is_never_smoothed(runs):
    (line,) = metric_axes("learning_rate", logs.read_log(runs), smooth=0.9).get_lines()
    np.testing.assert_allclose(line.get_ydata(), LOGGED["train/learning_rate"][1], atol=1e-12)


def test_values_that_are_not_finite_are_gaps_with_a_cross(tmp_path):
    write_events(tmp_path, {"train/grad_norm": ([1, 2, 3, 4], [1.0, np.inf, np.nan, 2.0])})
    ax = metric_axes("gradient_norm", logs.read_log(tmp_path))
    line, crosses = ax.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), [1.0, np.nan, np.nan, 2.0])
    assert crosses.get_xdata().tolist() == [2, 3]
    assert labels(ax) == ["not finite"]


def test_a_point_between_gaps_of_a_long_line_gets_a_marker():
    values = np.ones(100)
    values[[40, 42, 60, 61, 63]] = np.nan
    assert training._marked(values, None) == [41, 62]


def test_a_metric_that_was_never_logged_says_so(tmp_path):
    write_events(tmp_path / "runs", {"train/loss": ([10], [2.0])})
    log = logs.read_log(tmp_path / "runs")
    (text,) = metric_axes("word_error_rate", log).texts
    assert text.get_text() == "Nothing logged yet under eval/wer"
    assert labels(metric_axes("loss_curves", log)) == ["train", "evaluation: nothing logged"]
    draw_all(tmp_path / "runs", tmp_path / "out")
    assert (tmp_path / "out" / "word_error_rate.png").exists()


def test_only_values_that_are_not_finite(tmp_path):
    nothing = {tag: ([10, 20], [np.nan, np.nan]) for tag in LOGGED}
    write_events(tmp_path / "runs", nothing)
    draw_all(tmp_path / "runs", tmp_path / "out", smooth=0.5)
    assert "best" not in (tmp_path / "out" / "training_summary.txt").read_text()


def test_a_name_with_dollars_is_no_formula(runs, tmp_path):
    training.plot_training(
        runs,
        figures={},
        overview=tmp_path / "o.png",
        summary=tmp_path / "s.txt",
        csv=tmp_path / "c" / "a.csv",
        title="$hfloss$ costs $\\frac$",
        **FIGURES,
    )
    assert (tmp_path / "o.png").exists()


@pytest.mark.parametrize("count", [1, 12])
def test_comparison(tmp_path, count):
    folders = {}
    for index in range(count):
        scaled = {tag: (steps, values * (index + 1)) for tag, (steps, values) in LOGGED.items()}
        folders[f"v{index}"] = tmp_path / f"v{index}" / "runs"
        write_events(folders[f"v{index}"], scaled)
    out = tmp_path / "out"
    training.plot_training_comparison(
        folders,
        figures={name: out / f"{name}.png" for name in training.COMPARED},
        overview=out / "overview.png",
        csv=out / "metrics.csv",
        **FIGURES,
    )
    assert len(list(out.glob("*.png"))) == len(training.COMPARED) + 1
    table = pd.read_csv(out / "metrics.csv")
    assert table.columns.tolist() == ["variant", "tag", "step", "wall_time", "value"]
    last = table[(table["variant"] == f"v{count - 1}") & (table["tag"] == "eval/wer")]
    np.testing.assert_allclose(last["value"], LOGGED["eval/wer"][1] * count, rtol=1e-6)


def test_comparison_draws_those_that_have_the_metric(tmp_path):
    write_events(tmp_path / "a", {"train/loss": ([10], [2.0])})
    write_events(tmp_path / "b", LOGGED)
    both = {name: logs.read_log(tmp_path / name) for name in "ab"}
    ax = Figure().subplots()
    training.draw_comparison(ax, training.COMPARED["word_error_rate"], both, 0.0)
    (line,) = ax.get_lines()
    assert line.get_label() == "b"
    assert line.get_color() == training.series_style(1)["color"]  # its own, as everywhere
    ax = Figure().subplots()
    training.draw_comparison(ax, training.COMPARED["eval_loss"], {"a": both["a"]}, 0.0)
    assert ax.texts[0].get_text() == "Nothing logged yet under eval/loss"
