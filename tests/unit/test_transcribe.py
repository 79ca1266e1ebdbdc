"""Transcription with a tiny random Whisper, against `generate` on transformers' own features."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile as sf
import soxr
import torch
from datasets import Dataset, Features, List, Value, load_from_disk
from tokenizers import ByteLevelBPETokenizer
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from hearing_asr.errors import InputError
from hearing_asr.features import log_mel
from hearing_asr.shards import write_shard
from hearing_asr.transcribe import transcribe
from hearing_asr.transcripts import TRANSCRIPT_COLUMNS, read_provenance, read_rows

MEL_BINS = 80
WINDOW_FRAMES = 400  # 4 s
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
END, START, ENGLISH, CHINESE = "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|zh|>"
TRANSLATE, TRANSCRIBE, NO_TIMESTAMPS = "<|translate|>", "<|transcribe|>", "<|notimestamps|>"
# In WhisperTokenizer a language's id follows from its place in Whisper's list: en, zh, ...
SPECIAL = [END, START, ENGLISH, CHINESE, TRANSLATE, TRANSCRIBE, NO_TIMESTAMPS]
SPEECH = Path(__file__).resolve().parents[3] / "shared/corpora/digits"


def build_tokenizer() -> WhisperTokenizer:
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([f" {word}" for word in WORDS] * 2, vocab_size=300, min_frequency=1)
    model = json.loads(bpe.to_str())["model"]
    vocabulary = model["vocab"] | {
        token: len(model["vocab"]) + i for i, token in enumerate(SPECIAL)
    }
    return WhisperTokenizer(
        vocab=vocabulary,
        merges=[tuple(pair) for pair in model["merges"]],
        extra_special_tokens=SPECIAL[1:],
    )


def build_model(folder: Path, multilingual: bool) -> Path:
    tokenizer = build_tokenizer()
    ids = dict(zip(SPECIAL, tokenizer.convert_tokens_to_ids(SPECIAL), strict=True))
    start = {f"{kind}_token_id": ids[END] for kind in ("bos", "eos", "pad")}
    start["decoder_start_token_id"] = ids[START]
    torch.manual_seed(2)
    model = WhisperForConditionalGeneration(
        WhisperConfig(
            vocab_size=len(tokenizer),
            num_mel_bins=MEL_BINS,
            max_source_positions=WINDOW_FRAMES // 2,
            max_target_positions=24,
            d_model=32,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            init_std=0.4,  # so wide that the audio decides which token comes next
            suppress_tokens=None,
            begin_suppress_tokens=None,
            **start,
        )
    )
    known = {"is_multilingual": multilingual}
    if multilingual:
        known["lang_to_id"] = {ENGLISH: ids[ENGLISH], CHINESE: ids[CHINESE]}
        known["task_to_id"] = {"translate": ids[TRANSLATE], "transcribe": ids[TRANSCRIBE]}
    model.generation_config = GenerationConfig(
        max_length=24, no_timestamps_token_id=ids[NO_TIMESTAMPS], **known, **start
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "whisper_tiny", multilingual=True)


@pytest.fixture(scope="module")
def english_only(tmp_path_factory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "whisper_en", multilingual=False)


def real_clips(count: int) -> list[tuple[str, str, np.ndarray]]:
    release = next(SPEECH.glob("*/en"))
    rows = pd.read_csv(release / "test.tsv", sep="\t", quoting=3).head(count)
    clips = []
    for path, sentence in zip(rows["path"], rows["sentence"], strict=True):
        samples, rate = sf.read(release / "clips" / path, dtype="float32")
        clips.append((path, sentence, soxr.resample(samples, rate, 16000)))
    return clips


def made_up_clips(count: int) -> list[tuple[str, str, np.ndarray]]:
    rng = np.random.default_rng(7)
    clips = []
    for i in range(count):
        seconds = np.arange(rng.integers(8000, 60000)) / 16000
        tones = rng.uniform(150, 3500, 4)
        sound = sum(np.sin(2 * np.pi * f * seconds * (1 + 0.2 * seconds)) for f in tones)
        sound *= 0.1 * (1 + np.sin(2 * np.pi * rng.uniform(2, 6) * seconds))
        clips.append((f"{i}.mp3", f"{WORDS[i % 10].title()}, one!", sound.astype(np.float32)))
    return clips


CLIPS = 19


@pytest.fixture(
    scope="module",
    params=[
        "made up",
        pytest.param(
            "real",
            marks=pytest.mark.skipif(not SPEECH.exists(), reason="no corpus of real speech here"),
        ),
    ],
)
def clips(request) -> list[tuple[str, str, np.ndarray]]:
    return real_clips(CLIPS) if request.param == "real" else made_up_clips(CLIPS)


def write_logmel(clips, folder: Path, dtype: str = "float32", num_mel_bins: int = MEL_BINS) -> Path:
    rows = []
    for path, sentence, samples in clips:
        valid, padding = log_mel(samples, num_mel_bins, WINDOW_FRAMES)
        rows.append(
            {
                "path": path,
                "client_id": f"speaker of {path}",
                "sentence": sentence,
                "duration": len(samples) / 16000,
                "frames": len(valid),
                "padding": padding,
                "logmel": valid.ravel(),
                "labels": [0],
            }
        )
    features = Features(
        {name: Value("string") for name in ("path", "client_id", "sentence")}
        | {name: Value("float32") for name in ("duration", "padding")}
        | {"frames": Value("int32"), "logmel": List(Value(dtype)), "labels": List(Value("int32"))}
    )
    Dataset.from_list(rows, features=features).save_to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def logmel(clips, tmp_path_factory) -> Path:
    return write_logmel(clips, tmp_path_factory.mktemp("logmel") / "test")


def generated_directly(folder: Path, clips, **prompt) -> list[str]:
    """One clip at a time, from transformers' feature extractor straight into `generate`."""
    extract = WhisperFeatureExtractor(
        feature_size=MEL_BINS, chunk_length=WINDOW_FRAMES // 100, sampling_rate=16000
    )
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    texts = []
    for _, _, samples in clips:
        features = extract(samples, sampling_rate=16000, return_tensors="pt").input_features
        assert features.shape == (1, MEL_BINS, WINDOW_FRAMES)
        tokens = model.generate(features, do_sample=False, **prompt)
        texts.append(tokenizer.decode(tokens[0], skip_special_tokens=True).strip())
    return texts


