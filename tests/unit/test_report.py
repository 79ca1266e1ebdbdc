"""The report's parts: sentences and tables follow from numbers, examples from predictions."""

import base64
import io
import re
import tomllib

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import yaml

from hearing_asr.errors import InputError
from hearing_asr.report import methods, numbers, rows, story
from hearing_asr.report.examples import choose, compare, examples, sound
from hearing_asr.report.page import _read as page_table
from hearing_asr.report.page import caption
from tests.conftest import ROOT
from tests.unit.predicted import predictions

CONFIG = yaml.safe_load((ROOT / "config/config.yaml").read_text())


def interval_rows(**changes):
    wer = {
        ("zero_shot", "normal"): 0.1,
        ("zero_shot", "h_loss"): 0.8,
        ("h_loss", "normal"): 0.4,
        ("h_loss", "h_loss"): 0.25,
    }
    rows = []
    for (model, variant), rate in wer.items():
        row = {"model": model, "variant": variant, "seeds": 1, "clips": 1200, "speakers": 60}
        row |= {"effective_speakers": 60.0, "nameless_clips": 0, "resampled": "speakers"}
        row["wer"] = rate
        rows.append(row | {"wer_low": rate - 0.02, "wer_high": rate + 0.03} | changes)
    return pd.DataFrame(rows)


EFFECTS = pd.DataFrame(
    [
        {"variant": "h_loss", "reference": "normal", "loss": 0.7, "loss_low": 0.65}
        | {"loss_high": 0.75, "recovery": 0.55, "recovery_low": 0.5, "recovery_high": 0.6}
        | {"remaining": 0.1, "recovered": 0.786, "recovered_low": 0.7, "recovered_high": 0.85}
    ]
)
COMPARISONS = pd.DataFrame({"p_permutation_holm": [0.01, 0.2, np.nan]})
SCORES = pd.DataFrame({"excluded": [0, 0]})


def test_the_summary_has_the_numbers():
    told = story.summary(interval_rows(), EFFECTS, "whisper-tiny")
    assert told == [
        "Before fine-tuning, whisper-tiny has a word error rate (WER) of 10.0 % on normal (95 % "
        "interval 8.0 to 13.0).",
        "h_loss raises its WER by 70.0 points (65.0 to 75.0), to 80.0 %.",
        "Fine-tuning on h_loss wins back 55.0 points (50.0 to 60.0), to 25.0 %; that is 79 % of "
        "the loss (70.0 to 85.0).",
    ]


def test_the_summary_of_a_training_that_failed_and_of_gaps():
    worse = EFFECTS.assign(recovery=-0.1, recovery_low=-0.2, recovery_high=-0.05, recovered=np.nan)
    told = story.summary(interval_rows(), worse, "x")
    assert "Fine-tuning on h_loss makes it worse by 10.0 points (5.0 to 20.0), to 25.0" in told[2]
    unclear = EFFECTS.assign(recovery_low=-0.1, loss_low=-0.02)
    told = story.summary(interval_rows(), unclear, "x")
    assert "h_loss does not clearly change its WER: by 70.0 points (−2.0 to 75.0)" in told[1]
    assert "does not clearly change that: by 55.0 points (−10.0 to 60.0)" in told[2]
    better = EFFECTS.assign(loss=-0.1, loss_low=-0.2, loss_high=-0.05)
    assert "h_loss lowers its WER by 10.0 points (5.0 to 20.0)" in " ".join(
        story.summary(interval_rows(), better, "x")
    )
    untrained = EFFECTS.assign(recovery=np.nan)
    assert len(story.summary(interval_rows(), untrained, "x")) == 2
    assert len(story.summary(interval_rows(), EFFECTS.iloc[:0], "x")) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "trained once, with one seed"),
        ({"seeds": 3}, "trained with 3 seeds"),
        ({"resampled": "utterances", "speakers": 1}, "All clips of the test split are of one"),
        (
            {"resampled": "utterances", "speakers": 1, "nameless_clips": 9},
            "whom the corpus does not tell apart",
        ),
        ({"resampled": "utterances", "speakers": 0}, "whom the corpus does not tell apart"),
        ({"speakers": 9, "effective_speakers": 9.0}, "has 9 speakers. What is called a 95 %"),
        ({"speakers": 4, "effective_speakers": 4.0}, "covers about 86 % over so few"),
        ({"nameless_clips": 12}, "12 clips have no speaker's id"),
        ({"effective_speakers": 12.3}, "60 speakers, whose clips are spread as those of 12."),
        ({"speakers": 6, "effective_speakers": 6.0}, "no p-value below 0.031. After correction"),
    ],
)
def test_doubts(changes, told):
    assert told in " ".join(story.doubts(interval_rows(**changes), COMPARISONS, SCORES))


