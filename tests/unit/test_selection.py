import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hearing_asr.clip_table import clip_columns, shard_clips
from hearing_asr.errors import InputError
from hearing_asr.release import COLUMNS
from hearing_asr.subsets import order, prefix
from tests.unit.releases import EVERYTHING, choose, line, many, table


def chosen(path):
    return pq.read_table(path).to_pandas()


def filtered(**filters):
    return replace(EVERYTHING, filters=filters)


def test_every_clip_is_in_one_shard_and_in_order(tmp_path):
    output = tmp_path / "clips.parquet"
    counts, _ = choose(many(tmp_path, 500), output, replace(EVERYTHING, shards=7))
    shards = [shard_clips(output, shard) for shard in range(7)]
    numbers = [[int(row["path"].split("_")[-1][:-4]) for row in shard] for shard in shards]
    assert sorted(itertools.chain.from_iterable(numbers)) == list(range(500))
    assert all(shard == sorted(shard) for shard in numbers)
    assert min(map(len, numbers)) > 40  # 71 on average, spread by a hash
    assert clip_columns(output) == list(COLUMNS)
    assert counts == {
        "split": "train",
        "table": "train.tsv",
        "rows": 500,
        "damaged": 0,
        "excluded": {},
        "beyond": 0,
        "chosen": 500,
        "hours": None,
        "speakers": 1,
    }


def test_shards_and_subsets_are_those_of_earlier_versions(tmp_path):
    """They are part of published results: they must never change."""
    output = tmp_path / "clips.parquet"
    choose(many(tmp_path, 40), output, replace(EVERYTHING, shards=3, max_clips=6))
    rows = chosen(output)
    numbers = rows["path"].str.extract(r"(\d+)\.mp3")[0].astype(int)
    assert list(zip(rows["shard"], numbers, strict=True)) == [
        (0, 10), (0, 26), (0, 33), (1, 0), (1, 6), (2, 13),
    ]  # fmt: skip


NAMES = st.lists(st.text("abcdef0123456789_", min_size=1, max_size=8), unique=True, min_size=3)