@pytest.mark.parametrize("batch_size", [1, 8])
def test_texts_are_those_of_generate(model_folder, logmel, clips, tmp_path, batch_size):
    output = tmp_path / "zero_shot" / "normal.parquet"
    transcribe(model_folder, logmel, output, batch_size=batch_size)
    predictions = pd.read_parquet(output)
    expected = generated_directly(model_folder, clips, language="en", task="transcribe")
    assert predictions["hypothesis"].tolist() == expected
    assert len(set(expected)) > CLIPS / 2, "the model does not listen; this test shows nothing"
    assert predictions["path"].tolist() == [path for path, _, _ in clips]
    assert predictions["reference"].tolist() == [sentence for _, sentence, _ in clips]


def test_columns_and_provenance(model_folder, logmel, clips, tmp_path):
    output = tmp_path / "p.parquet"
    transcribe(model_folder, logmel, output, num_beams=2)
    written = read_rows(output, TRANSCRIPT_COLUMNS)
    assert tuple(pq.read_schema(output).names) == TRANSCRIPT_COLUMNS
    prompt = {"language": "en", "task": "transcribe"}
    beams = generated_directly(model_folder, clips, num_beams=2, **prompt)
    assert written["hypothesis"].tolist() == beams
    path, sentence, samples = clips[3]
    row = written.iloc[3]
    assert (row["client_id"], row["reference"]) == (f"speaker of {path}", sentence)
    assert row["duration"] == pytest.approx(len(samples) / 16000)
    assert str(pq.read_schema(output).field("duration").type) == "float"
    provenance = read_provenance(output)
    assert provenance["model"] == "whisper_tiny"
    assert provenance["decoding"] == prompt | {
        "max_length": 225,
        "num_beams": 2,
        "temperature": 0.0,
        "return_timestamps": False,
        "seed": 1,
    }
    assert provenance["versions"]["torch"] == version("torch")
    assert str(tmp_path) not in json.dumps(provenance)


