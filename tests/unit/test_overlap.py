import json

import pytest

from hearing_asr import overlap
from hearing_asr.errors import InputError
from hearing_asr.overlap import bare, check_splits
from tests.unit.releases import choose, line, table


@pytest.fixture
def splits(tmp_path, monkeypatch):
    monkeypatch.setattr(overlap, "BATCH", 2)  # the larger table is read in several

    def make(train, dev):
        files = {}
        for split, lines in {"train": train, "dev": dev}.items():
            files[split] = tmp_path / f"{split}.parquet"
            choose(table(tmp_path, *lines), files[split])
        return files

    return make


ANN = [line(f"a{k}.mp3", f"Sentence {k}.", client_id="ann" + "x" * 100) for k in range(5)]


def test_splits_that_are_apart(splits, tmp_path):
    files = splits(
        ANN, [line("b.mp3", "sentence, 3", client_id="bob"), line("c.mp3", "", client_id="")]
    )
    check_splits(files, tmp_path / "o.json")
    assert json.loads((tmp_path / "o.json").read_text()) == {
        "train/dev": {"clips": 0, "speakers": 0, "sentences": 0, "similar sentences": 1}
    }


@pytest.mark.parametrize(
    ("other", "message", "kind"),
    [
        (line("b.mp3", "New.", client_id="ann" + "x" * 100), r"1 speakers .*'annxxxxxxxxx\.\.\.'.*"
         r"corpus.train_from.*allow_overlap: \[speakers\]", "speakers"),
        (line("b.mp3", "Sentence 4. ", client_id="bob"), r"1 sentences .*'Sentence 4\.'.*"
         r"allow_overlap: \[sentences\]", "sentences"),
        (line("a4.mp3", "New.", client_id="bob"), r"1 clips in common \('a4.mp3'\)", None),
    ],
)  # fmt: skip
def test_what_splits_have_in_common_is_told_unless_it_is_allowed(
    splits, tmp_path, other, message, kind
):
    for files in (splits(ANN, [other]), splits([other], ANN)):
        with pytest.raises(InputError, match=f"train and dev have {message}"):
            check_splits(files, tmp_path / "o.json")
        assert not (tmp_path / "o.json").exists()
    if kind is None:
        with pytest.raises(InputError):
            check_splits(files, tmp_path / "o.json", ["speakers", "sentences", "clips"])
    else:
        check_splits(files, tmp_path / "o.json", [kind])
        assert json.loads((tmp_path / "o.json").read_text())["train/dev"][kind] == 1


def test_the_order_of_the_splits_does_not_matter(splits, tmp_path):
    files = splits(ANN, [line("b.mp3", "New.", client_id="ann" + "x" * 100)])
    with pytest.raises(InputError, match=r"dev and train have 1 speakers.*corpus.train_from"):
        check_splits({"dev": files["dev"], "train": files["train"]}, tmp_path / "o.json")


def test_bare_sentences():
    assert bare("It’s  HERE—now!") == bare("it s here now")
    assert bare("ﬁne") == "fine"
    assert bare("سلام، دنیا") == "سلام دنیا"
    assert bare("one") != bare("won")