def test_doubts_that_do_not_apply_are_not_told():
    told = story.doubts(interval_rows(seeds=2), COMPARISONS, SCORES)
    assert len(told) == 2
    assert told[1].startswith("Of 3 comparisons, 1 differ at 5 % by the permutation test over sp")
    one = story.doubts(interval_rows(resampled="utterances", speakers=1), COMPARISONS, SCORES)
    assert "test over utterances after Holm" in one[-1]
    nameless = interval_rows(speakers=2, nameless_clips=500)
    assert "Of 3 comparisons, 1 differ" in story.doubts(nameless, COMPARISONS, SCORES)[-1]
    few = story.doubts(interval_rows(), COMPARISONS, SCORES, (), 50)
    assert "50 permutations give no p-value below 0.02. After correction for 3" in few[-1]
    mixed = story.doubts(interval_rows(), COMPARISONS, SCORES, ["float16", "bfloat16"])
    assert any("same precision (bfloat16, float16)" in text for text in mixed)
    excluded = story.doubts(interval_rows(), COMPARISONS, SCORES.assign(excluded=4))
    assert any("4 clips of the test split have no words left" in text for text in excluded)


def test_which_sounds_are_lost_first():
    increases = {
        ("all", "all phonemes"): 0.4,
        ("class", "nasals"): 0.05,
        ("class", "stops"): 0.5,
        ("class", "liquids"): 0.45,
        ("class", "glides"): 0.42,
        ("class", "fricatives"): 0.41,
        ("phoneme", "S"): 0.9,
        ("phoneme", "TH"): -0.1,
    }
    table = pd.DataFrame(
        [
            {"variant": "h_loss", "kind": kind, "name": name, "occurrences": 100}
            | {"increase": value, "low": value - 0.01, "high": value + 0.02}
            for (kind, name), value in increases.items()
        ]
    )
    (told,) = story.lost_first(table)
    assert told == (
        "h_loss: all phonemes +40.0 (39.0 to 42.0); /s/ +90.0 (89.0 to 92.0), /θ/ −10.0 (−11.0 to "
        "−8.0) (/s/ clearly more than phonemes as a whole). Most is lost of stops +50.0 (49.0 to "
        "52.0), liquids +45.0 (44.0 to 47.0), glides "
        "+42.0 (41.0 to 44.0), least of nasals +5.0 (4.0 to 7.0); fricatives are number 4 of 5, "
        "+41.0 (40.0 to 43.0)."
    )
    assert story.lost_first(table.iloc[:0]) == []


def test_the_main_table_in_markdown_and_latex():
    table = interval_rows()
    lines = numbers.markdown(table).splitlines()
    assert lines[0] == "| trained on | normal | h_loss |"
    assert lines[2] == "| zero-shot | 10.0 (8.0 to 13.0) | 80.0 (78.0 to 83.0) |"
    assert "1,200 clips of 60 speakers" in lines[-1]
    text = numbers.latex(table)
    assert r"zero-shot & 10.0 (8.0 to 13.0) & 80.0 (78.0 to 83.0) \\" in text
    assert r"trained on & normal & h\_loss \\" in text
    assert r"(\%)" in text
    assert text.isascii()
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    gap = numbers.latex(table.iloc[1:].assign(wer_low=np.nan))
    assert r"zero-shot & 80.0 & -- \\" in gap


def test_numbers_for_people():
    assert [numbers.percent(x) for x in (0.1234, 1.5, np.nan)] == ["12.3", "150.0", "–"]
    assert [numbers.points(x) for x in (0.05, -0.123, np.nan)] == ["+5.0", "−12.3", "–"]
    assert [numbers.p_value(x) for x in (0.0001, 0.0314, 1, np.nan)] == [
        "<\u00a00.001", "0.031", "1.000", "–",
    ]  # fmt: skip
    assert [numbers.chance(x) for x in (0.0, 0.5, 0.9999)] == [
        "<\u00a00.001", "0.500", ">\u00a00.999",
    ]  # fmt: skip
    assert numbers.between(-0.01, 0.02) == "−1.0 to 2.0"
    assert numbers.between(np.nan, 0.02) == "–"
    assert [numbers.signed(x) for x in (-3.14159, 2, np.nan, np.inf)] == ["−3.1", "2.0", "–", "inf"]