def judged_directly(folder: Path, samples: np.ndarray, limit: int) -> dict[str, float]:
    """One clip, token by token: the chances that the model gave to what it wrote."""
    extract = WhisperFeatureExtractor(
        feature_size=MEL_BINS, chunk_length=WINDOW_FRAMES // 100, sampling_rate=16000
    )
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    features = extract(samples, sampling_rate=16000, return_tensors="pt").input_features
    prompt = tokenizer.convert_tokens_to_ids([START, ENGLISH, TRANSCRIBE, NO_TIMESTAMPS])
    end = tokenizer.convert_tokens_to_ids(END)
    given, logprobs, entropies = list(prompt), [], []
    for _ in range(limit):
        with torch.no_grad():
            logits = model(features, decoder_input_ids=torch.tensor([given])).logits[0, -1]
        chances = torch.softmax(logits.double(), dim=0)
        token = int(chances.argmax())
        logprobs.append(float(chances[token].log()))
        entropies.append(float(-(chances * chances.log()).sum()))
        if token == end:
            break
        given.append(token)
    with torch.no_grad():
        first = model(features, decoder_input_ids=torch.tensor([[prompt[0]]])).logits[0, 0]
    languages = torch.softmax(first[tokenizer.convert_tokens_to_ids([ENGLISH, CHINESE])], dim=0)
    return {
        "tokens": len(given) - len(prompt),
        "mean_logprob": np.mean(logprobs),
        "entropy": np.mean(entropies),
        "language": "en" if languages[0] >= languages[1] else "zh",
        "language_probability": float(languages[0]),
    }


@pytest.mark.parametrize("limit", [3, 20])
def test_how_sure_the_model_was(model_folder, logmel, clips, tmp_path, limit):
    output = tmp_path / "p.parquet"
    transcribe(model_folder, logmel, output, batch_size=7, generation_max_length=limit)
    written = pd.read_parquet(output)
    told = [judged_directly(model_folder, samples, limit) for _, _, samples in clips]
    for name in ("tokens", "language"):
        assert written[name].tolist() == [clip[name] for clip in told]
    for name in ("mean_logprob", "entropy", "language_probability"):
        assert written[name].tolist() == pytest.approx([clip[name] for clip in told], abs=1e-4)
    assert written["mean_logprob"].nunique() > CLIPS / 2


def test_loudest_cell(model_folder, tmp_path):
    seconds = np.arange(32000) / 16000
    sine = np.sin(2 * np.pi * 1000 * seconds).astype(np.float32)
    clips = [("loud", "a", sine), ("soft", "b", sine * 1e-3), ("none", "c", sine * 0)]
    folder = write_logmel(clips, tmp_path / "logmel", dtype="float16")
    transcribe(model_folder, folder, tmp_path / "p.parquet")
    loudest = pd.read_parquet(tmp_path / "p.parquet")["loudest_mel"]
    assert loudest[0] == pytest.approx(2, abs=0.5)
    assert loudest[1] == pytest.approx(loudest[0] - 6, abs=0.01)
    assert loudest[2] == pytest.approx(-10, abs=0.01)


def test_sampling_is_drawn_from_the_seed(model_folder, logmel, tmp_path):
    texts = []
    for seed, temperature in ((1, 1.0), (1, 1.0), (2, 1.0), (1, 0.0), (2, 0.0)):
        settings = {"seed": seed, "temperature": temperature}
        transcribe(model_folder, logmel, tmp_path / "p.parquet", **settings)
        texts.append(pd.read_parquet(tmp_path / "p.parquet")["hypothesis"].tolist())
    assert texts[0] == texts[1] != texts[2]
    assert texts[3] == texts[4] != texts[0]


def test_float16_features_and_two_threads(model_folder, clips, tmp_path):
    folder = write_logmel(clips[:2], tmp_path / "half", dtype="float16")
    try:
        transcribe(model_folder, folder, tmp_path / "p.parquet", threads=2)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert len(pd.read_parquet(tmp_path / "p.parquet")) == 2


def test_sampling_in_the_checkpoint_is_not_used(model_folder, logmel, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "sampling")
    path = folder / "generation_config.json"
    config = json.loads(path.read_text()) | {"do_sample": True, "temperature": 5.0}
    path.write_text(json.dumps(config))
    texts = []
    for name in (folder, folder, model_folder):
        transcribe(name, logmel, tmp_path / "p.parquet")
        texts.append(pd.read_parquet(tmp_path / "p.parquet")["hypothesis"].tolist())
    assert texts[0] == texts[1] == texts[2]


def test_language_and_task_reach_the_prompt(model_folder, logmel, clips, tmp_path):
    english, chinese = (
        generated_directly(model_folder, clips, language=language, task=task)
        for language, task in (("en", "transcribe"), ("zh", "translate"))
    )
    assert english != chinese
    transcribe(model_folder, logmel, tmp_path / "p.parquet", language="Chinese", task="translate")
    assert pd.read_parquet(tmp_path / "p.parquet")["hypothesis"].tolist() == chinese


