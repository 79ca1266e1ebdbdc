"""Whisper models on disk: what they are made for, their tokenizer, and how one is obtained.

A model folder is a Hugging Face folder (`config.json`, `generation_config.json`,
`model.safetensors`, tokenizer and feature extractor). What other jobs need to know about a model
is read from its JSON files, so that they never load PyTorch for it.
"""

import errno
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hearing_asr.errors import InputError

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedConfig, WhisperTokenizer

log = logging.getLogger("hearing_asr")

FRAMES_PER_SECOND = 100  # of Whisper's log-Mel spectrogram
ENCODER_STRIDE = 2  # log-Mel frames per encoder position
MULTILINGUAL_VOCABULARY = 51865  # tokens; the English-only checkpoints have one language less

# The weights once, as safetensors, and the JSON and text files of tokenizer and features. Hub
# folders of Whisper hold the same weights up to four times (PyTorch, Flax, TensorFlow, float32).
WANTED = ("*.json", "*.txt", "model.safetensors", "model-*-of-*.safetensors")
UNWANTED = ("*fp32*", "*/*")

STAGING = ".new-"  # name of a folder in which files wait for the others, before the process id
NEARLY_FULL = 1_000_000  # free bytes below which a failed write is put down to a full disk


@dataclass(frozen=True)
class ModelSpec:
    """What a Whisper checkpoint takes and gives.

    Attributes:
        num_mel_bins: mel bins of its input: 128 for large-v3, 80 for the others.
        window_frames: frames of its input, 100 per second: 3000 for Whisper as released.
        max_target_positions: tokens it can write, prefix included: 448 for Whisper as released.
        is_multilingual: whether language and task are told to it by tokens.
    """

    num_mel_bins: int
    window_frames: int
    max_target_positions: int
    is_multilingual: bool

    @property
    def window(self) -> float:
        """Length of the input in seconds."""
        return self.window_frames / FRAMES_PER_SECOND


def whisper_config(folder: str | Path) -> ModelSpec:
    """Read what a model folder holds, from its JSON files alone.

    Raises:
        InputError: the folder is missing, or it is not a Whisper model.
    """
    folder = Path(folder)
    config = _read_json(folder, "config.json")
    if config.get("model_type") != "whisper":
        raise InputError(
            f"{folder}: config.json says model_type {config.get('model_type')!r}, but only Whisper "
            "models can be used. Set model.checkpoint to a Whisper checkpoint."
        )
    keys = ("num_mel_bins", "max_source_positions", "max_target_positions", "vocab_size")
    missing = [key for key in keys if not isinstance(config.get(key), int)]
    if missing:
        raise InputError(
            f"{folder}: config.json lacks {', '.join(missing)}. The folder is incomplete: fetch "
            "the checkpoint again, or save the model with save_pretrained."
        )
    generation = {}
    if (folder / "generation_config.json").exists():
        generation = _read_json(folder, "generation_config.json")
    multilingual = config["vocab_size"] >= MULTILINGUAL_VOCABULARY
    return ModelSpec(
        num_mel_bins=config["num_mel_bins"],
        window_frames=ENCODER_STRIDE * config["max_source_positions"],
        max_target_positions=config["max_target_positions"],
        is_multilingual=bool(generation.get("is_multilingual", multilingual)),
    )


def _read_json(folder: Path, name: str) -> dict:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder. Check model.checkpoint.")
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{folder}: not a Whisper model, {name} is missing. model.checkpoint must be "
            "`scratch`, the name of a Whisper checkpoint on the Hub, or a folder with one."
        ) from None
    except ValueError as error:
        raise InputError(f"{folder / name}: not valid JSON ({error}). Fetch it again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{folder / name}: a JSON object was expected. Fetch it again.")
    return content


def load_tokenizer(folder: str | Path, language: str, task: str) -> "WhisperTokenizer":
    """Load a model's tokenizer so that it writes the prefix for `language` and `task`.

    The labels of a clip are `tokenizer(sentence).input_ids`: <|startoftranscript|>, then for a
    multilingual model language and task, <|notimestamps|>, the text, <|endoftext|>.

    Args:
        folder: model folder.
        language: code or English name of the language, as `en` or `english`.
        task: transcribe or translate.

    Raises:
        InputError: no tokenizer there, or a language or task that the model does not have.
    """
    from transformers import WhisperTokenizer

    spec = whisper_config(folder)
    code = language_code(language)
    if task not in ("transcribe", "translate"):
        raise InputError(f"model.task: {task!r} is unknown; choose transcribe or translate.")
    if not any((Path(folder) / name).exists() for name in ("tokenizer.json", "vocab.json")):
        raise InputError(f"{folder}: no tokenizer (tokenizer.json or vocab.json) there.")
    if not spec.is_multilingual:
        if (code, task) != ("en", "transcribe"):
            raise InputError(
                f"{folder} is an English-only model: model.language must be en and model.task "
                f"transcribe, not {language} and {task}. Or choose a multilingual checkpoint."
            )
        return WhisperTokenizer.from_pretrained(folder, language=None, task=None)
    tokenizer = WhisperTokenizer.from_pretrained(folder, language=code, task=task)
    if tokenizer.convert_ids_to_tokens(tokenizer.prefix_tokens[1]) != f"<|{code}|>":
        raise InputError(
            f"model.language: {folder} has no token for {language!r}. Choose another language or "
            "another checkpoint."
        )
    return tokenizer


def language_code(language: str) -> str:
    """Whisper's code of a language given as code or English name.

    Raises:
        InputError: Whisper does not know the language.
    """
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TO_LANGUAGE_CODE

    code = TO_LANGUAGE_CODE.get(language.lower(), language.lower())
    if code not in LANGUAGES:
        raise InputError(
            f"model.language: Whisper does not know {language!r}. Write the language's code or its "
            "English name, as `en` or `english`."
        )
    return code