@pytest.mark.parametrize(
    ("reference", "hypothesis", "words"),
    [
        ("a b c", "a b c", [("a", "same", ""), ("b", "same", ""), ("c", "same", "")]),
        ("a b c", "a x c", [("a", "same", ""), ("x", "wrong", "b"), ("c", "same", "")]),
        ("a b", "a", [("a", "same", ""), ("b", "missing", "")]),
        ("a", "a b", [("a", "same", ""), ("b", "added", "")]),
        ("a b", "", [("a", "missing", ""), ("b", "missing", "")]),
    ],
)
def test_words_are_told_apart(reference, hypothesis, words):
    assert compare(reference, hypothesis) == words


def test_differences_are_those_that_are_counted(tmp_path):
    rng = np.random.default_rng(2)
    texts = [" ".join(rng.choice(list("abcde"), rng.integers(1, 9))) for _ in range(60)]
    path = predictions(tmp_path / "p", texts[:30], texts[30:], normalizer="none")
    for row in pd.read_parquet(path).itertuples():
        kinds = [kind for _, kind, _ in compare(row.reference, row.hypothesis)]
        assert kinds.count("wrong") == row.word_substitutions
        assert kinds.count("missing") == row.word_deletions
        assert kinds.count("added") == row.word_insertions


def test_examples_are_drawn_at_random_but_always_the_same(tmp_path):
    texts = [f"word {number}" for number in range(50)]
    texts[3], durations = "...", np.where(np.arange(50) == 4, 99.0, 2.0)
    path = predictions(tmp_path / "p", texts, texts, duration=durations)
    drawn = choose(path, 10, 1)
    assert drawn == choose(path, 10, 1) != choose(path, 10, 2)
    assert len(set(drawn)) == 10
    everything = choose(path, 99, 1)
    assert set(everything) == {f"{n}.mp3" for n in range(50)} - {"3.mp3", "4.mp3"}
    assert everything == sorted(everything, key=lambda name: int(name.split(".")[0]))


def test_sounds_are_what_was_stored():
    samples = 1.5 * np.sin(np.arange(16000) / 7).astype(np.float32)
    address = sound(samples)
    kind, content = address.split(",")
    assert kind == "data:audio/flac;base64"
    read, rate = sf.read(io.BytesIO(base64.b64decode(content)))
    assert rate == 16000
    assert read == pytest.approx(samples / np.abs(samples).max(), abs=1e-4)
    assert sf.read(io.BytesIO(base64.b64decode(sound(samples / 10).split(",")[1])))[0].max() < 0.2


def test_an_example_of_a_damaged_shard_names_it(tmp_path):
    path = predictions(tmp_path / "p", ["a"], ["a"])
    (tmp_path / "s.arrow").write_bytes(b"no shard")
    with pytest.raises(InputError, match=r"s\.arrow"):
        examples(["0.mp3"], {("m", "v"): path}, {"v": [tmp_path / "s.arrow"]})


def test_methods_tell_what_ran():
    provenance = {
        "decoding": {"language": "en", "task": "transcribe", "num_beams": 5, "temperature": 0.0}
        | {"max_length": 225, "seed": 0},
        "precision": "bfloat16",
        "normalizer": "english: Whisper's",
    }
    config = CONFIG | {"training": CONFIG["training"] | {"mixed": True, "seeds": [1, 2]}}
    text = " ".join(paragraph for _, paragraph in methods.methods(config, provenance, "speakers"))
    for told in ("5 beams", "bfloat16", "seeds 1, 2", "all of these together", "10,000 replicates",
                 "125 Hz: 100", "200 steps of 16 clips", "english: Whisper's"):  # fmt: skip
        assert told in text
    sampled = {**provenance["decoding"], "num_beams": 1, "temperature": 0.5, "seed": 4}
    text = " ".join(
        p for _, p in methods.methods(config, provenance | {"decoding": sampled}, "speakers")
    )
    assert "sampled at temperature 0.5 (seed 4)" in text
    chosen = CONFIG["corpus"] | {"train_from": "validated", "clip_list": "clips.tsv"}
    chosen["filters"] = CONFIG["corpus"]["filters"] | {"ages": ["teens"]}
    told = methods.methods(config | {"corpus": chosen}, provenance, "utterances")
    text = " ".join(paragraph for _, paragraph in told)
    for part in (
        "all validated clips",
        "from a list",
        "ages ['teens']",
        "over utterances (10,000",
        "empty sentence were left out",
    ):
        assert part in text
    assert "empty sentence were left out" in text
    assert "exchanges whole" not in text