def test_english_only_model_gets_no_prompt(english_only, logmel, clips, tmp_path):
    transcribe(english_only, logmel, tmp_path / "p.parquet", batch_size=4)
    expected = generated_directly(english_only, clips)
    assert pd.read_parquet(tmp_path / "p.parquet")["hypothesis"].tolist() == expected
    with pytest.raises(InputError, match="English-only"):
        transcribe(english_only, logmel, tmp_path / "q.parquet", language="de")


def test_generation_max_length_counts_tokens_behind_the_prompt(
    model_folder, logmel, clips, tmp_path
):
    texts = {}
    for limit in (3, 225):  # the model has 24 positions
        transcribe(model_folder, logmel, tmp_path / "p.parquet", generation_max_length=limit)
        texts[limit] = pd.read_parquet(tmp_path / "p.parquet")["hypothesis"].tolist()
    prompt = {"language": "en", "task": "transcribe"}
    assert texts[3] == generated_directly(model_folder, clips, max_new_tokens=3, **prompt)
    assert texts[225] == generated_directly(model_folder, clips, max_new_tokens=20, **prompt)
    assert texts[3] != texts[225]


def fails(match: str, model: Path, logmel: Path, output: Path, **settings) -> None:
    with pytest.raises(InputError, match=match):
        transcribe(model, logmel, output, **settings)
    assert not output.exists()


def test_wrong_mel_bins_name_both(model_folder, clips, tmp_path):
    folder = write_logmel(clips[:1], tmp_path / "mel128", num_mel_bins=128)
    fails(
        "whisper_tiny takes 80 .*mel128 have 128.*num_mel_bins",
        model_folder,
        folder,
        tmp_path / "p",
    )


def test_clip_longer_than_the_window_is_named(model_folder, logmel, clips, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "short")
    config = json.loads((folder / "config.json").read_text()) | {"max_source_positions": 20}
    (folder / "config.json").write_text(json.dumps(config))
    longest = max(clips, key=lambda clip: len(clip[2]))[0]
    fails(
        rf"clip {longest} .*more than the 40 .*max_duration to 0\.4", folder, logmel, tmp_path / "p"
    )


def test_folders_that_are_no_whisper_model(model_folder, logmel, tmp_path):
    output = tmp_path / "p.parquet"
    other = tmp_path / "bert"
    fails("bert", other, logmel, output)
    other.mkdir()
    fails("bert.*config.json", other, logmel, output)
    (other / "config.json").write_text('{"model_type": "bert"}')
    fails("bert.*'bert'.*[Ww]hisper", other, logmel, output)
    torn = shutil.copytree(model_folder, tmp_path / "torn")
    weights = torn / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    fails("torn.*weights cannot be loaded", torn, logmel, output)
    weights.unlink()
    fails("torn.*weights cannot be loaded", torn, logmel, output)


def test_generation_config_that_cannot_be_prompted(model_folder, logmel, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "old")
    path = folder / "generation_config.json"
    config = json.loads(path.read_text())
    del config["lang_to_id"]
    path.write_text(json.dumps(config))
    fails(r"old.*generation_config\.json has no lang_to_id", folder, logmel, tmp_path / "p")


def test_bad_datasets_and_settings(model_folder, logmel, tmp_path):
    output = tmp_path / "p.parquet"
    fails("nowhere", model_folder, tmp_path / "nowhere", output)
    Dataset.from_list([{"text": "a"}]).save_to_disk(tmp_path / "texts")
    fails("texts.*log-Mel", model_folder, tmp_path / "texts", output)
    write_logmel(made_up_clips(1), tmp_path / "one")
    one = load_from_disk(tmp_path / "one")
    one.select([]).save_to_disk(tmp_path / "empty")  # not a single shard
    write_shard(tmp_path / "bare" / "data-00000-of-00001.arrow", one.features, [])
    for name in ("state.json", "dataset_info.json"):
        shutil.copy(tmp_path / "one" / name, tmp_path / "bare" / name)
    fails("bare: no clips to transcribe", model_folder, tmp_path / "bare", output)
    fails(
        "empty: no clips to transcribe. Raise max_clips", model_folder, tmp_path / "empty", output
    )
    fails("model.language", model_folder, logmel, output, language="klingon")
    fails("fr", model_folder, logmel, output, language="fr")
    fails("model.task", model_folder, logmel, output, task="sing")
