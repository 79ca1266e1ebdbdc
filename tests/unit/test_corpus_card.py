import json

import numpy as np
import pandas as pd
import pytest

from hearing_asr.corpus import corpus_features
from hearing_asr.corpus_card import SplitFiles, write_card
from hearing_asr.errors import InputError
from hearing_asr.plots.corpus import draw_corpus, plot_corpus
from hearing_asr.plots.style import house_style
from hearing_asr.quarantine import write_quarantine
from hearing_asr.release import COLUMNS
from hearing_asr.shards import write_shard

ACCENT = 'India and South Asia (India, Pakistan, Sri Lanka), "other"'


def people(split, count):
    rng = np.random.default_rng(len(split))
    return [
        {
            **dict.fromkeys(COLUMNS, ""),
            "client_id": f"{split}{rng.integers(4)}" if k else "",
            "path": f"{split}{k}.mp3",
            "sentence": f"Sentence {k // 2}.",
            "age": str(rng.choice(["", "twenties", "teens"])),
            "gender": str(rng.choice(["female_feminine", "male_masculine"])),
            "accents": str(rng.choice(["", ACCENT, "سلام"])),
            "locale": "en",
            "audio": {"bytes": b"flac", "path": f"{split}{k}.mp3"},
            "scale": 1.0,
            "duration": float(np.float32(rng.uniform(1, 9))),
        }
        for k in range(count)
    ]


class Study:
    """A corpus of two splits, and the files that the card is made of."""

    def __init__(self, folder):
        self.folder, self.files = folder, {}
        self.rows = {"train": people("train", 250), "test": people("test", 31)}
        for split, rows in self.rows.items():
            shards = [folder / f"{split}-{k}.arrow" for k in range(3)]
            third = len(rows) // 3
            for k, shard in enumerate(shards[:2]):
                write_shard(shard, corpus_features(COLUMNS), rows[k * third : (k + 1) * third])
            write_shard(shards[2], corpus_features(COLUMNS), rows[2 * third :])
            self.files[split] = SplitFiles(
                folder / f"{split}.json", folder / f"{split}.tsv", shards
            )
            self.rejected(split, [("x.mp3", "silent", ""), ("y.mp3", "missing", "")])
        self.counts("train", damaged=2, excluded={"accent": 40, "age": 3}, beyond=700)
        self.counts("test")
        (folder / "overlap.json").write_text('{"train/test": {"clips": 0}}')
        (folder / "release.json").write_text('{"sha256": "abc"}')

    def counts(self, split, damaged=0, excluded=None, beyond=0):
        chosen = len(self.rows[split]) + 2
        rows = chosen + damaged + sum((excluded or {}).values()) + beyond
        known = {"split": split, "table": f"{split}.tsv", "rows": rows, "damaged": damaged}
        known |= {"excluded": excluded or {}, "beyond": beyond, "chosen": chosen}
        self.files[split].counts.write_text(json.dumps(known))

    def rejected(self, split, rows):
        write_quarantine(self.files[split].rejected, rows)

    def card(self):
        out = {name: self.folder / f"out/{name}" for name in OUTPUTS}
        files = (self.folder / "overlap.json", self.folder / "release.json")
        write_card(self.files, *files, {"source": "release"}, **out)
        return out


OUTPUTS = ("card", "table", "excluded", "demographics", "clips")


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path)


def test_counts_are_those_of_pandas(study):
    out = study.card()
    known = json.loads(out["card"].read_text())
    assert known["release"] == {"sha256": "abc"}
    assert known["overlap"] == {"train/test": {"clips": 0}}
    for split, rows in study.rows.items():
        table, card = pd.DataFrame(rows), known["splits"][split]
        assert card["clips"] == len(table)
        assert card["hours"] == pytest.approx(table["duration"].sum() / 3600)
        named = table[table["client_id"] != ""]
        assert card["speakers"] == named["client_id"].nunique()
        assert card["clips_without_speaker"] == 1
        assert sum(card["clips_per_speaker"]) == len(table) - 1
        assert card["sentences"] == table["sentence"].nunique()
        assert card["seconds"]["mean"] == pytest.approx(table["duration"].mean())
        assert card["seconds"]["p50"] == pytest.approx(table["duration"].median())
        assert sum(card["durations"]["clips"]) == len(table)
        edges = card["durations"]["edges"]
        assert card["durations"]["clips"][4] == table["duration"].between(2, 2.5).sum()
        assert edges[4:6] == [2.0, 2.5]