@settings(max_examples=30)
@given(NAMES, st.randoms(use_true_random=False), st.integers(1, 5))
def test_a_clips_shard_depends_on_nothing_but_its_path(tmp_path_factory, names, random, shards):
    folder = tmp_path_factory.mktemp("shards")
    selection = replace(EVERYTHING, shards=min(shards, len(names)))
    places = []
    for kept in (names, random.sample(names, len(names)), names[: max(len(names) // 2, shards)]):
        choose(table(folder, *map(line, kept)), folder / "c.parquet", selection)
        rows = chosen(folder / "c.parquet")
        assert sorted(rows["path"]) == sorted(f"{name}.mp3" for name in kept)
        places.append(dict(zip(rows["path"], rows["shard"], strict=True)))
    for other in places[1:]:
        assert other.items() <= places[0].items()


CLIPS = st.lists(st.tuples(st.sampled_from("abcde"), st.floats(0.5, 10)), min_size=1, max_size=60)
LIMIT = st.one_of(st.none(), st.integers(0, 70))
HOURS = st.one_of(st.none(), st.floats(0.0001, 0.2))


@given(CLIPS, LIMIT, LIMIT, HOURS, HOURS, st.booleans())
def test_a_smaller_subset_is_part_of_a_larger_one(clips, few, many, short, long, stratified):
    speakers, seconds = zip(*clips, strict=True)
    paths = [f"{k}.mp3" for k in range(len(clips))]
    ordered = order(paths, speakers if stratified else None)
    assert sorted(ordered) == list(range(len(clips)))
    few, many = sorted((few, many), key=lambda limit: np.inf if limit is None else limit)
    short, long = sorted((short, long), key=lambda limit: np.inf if limit is None else limit)
    seconds = np.array(seconds)
    small, large = prefix(ordered, seconds, few, short), prefix(ordered, seconds, many, long)
    assert set(small) <= set(large)
    for taken, clips_limit, hours in ((small, few, short), (large, many, long)):
        assert clips_limit is None or len(taken) <= clips_limit
        assert hours is None or seconds[taken].sum() <= hours * 3600 * (1 + 1e-9)
        if len(taken) < len(clips) and clips_limit is None:
            assert seconds[ordered[: len(taken) + 1]].sum() > hours * 3600 * (1 - 1e-9)


@given(CLIPS, st.integers(1, 60))
def test_stratified_every_speaker_has_a_turn_before_any_has_another(clips, count):
    speakers = [speaker for speaker, _ in clips]
    ordered = order([f"{k}.mp3" for k in range(len(clips))], speakers)
    taken = pd.Series([speakers[k] for k in ordered[:count]]).value_counts()
    of_all = pd.Series(speakers).value_counts()
    for speaker, clips_of in of_all.items():
        got = taken.get(speaker, 0)
        assert got == clips_of or got >= taken.max() - 1


def test_a_limit_that_is_just_reached_is_kept():
    assert list(prefix(np.array([2, 0, 1]), np.full(3, 1800.0), None, 1.0)) == [2, 0]


def test_limits_in_hours_are_those_of_the_release(tmp_path):
    source, output = many(tmp_path, 100), tmp_path / "c.parquet"
    durations = tmp_path / "clip_durations.tsv"
    rows = [f"common_voice_en_{k}.mp3\t{1000 + 10 * k}" for k in reversed(range(100))]
    durations.write_text("clip\tduration[ms]\n" + "\n".join(rows) + "\n")
    selection = replace(EVERYTHING, max_hours=0.02)
    counts, _ = choose(source, output, selection, durations=durations)
    seconds = [1 + 0.01 * int(path[16:-4]) for path in chosen(output)["path"]]
    assert counts["hours"] == pytest.approx(sum(seconds) / 3600)
    assert 0.019 < counts["hours"] <= 0.02
    assert counts["beyond"] == 100 - len(seconds)
    with pytest.raises(InputError, match=r"corpus.splits.train.max_hours: .*no clip_durations"):
        choose(source, output, selection)
    durations.write_text("clip\tduration[ms]\n" + "\n".join(rows[:50]) + "\n")
    with pytest.raises(InputError, match=r"max_hours"):
        choose(source, output, selection, durations=durations)
    durations.write_text("clip\tduration[ms]\n" + rows[0] + "x\n")
    with pytest.raises(InputError, match=r"clip_durations.tsv: not a duration"):
        choose(source, output, selection, durations=durations)


ACCENT = "India and South Asia (India, Pakistan, Sri Lanka)"
PEOPLE = [
    {"accents": "England English", "age": "twenties", "gender": "male", "up_votes": "5"},
    {"accents": f"{ACCENT}, England English", "age": "thirties", "gender": "female_feminine"},
    {"accents": f"{ACCENT}", "age": "Twenties", "down_votes": "3"},
    {"accents": "New England English", "locale": "en-GB"},
    {"accents": "England English|Scottish English", "up_votes": "x"},
    {"sentence": " "},
    {"sentence": "Hi."},
    {"sentence": "A" * 99},
]


@pytest.mark.parametrize(
    ("filters", "left_out"),
    [
        ({}, {}),
        ({"drop_empty_sentences": True}, {5: "empty sentence"}),
        ({"min_characters": 5}, {5: "sentence too short", 6: "sentence too short"}),
        ({"max_characters": 98}, {7: "sentence too long"}),
        ({"max_characters": 99, "min_characters": 1}, {5: "sentence too short"}),
        ({"min_up_votes": 3},
         {4: "damaged row"} | dict.fromkeys((1, 2, 3, 5, 6, 7), "too few up votes")),
        ({"max_down_votes": 2}, {2: "too many down votes"}),
        ({"locales": ["en"]}, {3: "locale"}),
        ({"ages": ["twenties"]}, dict.fromkeys((1, 3, 4, 5, 6, 7), "age")),
        ({"genders": ["male", "female_feminine"]}, dict.fromkeys(range(2, 8), "gender")),
        ({"accents": [ACCENT]}, dict.fromkeys((0, 3, 4, 5, 6, 7), "accent")),
        ({"accents": ["england english"]}, dict.fromkeys((2, 3, 5, 6, 7), "accent")),
        ({"accents": ["Scottish English", "New England English"]},
         dict.fromkeys((0, 1, 2, 5, 6, 7), "accent")),
    ],
)  # fmt: skip
def test_each_filter_leaves_out_what_it_says_and_counts_it(tmp_path, filters, left_out):
    lines = [line(f"{k}.mp3", **person) for k, person in enumerate(PEOPLE)]
    counts, excluded = choose(table(tmp_path, *lines), tmp_path / "c.parquet", filtered(**filters))
    assert {int(path[:-4]): reason for path, reason, _ in excluded} == left_out
    kept = [f"{k}.mp3" for k in range(len(PEOPLE)) if k not in left_out]
    assert list(chosen(tmp_path / "c.parquet")["path"]) == kept
    assert counts["excluded"] == pd.Series(list(left_out.values())).value_counts().to_dict()
    assert counts["rows"] == counts["chosen"] + sum(counts["excluded"].values())


def test_a_clip_counts_for_the_first_reason(tmp_path):
    lines = [line("a.mp3"), line("b.mp3", "", down_votes="9")]
    _, excluded = choose(table(tmp_path, *lines), tmp_path / "c.parquet",
                         filtered(drop_empty_sentences=True, max_down_votes=0))  # fmt: skip
    assert excluded == [("b.mp3", "empty sentence", "")]


def test_a_filter_that_the_release_cannot_serve_is_told(tmp_path):
    with pytest.raises(InputError, match=r"column age is empty.*corpus.filters.ages"):
        choose(table(tmp_path, line("a.mp3")), tmp_path / "c.parquet", filtered(ages=["teens"]))


def test_when_nothing_is_left_it_is_said_what_took_it(tmp_path):
    source = table(tmp_path, line("a.mp3"), line("b.mp3", locale="de"))
    with pytest.raises(InputError, match=r"none of 2 clips is left \(locale: 2\)"):
        choose(source, tmp_path / "c.parquet", filtered(locales=["fr"]))
    assert not (tmp_path / "c.parquet").exists()


def test_damaged_rows_are_left_out_up_to_a_share(tmp_path):
    source = table(tmp_path, line("a.mp3"), line("b.mp3", "a\ttab"), line("c.mp3"))
    counts, excluded = choose(source, tmp_path / "c.parquet", max_damaged=0.4)
    assert (counts["rows"], counts["damaged"], counts["chosen"]) == (3, 1, 2)
    assert excluded == [("b.mp3", "damaged row", "line 3: 14 fields where the header has 13")]
    with pytest.raises(InputError, match=r"1 of 3 rows are damaged \(line 3.*max_rejected = 0.3"):
        choose(source, tmp_path / "c.parquet", max_damaged=0.3)


def test_equal_rows_count_once_and_different_ones_are_refused(tmp_path):
    source = table(tmp_path, line("a.mp3"), line("b.mp3"), line("a.mp3"))
    counts, excluded = choose(source, tmp_path / "c.parquet")
    assert counts["chosen"] == 2
    assert excluded == [("a.mp3", "duplicate row", "lines 2 and 4 are the same")]
    source = table(tmp_path, line("a.mp3"), line("b.mp3"), line("a.mp3", "Other."))
    with pytest.raises(InputError, match=r"lines 2 and 4: clip a.mp3 is listed twice, and diff"):
        choose(source, tmp_path / "c.parquet")


def test_more_shards_than_clips_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"3 clips for 4 shards.*at most 3"):
        choose(many(tmp_path, 3), tmp_path / "c.parquet", replace(EVERYTHING, shards=4))
    assert not (tmp_path / "c.parquet").exists()


def test_speakers_and_sentences_of_other_splits_are_held_out(tmp_path):
    dev = table(tmp_path, line("d.mp3", "In dev. ", client_id="eve"), name="dev.tsv")
    test = table(tmp_path, line("t.mp3", "In test.", client_id=""), name="test.tsv")
    source = table(
        tmp_path,
        line("d.mp3", "In dev. ", client_id="eve"),
        line("a.mp3", "New.", client_id="eve"),
        line("b.mp3", "In test.", client_id="ann"),
        line("c.mp3", "In dev.", client_id="bob"),
        line("e.mp3", "New.", client_id=""),
        line("f.mp3", "New, too.", client_id="ann"),
        name="validated.tsv",
    )
    counts, excluded = choose(source, tmp_path / "c.parquet", held_out=[dev, test])
    assert list(chosen(tmp_path / "c.parquet")["path"]) == ["e.mp3", "f.mp3"]
    assert sorted(excluded) == [
        ("a.mp3", "speaker of dev or test", "in dev.tsv"),
        ("b.mp3", "sentence of dev or test", "in test.tsv"),
        ("c.mp3", "sentence of dev or test", "in dev.tsv"),
        ("d.mp3", "speaker of dev or test", "in dev.tsv"),
    ]
    assert counts["table"] == "validated.tsv"


def test_a_list_of_clips_rebuilds_the_same_subset(tmp_path):
    source, output = many(tmp_path, 60), tmp_path / "c.parquet"
    choose(source, output, replace(EVERYTHING, shards=2, max_clips=20))
    subset = chosen(output)
    listed = tmp_path / "list.tsv"
    rows = ["split\tpath", "dev\tother.mp3", *("train\t" + path for path in subset["path"][::-1])]
    listed.write_text("\n".join(rows) + "\n")
    counts, _ = choose(source, output, replace(EVERYTHING, shards=2, clip_list=str(listed)))
    pd.testing.assert_frame_equal(chosen(output), subset)
    assert (counts["beyond"], counts["chosen"]) == (40, 20)


def test_a_listed_clip_that_cannot_be_taken_is_told(tmp_path):
    source = table(tmp_path, line("a.mp3"), line("b.mp3", ""))
    (tmp_path / "list.tsv").write_text("split\tpath\ntrain\ta.mp3\ntrain\tb.mp3\ntrain\tz.mp3\n")
    selection = replace(filtered(drop_empty_sentences=True), clip_list=str(tmp_path / "list.tsv"))
    with pytest.raises(
        InputError, match=r"2 of 3 clips of train .*b.mp3 \(empty sentence\), z.mp3"
    ):
        choose(source, tmp_path / "c.parquet", selection)
    (tmp_path / "list.tsv").write_text("path\na.mp3\n")
    with pytest.raises(InputError, match="expected the columns split and path; found path"):
        choose(source, tmp_path / "c.parquet", selection)