def writing_config(
    base: "GenerationConfig", spec: ModelSpec, language: str, task: str
) -> "GenerationConfig":
    """How a model that was trained on `language` and `task` is to write: else as its base model.

    Raises:
        InputError: Whisper does not know the language.
    """
    config = type(base).from_dict(base.to_dict())
    if spec.is_multilingual:
        config.language, config.task = language_code(language), task
        drop_forced_tokens(config)
    if config.max_length is None:
        config.max_length = spec.max_target_positions
    return config


def drop_forced_tokens(config: "GenerationConfig | PreTrainedConfig") -> None:
    """Remove what older checkpoints have in place of language and task."""
    if getattr(config, "forced_decoder_ids", None) is not None:
        config.forced_decoder_ids = None


@contextmanager
def staged_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a new folder within `folder`; move its files there once the block has succeeded.

    The weights and README.md come last, so that a folder that has them has everything. On any
    failure nothing in `folder` has changed.

    Raises:
        InputError: the disk is full.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f"{STAGING}*"):  # of a job that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    staging = folder / f"{STAGING}{os.getpid()}"
    try:
        staging.mkdir()
        with explained_full_disk(folder):
            yield staging
        for path in sorted(staging.iterdir(), key=_last_come_weights):
            path.chmod(staging.stat().st_mode & 0o666)  # safetensors writes for the owner alone
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _last_come_weights(path: Path) -> tuple[bool, bool, str]:
    return path.name == "README.md", path.suffix == ".safetensors", path.name


@contextmanager
def explained_full_disk(folder: str | Path) -> Iterator[None]:
    """Turn what PyTorch and safetensors raise when `folder`'s disk is full into an InputError."""
    try:
        yield
    except Exception as error:
        told = any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT))
        full = told or shutil.disk_usage(folder).free < NEARLY_FULL
        if isinstance(error, InputError) or not full:
            raise
        raise InputError(
            f"{folder}: no space left while writing. Free space or raise the quota there, or put "
            "results_dir on a larger disk, then start again; what is complete is kept."
        ) from error


def download(checkpoint: str, revision: str | None, folder: str | Path) -> None:
    """Download a checkpoint from the Hugging Face Hub, one copy of the weights only.

    The access token is that of the environment variable HF_TOKEN, if it is set. What an earlier,
    interrupted call has fetched is used again. The Hub's address is HF_ENDPOINT's, if set.

    Args:
        checkpoint: name on the Hub, as `openai/whisper-large-v3`.
        revision: branch, tag or commit; None is the newest.
        folder: model folder to fill.

    Raises:
        InputError: no such checkpoint or revision, no access to it, no connection, or what came is
            not a Whisper model with weights as safetensors.
    """
    from huggingface_hub import HfApi, errors

    name = f"{checkpoint} ({revision})" if revision else checkpoint
    hub = HfApi(
        endpoint=os.environ.get("HF_ENDPOINT") or None, token=os.environ.get("HF_TOKEN") or False
    )
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        # By its commit: for a branch, snapshot_download takes what lies in the folder, complete or
        # not, when the Hub cannot be reached.
        commit = hub.model_info(checkpoint, revision=revision).sha
        log.info("downloading %s at commit %s", name, commit)
        with explained_full_disk(folder):
            hub.snapshot_download(
                checkpoint,
                revision=commit,
                local_dir=folder,
                allow_patterns=list(WANTED),
                ignore_patterns=list(UNWANTED),
            )
    except errors.HFValidationError:
        raise InputError(
            f"model.checkpoint: {checkpoint!r} is neither a folder here nor a name on the Hub "
            "(owner/name)."
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(
            f"model.revision: {checkpoint} has no revision {revision!r} on the Hugging Face Hub."
        ) from None
    except Exception as error:
        if not _is_hub_error(error):
            raise
        raise InputError(f"{name}: {_hub_problem(error)}") from None
    shutil.rmtree(Path(folder) / ".cache", ignore_errors=True)
    whisper_config(folder)
    if not any(Path(folder).glob("model*.safetensors")):
        raise InputError(
            f"{name}: no weights as safetensors there (model.safetensors). Convert the checkpoint "
            "with save_pretrained and set model.checkpoint to the new folder."
        )


def _is_hub_error(error: Exception) -> bool:
    """Whether the Hub or the way to it failed; the Hub's client shows its HTTP library's errors."""
    from huggingface_hub import errors

    known = (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError)
    return isinstance(error, known) or type(error).__module__.startswith("httpx")


def _hub_problem(error: Exception) -> str:
    """Why the Hub did not deliver, and what to do; never the error's own text, nor the token."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    status = getattr(response, "status_code", None)
    if status == 401:
        return (
            "the Hugging Face Hub knows no public checkpoint of this name (401). Check the "
            "spelling of model.checkpoint; for a private one, set HF_TOKEN to a valid token."
        )
    if status == 403:
        return (
            "access denied (403). Accept the checkpoint's conditions on its page on the Hugging "
            "Face Hub, and set HF_TOKEN to a token of that account with read access."
        )
    if status == 404:
        return "not found on the Hugging Face Hub (404). Check model.checkpoint and model.revision."
    if status is not None:
        return f"the Hugging Face Hub answered {status}. Try again later; what is there is kept."
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"cannot be written to {error.filename}: {error.strerror}."
    return (
        "no connection to the Hugging Face Hub. Run this step on a machine with a connection, or "
        "set model.checkpoint to a folder that holds the checkpoint."
    )
