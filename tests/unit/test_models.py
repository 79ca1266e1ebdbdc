"""Model folders: what they say of themselves, tokenizers, the tiny Whisper, downloads."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig, WhisperForConditionalGeneration, WhisperProcessor

from hearing_asr.errors import InputError
from hearing_asr.models import (
    ModelSpec,
    download,
    load_tokenizer,
    staged_folder,
    whisper_config,
    writing_config,
)
from hearing_asr.scratch import special_tokens
from tests.unit.toys import SENTENCES, toy_model, toy_samples

LARGE_V3 = {
    "model_type": "whisper",
    "num_mel_bins": 128,
    "max_source_positions": 1500,
    "max_target_positions": 448,
    "vocab_size": 51866,
}
TINY_EN = LARGE_V3 | {"num_mel_bins": 80, "vocab_size": 51864}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return toy_model(tmp_path_factory.mktemp("models") / "toy")


def write_config(folder: Path, config: dict, generation: dict | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def english_only(model: Path, folder: Path) -> Path:
    """The toy as an English-only checkpoint says it is one."""
    shutil.copytree(model, folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    generation = {"is_multilingual": False, "eos_token_id": generation["eos_token_id"]}
    (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def test_spec_of_released_checkpoints(tmp_path):
    large = write_config(tmp_path / "large", LARGE_V3, {"is_multilingual": True})
    assert whisper_config(large) == ModelSpec(128, 3000, 448, True)
    assert whisper_config(large).window == 30.0
    tiny = write_config(tmp_path / "tiny", TINY_EN)
    assert whisper_config(tiny) == ModelSpec(80, 3000, 448, False)


def test_generation_config_decides_whether_multilingual(tmp_path):
    folder = write_config(tmp_path / "odd", TINY_EN, {"is_multilingual": True})
    assert whisper_config(folder).is_multilingual


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "config.json is missing"),
        ({"model_type": "wav2vec2"}, "'wav2vec2'"),
        ({"model_type": "whisper"}, "num_mel_bins"),
        ([], "JSON object"),
    ],
)
def test_folders_that_are_not_whisper(tmp_path, config, message):
    if config is not None:
        write_config(tmp_path, config)
    with pytest.raises(InputError, match=message) as error:
        whisper_config(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_damaged_or_missing_folder(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(InputError, match="not valid JSON"):
        whisper_config(tmp_path)
    with pytest.raises(InputError, match="no such model folder"):
        whisper_config(tmp_path / "absent")


def test_special_tokens_stand_in_the_order_of_openais_tokenizer():
    tokenizer = pytest.importorskip("whisper.tokenizer")
    theirs = tokenizer.get_tokenizer(multilingual=True, num_languages=100).special_tokens
    named = [token for token in theirs if not token[2:3].isdigit()]  # without the timestamps
    assert special_tokens() == sorted(named, key=theirs.get)


def test_text_survives_the_tokenizer(model):
    tokenizer = load_tokenizer(model, "en", "transcribe")
    for text in [*SENTENCES, 'Übung macht 3½ Meister – 日本, "naïve" tab\t.', " a  b "]:
        decoded = tokenizer.decode(
            tokenizer(text).input_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert decoded == text


@pytest.mark.parametrize(
    ("language", "task", "prefix"),
    [
        ("en", "transcribe", ["<|en|>", "<|transcribe|>"]),
        ("German", "translate", ["<|de|>", "<|translate|>"]),
        ("yue", "transcribe", ["<|yue|>", "<|transcribe|>"]),
    ],
)
def test_labels_carry_language_and_task(model, language, task, prefix):
    tokenizer = load_tokenizer(model, language, task)
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(SENTENCES[0]).input_ids)
    assert tokens[:4] == ["<|startoftranscript|>", *prefix, "<|notimestamps|>"]
    assert tokens[-1] == "<|endoftext|>"


def test_english_only_models_take_no_language(model, tmp_path):
    folder = english_only(model, tmp_path / "english")
    tokenizer = load_tokenizer(folder, "english", "transcribe")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer(SENTENCES[0]).input_ids)
    assert tokens[:2] == ["<|startoftranscript|>", "<|notimestamps|>"]
    with pytest.raises(InputError, match="English-only"):
        load_tokenizer(folder, "de", "transcribe")


def test_older_checkpoints_get_language_and_task(model):
    """Released checkpoints have forced_decoder_ids, which may not contradict what was trained."""
    base = GenerationConfig.from_pretrained(model)
    base.language = base.task = base.max_length = None
    base.forced_decoder_ids = [[1, None], [2, 7]]
    config = writing_config(base, whisper_config(model), "German", "translate")
    assert (config.language, config.task, config.max_length) == ("de", "translate", 32)
    assert config.forced_decoder_ids is None
    assert config.lang_to_id == base.lang_to_id
    english = writing_config(base, ModelSpec(80, 100, 32, False), "en", "transcribe")
    assert english.language is None
    assert english.forced_decoder_ids == base.forced_decoder_ids


def test_wrong_language_task_or_tokenizer(model, tmp_path):
    with pytest.raises(InputError, match="'Klingon'"):
        load_tokenizer(model, "Klingon", "transcribe")
    with pytest.raises(InputError, match=r"model\.task"):
        load_tokenizer(model, "en", "summarize")
    with pytest.raises(InputError, match="no tokenizer"):
        load_tokenizer(write_config(tmp_path / "bare", LARGE_V3), "en", "transcribe")


def test_reading_about_a_model_needs_no_torch(model):
    program = (
        "import sys; from hearing_asr.models import load_tokenizer, whisper_config;"
        f"whisper_config({str(model)!r}); load_tokenizer({str(model)!r}, 'en', 'transcribe');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=library_path())


def library_path() -> dict[str, str]:
    library = Path(sys.modules["hearing_asr"].__file__).parents[1]
    return os.environ | {"PYTHONPATH": str(library)}


def test_same_sentences_and_seed_give_the_same_bytes(model, tmp_path):
    again = toy_model(tmp_path / "again")
    names = sorted(path.name for path in model.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    assert all((model / name).read_bytes() == (again / name).read_bytes() for name in names)
    other = toy_model(tmp_path / "other", seed=4)
    weights = "model.safetensors"
    assert (other / weights).read_bytes() != (model / weights).read_bytes()


def test_scratch_model_hears_and_writes(model):
    processor = WhisperProcessor.from_pretrained(model)
    whisper = WhisperForConditionalGeneration.from_pretrained(model)
    spec = whisper_config(model)
    clips = [toy_samples(0), toy_samples(1)]
    heard = processor(clips, sampling_rate=16_000, return_tensors="pt").input_features
    assert heard.shape == (2, spec.num_mel_bins, spec.window_frames)
    written = whisper.generate(
        heard,
        language="en",
        task="transcribe",
        max_length=9,
        return_dict_in_generate=True,
        force_unique_generate_call=True,
    )
    prefix = load_tokenizer(model, "en", "transcribe").prefix_tokens
    assert torch.equal(written.sequences[:, :4], torch.tensor([prefix, prefix]))
    by_default = whisper.generate(heard, max_length=9)
    assert torch.equal(by_default, whisper.generate(heard, language="en", max_length=9))


@pytest.mark.parametrize(
    ("sizes", "key"),
    [
        ({"d_model": 18, "heads": 4}, "d_model"),
        ({"window": 2.5}, "window"),
        ({"vocab_size": 200}, "vocab_size"),
        ({"max_target_positions": 5}, "max_target_positions"),
    ],
)
def test_sizes_that_do_not_fit(tmp_path, sizes, key):
    with pytest.raises(InputError, match=rf"model\.scratch\.{key}"):
        toy_model(tmp_path / "model", **sizes)
    assert not (tmp_path / "model").exists()


def test_staged_folder_shows_all_or_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    with pytest.raises(ZeroDivisionError), staged_folder(folder) as staging:
        (staging / "config.json").write_text(str(1 / 0))
    assert list(folder.iterdir()) == []
    (folder / ".new-1").mkdir()  # of a job that was killed
    appeared = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (appeared.append(b.name), replace(a, b)))
    with staged_folder(folder) as staging:
        for name in ("README.md", "model.safetensors", "tokenizer.json"):
            (staging / name).write_text(name)
            (staging / name).chmod(0o600)
        assert list(folder.iterdir()) == [staging]
    assert appeared == ["tokenizer.json", "model.safetensors", "README.md"]
    assert sorted(path.name for path in folder.iterdir()) == sorted(appeared)
    (tmp_path / "plain").write_text("")
    assert {path.stat().st_mode for path in folder.iterdir()} == {
        (tmp_path / "plain").stat().st_mode
    }


def test_full_disk_is_explained(tmp_path):
    with pytest.raises(InputError, match="no space left"), staged_folder(tmp_path):
        raise RuntimeError(f"I/O error: {os.strerror(errno.ENOSPC)} (os error 28)")
    with pytest.raises(RuntimeError, match="else"), staged_folder(tmp_path):
        raise RuntimeError("something else")


class FakeHub(BaseHTTPRequestHandler):
    """As much of the Hugging Face Hub as one checkpoint takes."""

    COMMIT = "a" * 40

    def do_GET(self):
        self.server.tokens.add(self.headers.get("Authorization"))
        owner = self.path.removeprefix("/api/models").split("/")[1]
        refusal = {"private": 401, "gated": 403, "broken": 500}.get(owner)
        if refusal:
            return self.answer(b"", refusal)
        if "/tree/" in self.path:
            files = [
                {"type": "file", "path": name, "size": len(content), "oid": name}
                for name, content in self.server.files.items()
            ]
            return self.answer(json.dumps(files).encode())
        if "/api/models/" in self.path:
            if self.path.endswith("/absent"):
                return self.answer(b"", 404, **{"X-Error-Code": "RevisionNotFound"})
            return self.answer(json.dumps({"id": "lab/whisper", "sha": self.COMMIT}).encode())
        name = self.path.split(f"/{self.COMMIT}/")[-1]
        return self.answer(
            self.server.files[name], **{"ETag": f'"{name}"', "X-Repo-Commit": self.COMMIT}
        )

    do_HEAD = do_GET

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(model, monkeypatch):
    files = {path.name: path.read_bytes() for path in model.iterdir()} | {
        "pytorch_model.bin": b"torch",
        "flax_model.msgpack": b"flax",
        "model.fp32-00001-of-00002.safetensors": b"again",
        "onnx/config.json": b"{}",
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.files, server.tokens = files, set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_download_takes_one_copy_of_the_weights(hub, model, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    download("lab/whisper", None, tmp_path / "model")
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == sorted(path.name for path in model.iterdir())
    for name in names:
        assert (tmp_path / "model" / name).read_bytes() == (model / name).read_bytes()
    assert hub.tokens == {"Bearer hf_secret"}


def test_token_comes_from_the_environment_alone(hub, tmp_path, monkeypatch):
    (tmp_path / "token").write_text("hf_of_another_login")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    download("lab/whisper", None, tmp_path / "model")
    assert hub.tokens == {None}


@pytest.mark.parametrize(
    ("checkpoint", "revision", "message"),
    [
        ("private/whisper", None, "401"),
        ("gated/whisper", None, "403"),
        ("broken/whisper", None, "answered 500"),
        ("lab/whisper", "absent", "no revision 'absent'"),
        ("not a name", None, "neither a folder"),
    ],
)
def test_refusals_are_explained(hub, tmp_path, monkeypatch, checkpoint, revision, message):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(InputError, match=message) as error:
        download(checkpoint, revision, tmp_path / "model")
    assert "hf_secret" not in str(error.value)


def test_checkpoint_without_safetensors(hub, tmp_path):
    del hub.files["model.safetensors"]
    with pytest.raises(InputError, match="no weights as safetensors"):
        download("lab/whisper", None, tmp_path / "model")


def test_no_connection(hub, tmp_path):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(InputError, match="no connection"):
        download("lab/whisper", None, tmp_path / "model")