def test_versions_begin_with_our_own():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    first = methods.versions()["hearing-asr"]
    assert re.fullmatch(rf"{re.escape(stated)}( \(commit [\w.-]+\))?", first)


def test_where_the_corpus_came_from_is_told():
    corpus = CONFIG["corpus"] | {"source": "hub"}
    corpus["hub"] = corpus["hub"] | {"dataset": "owner/name"}
    provenance = {"decoding": {"num_beams": 1, "temperature": 0, "max_length": 9, "seed": 0}}
    provenance |= {"precision": "float32", "normalizer": "none"}
    config = CONFIG | {"corpus": corpus}
    told = methods.methods(config, provenance, "speakers", {"commit": "abc123"})
    assert "Dataset name of the Hugging Face Hub (commit abc123)" in told[0][1]


def test_places_of_the_machine_are_not_shown():
    config = {
        "data_dir": "/scratch/someone/data",
        "corpus": {"release": "/home/someone/cv-corpus/en", "sha256": None},
        "model": {"checkpoint": "openai/whisper-tiny"},
        "training": {"seeds": [42]},
        "clip_list": "../../home/someone/clips.tsv",
        "hub": {"dataset": "~someone/parquet"},
    }
    shown = methods.as_json(config)
    assert "someone" not in shown
    assert '"release": "en"' in shown
    assert "openai/whisper-tiny" in shown


def test_words_that_look_like_numbers_stay_words(tmp_path):
    table = "model,variant,kind,reference,hypothesis,count,share\n"
    table += "zero_shot,null,substitution,007,7,3,0.5\nzero_shot,null,insertion,,12,1,\n"
    (tmp_path / "words.csv").write_text(table)
    read = page_table(tmp_path / "words.csv")
    assert read["reference"].tolist() == ["007", ""]
    assert read["hypothesis"].tolist() == ["7", "12"]
    assert read["variant"].tolist() == ["null", "null"]
    assert read["count"].tolist() == [3, 1]
    assert np.isnan(read["share"][1])


def test_captions_are_filled_and_marked_up():
    config = {"run": "mine", "training": {"evaluation_split": "dev"}, "plots": {"smooth": 0.5}}
    text = (ROOT / "workflow/report/comparison_overview.rst").read_text()
    shown = caption(text, config)
    assert "<em>dev</em>" in shown
    assert "weight 0.5" in shown
    assert "{{" not in shown
    assert "<script" not in caption("a <script>alert(1)</script>", config)


def test_the_page_asks_nothing_of_the_network():
    template = (ROOT / "workflow/report/page.html").read_text()
    assert not re.search(r"https?://", template)
    assert "<script" not in template
    assert "default-src 'none'" in template
    assert "|safe" not in template.replace(" ", "")


def test_rows_of_the_matrix():
    made = pd.DataFrame(
        [{"comparison": "matched", "model": "h_loss", "variant": "normal", "difference": 0.3}]
    )
    told = rows.matrix(interval_rows(), made)
    assert [row["name"] for row in told] == ["zero-shot", "h_loss"]
    cell = told[1]["cells"][0]
    assert cell["rate"]["wer"] == 0.4
    assert cell["trained"]["difference"] == 0.3
    assert cell["zero_shot"] is None
    assert [cell["matched"] for cell in told[1]["cells"]] == [False, True]
    gap = rows.matrix(interval_rows().iloc[1:], made)
    assert any(cell["rate"] is None for row in gap for cell in row["cells"])


def test_floor_shares_are_means_over_the_bands_of_an_octave():
    floor = pd.DataFrame(
        {
            "variant": "v",
            "frequency_hz": [100, 200, 300, 5000],
            "share_at_floor": [0.2, 0.4, 1, 0.5],
        }
    )
    (told,) = rows.floor_shares(floor)
    assert told["shares"][0] == pytest.approx(0.3)
    assert told["shares"][1] == 1.0
    assert np.isnan(told["shares"][2])
    assert told["shares"][-1] == 0.5