def test_the_table_goes_from_the_release_to_the_clips(study):
    table = pd.read_csv(study.card()["table"], index_col="quantity")["train"]
    assert table["rows in it"] == "997"
    assert table["left out in selection"] == "45"
    assert table["beyond max_clips, max_hours or the clip list"] == "700"
    assert table["rejected in decoding"] == "2"
    assert table["clips"] == "250"


def test_what_was_left_out_is_listed_for_every_split(study):
    table = pd.read_csv(study.card()["excluded"], keep_default_na=False)
    rows = [tuple(row) for row in table[["split", "stage", "reason", "clips"]].to_numpy()]
    assert rows == [
        ("train", "selection", "accent", 40),
        ("train", "selection", "age", 3),
        ("train", "selection", "damaged row", 2),
        ("train", "decoding", "silent", 1),
        ("train", "decoding", "missing", 1),
        ("test", "selection", "none", 0),
        ("test", "decoding", "silent", 1),
        ("test", "decoding", "missing", 1),
    ]
    assert table["share"][0] == pytest.approx(40 / 997, rel=1e-4)


def test_demographics_are_those_of_pandas(study):
    table = pd.read_csv(study.card()["demographics"], keep_default_na=False)
    rows = pd.DataFrame(study.rows["train"])
    for value, group in rows.groupby("accents"):
        found = table[(table.split == "train") & (table.column == "accents")]
        (row,) = found[found.value == (value or "not stated")].itertuples()
        assert row.clips == len(group)
        assert row.hours == pytest.approx(group["duration"].sum() / 3600, rel=1e-4)
        assert row.speakers == group.loc[group["client_id"] != "", "client_id"].nunique()


def test_the_list_has_every_clip_in_the_order_of_the_dataset(study):
    lines = study.card()["clips"].read_text().splitlines()
    expected = [f"{split}\t{row['path']}" for split in study.rows for row in study.rows[split]]
    assert lines == ["split\tpath", *expected]


@pytest.mark.parametrize("what", ["rows of the table", "clips that were chosen"])
def test_what_does_not_add_up_is_refused(study, what):
    if what.startswith("rows"):
        known = json.loads(study.files["test"].counts.read_text())
        study.files["test"].counts.write_text(json.dumps(known | {"rows": 99}))
    else:
        study.rejected("test", [("x.mp3", "silent", "")])
    with pytest.raises(InputError, match=rf"test: \d+ {what}, but \d+ are accounted for"):
        study.card()


@pytest.mark.parametrize("left_out", [True, False])
def test_the_figure_shows_all_splits(study, tmp_path, left_out):
    out = study.card()
    path = tmp_path / "corpus.png"
    style = {"dpi": 40, "figsize": (12, 8)}
    plot_corpus(out["card"], out["excluded"], out["demographics"], path, **style)
    first = path.read_bytes()
    plot_corpus(out["card"], out["excluded"], out["demographics"], path, **style)
    assert path.read_bytes() == first
    splits = json.loads(out["card"].read_text())["splits"]
    reasons = pd.read_csv(out["excluded"], keep_default_na=False)
    if not left_out:
        reasons["clips"] = 0
    with house_style():
        from matplotlib.figure import Figure

        fig = Figure(figsize=(12, 8))
        draw_corpus(fig, splits, reasons, pd.read_csv(out["demographics"], keep_default_na=False))
    durations, speakers, gender, age, accents, missing = fig.axes
    assert [text.get_text() for text in durations.get_legend().get_texts()] == ["train", "test"]
    assert [len(line.get_xdata()) for line in speakers.get_lines()] == [4, 4]
    shares = [bar.get_width() for bar in gender.containers[0]]
    assert sum(shares) == pytest.approx(100)
    assert [text.get_text() for text in age.get_yticklabels()] == [
        "teens",
        "twenties",
        "not stated",
    ]
    assert any("سلام" in text.get_text() for text in accents.get_yticklabels())
    shown = [text.get_text() for text in missing.get_yticklabels()] if left_out else []
    assert (
        (shown[0] == "accent")
        if left_out
        else "no clip was left out" in missing.texts[0].get_text()
    )
    for ax in fig.axes[:5]:
        assert ax.get_xlabel()
        assert ax.get_title(loc="left")
