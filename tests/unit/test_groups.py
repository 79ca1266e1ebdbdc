"""Groups of clips: who belongs to which, and what is too small to be a result."""

import numpy as np
import pandas as pd
import pytest
from datasets import Audio, Features, Value

from hearing_asr.audio import encode_flac
from hearing_asr.cells import load_cells
from hearing_asr.clip_facts import FACTS, level, write_clip_facts
from hearing_asr.errors import InputError
from hearing_asr.groups import NOT_STATED, SMALL, Least, groupings, write_groups
from hearing_asr.shards import write_shard
from hearing_asr.uncertainty import Draws, ratio_intervals
from tests.unit.predicted import predictions, rewritten

DRAWS = Draws(500, 1)
CLIPS = 40


@pytest.fixture
def run(tmp_path):
    """Predictions of two models and facts of 40 clips of eight speakers."""
    rng = np.random.default_rng(5)
    references = ["one two three four"] * CLIPS
    speakers = [f"s{clip % 8}" for clip in range(CLIPS)]
    files = {}
    for model, rate in (("zero_shot", 0.5), ("a", 0.2)):
        heard = [
            " ".join("x" if rng.random() < rate else word for word in text.split())
            for text in references
        ]
        seed = None if model == "zero_shot" else 1
        files[model, "a", seed] = predictions(tmp_path / model, references, heard, speakers)
    facts = pd.DataFrame(
        {
            "path": [f"{clip}.mp3" for clip in range(CLIPS)],
            "duration": np.linspace(1, 5, CLIPS),
            "level": np.repeat(-20.0, CLIPS),
            "words_per_second": rng.uniform(1, 4, CLIPS),
            "gender": ["f" if clip % 8 < 4 else "m" for clip in range(CLIPS)],
            "age": [["teens", "", "twenties", ""][clip % 4] for clip in range(CLIPS)],
            "accent": "",
        }
    ).sample(frac=1, random_state=3)  # in another order than the predictions
    facts.to_parquet(tmp_path / "facts.parquet")
    return files, tmp_path / "facts.parquet", tmp_path / "groups.csv"


LEAST = Least(2, 5)


def groups(run, least=LEAST):
    files, facts, output = run
    write_groups(files, facts, output, DRAWS, least)
    return pd.read_csv(output)


def test_rates_and_intervals_are_those_of_the_groups_clips(run):
    table = groups(run)
    cells = load_cells(run[0])
    facts = pd.read_parquet(run[1]).set_index("path").loc[cells.paths]
    for group in ("f", "m"):
        member = (facts["gender"] == group).to_numpy()
        of = table[(table["grouping"] == "gender") & (table["group"] == group)]
        errors, words = cells.errors[member], cells.words[member]
        assert of["model"].tolist() == ["zero_shot", "a"]
        assert of["wer"].tolist() == pytest.approx((errors.sum(axis=0) / words.sum()).tolist())
        assert set(of["clips"]) == {20}
        assert set(of["speakers"]) == {4}
        assert set(of["words"]) == {80}
        low, high = ratio_intervals(
            errors,
            np.repeat(words[:, None], 2, axis=1),
            np.arange(20) % 4,
            replicates=500,
            seed=1,
        )
        assert of["low"].to_numpy() == pytest.approx(low)
        assert of["high"].to_numpy() == pytest.approx(high)


def test_groups_too_small_have_no_rate(run):
    table = groups(run, Least(3, 5))
    age = table[table["grouping"] == "age"]
    assert set(age["group"]) == {NOT_STATED, SMALL}  # two speakers each are teens and twenties
    small = age[age["group"] == SMALL]
    assert small[["wer", "low", "high"]].isna().all(axis=None)
    assert set(small["clips"]) == {20}
    assert set(small["speakers"]) == {4}
    few = groups(run, Least(1, 21))
    assert set(few.loc[few["grouping"] == "gender", "group"]) == {SMALL}


def test_clips_without_a_speaker_do_not_make_a_group_large(run):
    files, _, _ = run
    nameless = {"client_id": [f"s{clip % 2}" if clip < 9 else "" for clip in range(CLIPS)]}
    for path in files.values():
        rewritten(path, lambda table: table.assign(**nameless))
    table = groups(run, Least(3, 5))
    assert set(table["group"]) == {SMALL}
    assert set(groups(run, Least(2, 5)).query("grouping == 'gender'")["speakers"]) == {2}


