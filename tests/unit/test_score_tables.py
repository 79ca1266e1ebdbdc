"""All cells side by side: paired, averaged over seeds, tabulated."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from hearing_asr.cells import SUMMED, load_cells, order_models, rates_of
from hearing_asr.errors import InputError
from hearing_asr.score_tables import failure_table, score_table, wer_matrix, write_scores
from hearing_asr.transcripts import METADATA_KEY
from tests.unit.predicted import predictions, rewritten

REFERENCES = ["two mugs", "nine old desks", "peter sees"]
PERFECT = REFERENCES
ONE_WRONG = ["two rugs", "nine old desks", "peter sees"]
NOTHING = ["", "", ""]


@pytest.fixture
def files(tmp_path):
    heard = {
        ("zero_shot", "normal", None): PERFECT,
        ("zero_shot", "hfloss", None): NOTHING,
        ("hfloss", "normal", 1): ONE_WRONG,
        ("hfloss", "hfloss", 1): PERFECT,
        ("hfloss", "normal", 2): PERFECT,
        ("hfloss", "hfloss", 2): ONE_WRONG,
    }
    return {
        key: predictions(tmp_path / f"{place}.parquet", REFERENCES, texts, ["a", "b", "a"])
        for place, (key, texts) in enumerate(heard.items())
    }


def test_cells_are_means_over_seeds(files):
    cells = load_cells(files)
    assert cells.names == tuple(dict.fromkeys(key[:2] for key in files))
    assert cells.seeds == ((None,), (None,), (1, 2), (1, 2))
    assert cells.words.tolist() == [2, 3, 2]
    expected = [[0, 2, 0.5, 0.5], [0, 3, 0, 0], [0, 2, 0, 0]]
    assert cells.errors.tolist() == expected
    assert cells.blocks().tolist() == [0, 1, 0]
    rates = rates_of(cells.counts.sum(axis=0))
    assert rates["wer"].tolist() == pytest.approx([0, 1, 0.5 / 7, 0.5 / 7])
    assert rates["ser"].tolist() == pytest.approx([0, 1, 1 / 6, 1 / 6])


def test_a_row_per_file(files):
    table = score_table(load_cells(files))
    assert list(zip(table["model"], table["variant"], table["seed"], strict=True)) == [
        (model, variant, pd.NA if seed is None else seed) for model, variant, seed in files
    ]
    assert table["wer"].tolist() == pytest.approx([0, 1, 1 / 7, 0, 0, 1 / 7])
    assert table["word_deletions"].tolist() == [0, 7, 0, 0, 0, 0]
    assert table["words"].tolist() == [7] * 6
    assert table["chars"].tolist() == [32] * 6
    assert table["clips"].tolist() == [3] * 6


def test_the_matrix_is_ordered_and_has_gaps(files):
    del files["zero_shot", "hfloss", None]
    reordered = dict(reversed(files.items()))
    matrix = wer_matrix(load_cells(reordered))
    assert (list(matrix.index), list(matrix.columns)) == (
        ["zero_shot", "hfloss"],
        ["hfloss", "normal"],
    )
    assert matrix.loc["hfloss"].tolist() == pytest.approx([0.5 / 7, 0.5 / 7])
    assert matrix.loc["zero_shot"].isna().tolist() == [True, False]


def test_models_come_in_the_order_of_variants():
    names = ["mixed", "b", "x", "zero_shot", "a"]
    assert order_models(names, ["a", "b"]) == ["zero_shot", "a", "b", "mixed", "x"]


def test_written_tables_can_be_read_back(files, tmp_path):
    paths = [tmp_path / "m" / f"{name}.csv" for name in ("scores", "wer_matrix", "failures")]
    write_scores(files, *paths)
    scores = pd.read_csv(paths[0], dtype={"seed": "Int64"})
    assert list(scores.columns[:7]) == "model variant seed clips excluded words chars".split()
    expected = score_table(load_cells(files))
    pd.testing.assert_frame_equal(scores, expected, check_dtype=False)
    matrix = pd.read_csv(paths[1], index_col="model")
    assert matrix.loc["hfloss", "normal"] == pytest.approx(0.5 / 7)
    assert pd.read_csv(paths[2])["empty"].tolist() == [0, 3, 0, 0, 0, 0]


def test_empty_references_are_excluded_and_counted(tmp_path):
    path = predictions(tmp_path / "p", ["two mugs", "...", "!"], ["two", "nine old", ""])
    cells = load_cells({("m", "v", None): path})
    assert (len(cells.paths), cells.excluded) == (1, 2)
    table = score_table(cells)
    assert table["wer"].tolist() == [0.5]
    assert table["word_insertions"].tolist() == [0]
    assert table["excluded"].tolist() == [2]
    nothing = predictions(tmp_path / "n", ["!", "?"], ["a", "b"])
    with pytest.raises(InputError, match=r"n: none of 2 clips.*evaluation\.normalizer"):
        load_cells({("m", "v", None): nothing})


def test_failures_are_counted_and_confidence_is_averaged(tmp_path):
    path = predictions(
        tmp_path / "p",
        ["two mugs"] * 4,
        ["two mugs", "", "zwei", "deux"],
        entropy=[0.1, 0.2, 0.3, 0.4],
        language=["en", "en", "de", "de"],
        language_probability=[0.9, 0.7, 0.1, 0.3],
    )
    (row,) = failure_table({("m", "v", 7): path}).to_dict("records")
    assert row["seed"] == 7
    assert row["clips"] == 4
    assert row["empty"] == 1
    assert row["wrong_language"] == 2
    assert row["entropy"] == pytest.approx(0.25)
    assert row["language_probability"] == pytest.approx(0.5)
    assert (row["other_language"], row["other_language_clips"]) == ("de", 2)


def test_order_of_clips_does_not_matter(files):
    before = score_table(load_cells(files))
    rewritten(files["hfloss", "normal", 1], lambda table: table.iloc[::-1])
    pd.testing.assert_frame_equal(score_table(load_cells(files)), before)


def test_other_clips_are_named_and_refused(files):
    path = files["hfloss", "normal", 1]
    rewritten(path, lambda table: table.assign(path=["0.mp3", "1.mp3", "9.mp3"]))
    with pytest.raises(InputError, match=r"2\.parquet.*0\.parquet.*missing: 2\.mp3; extra: 9\.mp3"):
        load_cells(files)


def test_of_many_missing_clips_some_are_named(tmp_path):
    first = predictions(tmp_path / "a.parquet", ["two"] * 9, ["two"] * 9)
    second = predictions(tmp_path / "b.parquet", ["two"] * 9, ["two"] * 9)
    rewritten(second, lambda table: table.iloc[:2])
    with pytest.raises(InputError, match=r"b\.parquet.*missing: 2\.mp3, .* and 2 more; extra: no"):
        load_cells({("m", "a", None): first, ("m", "b", None): second})


def test_other_references_are_refused(files):
    path = files["zero_shot", "hfloss", None]
    changed = ["two mugs", "9 old desks", "peter sees"]
    rewritten(path, lambda table: table.assign(reference_normalized=changed))
    with pytest.raises(InputError, match=r"1\.parquet.*references differ.*1\.mp3.*normalizer"):
        load_cells(files)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"decoding": {"num_beams": 5}}, r"decoding \{'num_beams': 5\}, but .*'num_beams': 1.* in"),
        ({"normalizer": "basic"}, "normalizer basic, but simple: .* in .*0.parquet: they cannot"),
    ],
)
def test_files_that_were_made_in_another_way_are_refused(files, change, told):
    path = files["hfloss", "normal", 1]
    table = pq.read_table(path)
    made = json.loads(table.schema.metadata[METADATA_KEY]) | change
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(made)}), path)
    with pytest.raises(InputError, match=rf"2\.parquet: {told}"):
        load_cells(files)


def test_speakers_that_are_known(tmp_path):
    speakers = ["a", "", "b", "", "a"]
    path = predictions(tmp_path / "p", ["two"] * 5, ["two"] * 5, speakers)
    cells = load_cells({("m", "v", None): path})
    assert cells.named_speakers() == 2
    assert cells.named_speakers(np.array([True, True, False, True, True])) == 1
    assert cells.blocks().tolist() == [0, 1, 2, 3, 0]


def test_no_files():
    with pytest.raises(InputError, match=r"no prediction files"):
        load_cells({})


def test_counts_hold_everything_that_is_summed(files):
    cells = load_cells(files)
    assert cells.counts.shape == (3, 4, len(SUMMED))
    totals = cells.by_seed["zero_shot", "hfloss", None]
    assert np.array_equal(totals, cells.counts[:, 1].sum(axis=0))