def test_a_grouping_that_nobody_stated_is_left_out(run):
    assert "accent" not in set(groups(run)["grouping"])


def test_what_is_measured_is_cut_into_quarters(run):
    facts = pd.read_parquet(run[1])
    found = dict(groupings(facts))
    length = found["clip length"]
    assert length.value_counts().tolist() == [10, 10, 10, 10]
    for group, of in facts.groupby(length, observed=True)["duration"]:
        numbers = [float(word) for word in group.split() if word.replace(".", "").isdigit()]
        if group.startswith("below"):
            assert of.max() < numbers[0]
        elif group.endswith("and more"):
            assert of.min() >= numbers[0]
        else:
            assert numbers[0] <= of.min() <= of.max() < numbers[1]
    assert found["signal level"].nunique() == 1  # all the same: one group


def test_a_value_on_an_edge_belongs_above_it(run):
    facts = pd.read_parquet(run[1]).assign(duration=np.repeat([1.0, 2.0, 3.0, 4.0, 5.0], 8))
    length = dict(groupings(facts))["clip length"]
    told = dict(zip(facts["duration"], length, strict=True))
    assert told == {
        1.0: "below 2.00 s",
        2.0: "2.00 to 3.00 s",
        3.0: "3.00 to 4.00 s",
        4.0: "4.00 s and more",
        5.0: "4.00 s and more",
    }


def test_one_speaker_in_a_group_is_resampled_by_utterance(run):
    table = groups(run, Least(1, 5))
    assert table[table["group"] != SMALL][["low", "high"]].notna().all(axis=None)


def test_facts_of_other_clips_are_refused(run):
    files, facts, output = run
    pd.read_parquet(facts).iloc[2:].to_parquet(facts)
    with pytest.raises(InputError, match=r"facts\.parquet: nothing is known of clips .*\.mp3"):
        write_groups(files, facts, output, DRAWS, Least(1, 1))
    assert not output.exists()


def shard(path, clips):
    features = Features(
        {
            "path": Value("string"),
            "audio": Audio(sampling_rate=16000, decode=False),
            "scale": Value("float32"),
            "duration": Value("float32"),
            "sentence": Value("string"),
            "gender": Value("string"),
            "age": Value("string"),
            "accents": Value("string"),
        }
    )
    rows = []
    for name, samples in clips.items():
        data, scale = encode_flac(samples)
        told = {"path": name, "audio": {"bytes": data, "path": name}, "scale": scale}
        said = {"sentence": "two red mugs", "gender": "f", "age": "", "accents": " England "}
        rows.append({**told, "duration": len(samples) / 16000, **said})
    write_shard(path, features, rows)
    return path


def test_facts_of_clips(tmp_path):
    half = np.full(16000, 0.5, np.float32) * np.where(np.arange(16000) % 2, 1, -1)
    files = [
        shard(tmp_path / "1.arrow", {"a": half.astype(np.float32)}),
        shard(tmp_path / "2.arrow", {"b": np.zeros(32000, np.float32)}),
    ]
    write_clip_facts(files, tmp_path / "facts.parquet")
    facts = pd.read_parquet(tmp_path / "facts.parquet")
    assert tuple(facts.columns) == FACTS
    assert facts["path"].tolist() == ["a", "b"]
    assert facts["level"].tolist() == pytest.approx([20 * np.log10(0.5), -120], abs=1e-4)
    assert facts["words_per_second"].tolist() == [3.0, 1.5]
    assert facts[["gender", "age", "accent"]].to_numpy().tolist() == [["f", "", "England"]] * 2


def test_level_of_a_sine():
    sine = np.sin(2 * np.pi * 100 * np.arange(16000) / 16000)
    assert level(sine) == pytest.approx(-3.01, abs=0.01)
    assert level(np.zeros(0)) == -120.0


def test_damaged_and_empty_shards(tmp_path):
    path = shard(tmp_path / "1.arrow", {})
    with pytest.raises(InputError, match=r"1\.arrow: no clips"):
        write_clip_facts([path], tmp_path / "facts.parquet")
    whole = shard(tmp_path / "2.arrow", {"a": np.ones(1600, np.float32)}).read_bytes()
    place = whole.index(b"fLaC")
    (tmp_path / "2.arrow").write_bytes(whole[:place] + b"\0\0\0\0" + whole[place + 4 :])
    with pytest.raises(InputError, match=r"2\.arrow: clip a: .*delete it"):
        write_clip_facts([tmp_path / "2.arrow"], tmp_path / "facts.parquet")
