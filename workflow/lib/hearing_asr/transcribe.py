"""Let a Whisper model transcribe the log-Mel clips of one split, and say how sure it is.

Short-form decoding: every clip is one window of the model, decoded once, without temperature
fallback or timestamps; at temperature 0 a model always writes the same text for a clip.
"""

import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from datasets import Dataset, load_from_disk
from safetensors import SafetensorError
from transformers import GenerationConfig, WhisperForConditionalGeneration, WhisperTokenizer

from hearing_asr.confidence import TokenWords, evidence
from hearing_asr.errors import InputError
from hearing_asr.features import pad_logmel
from hearing_asr.files import atomic_path
from hearing_asr.joblog import log, progress
from hearing_asr.models import (
    FRAMES_PER_SECOND,
    ModelSpec,
    language_code,
    load_tokenizer,
    whisper_config,
)
from hearing_asr.transcripts import METADATA_KEY, TRANSCRIPT_COLUMNS

PACKAGES = ("torch", "transformers")


def transcribe(
    model_folder: str | Path,
    logmel_folder: str | Path,
    output: str | Path,
    *,
    batch_size: int = 16,
    language: str = "en",
    task: str = "transcribe",
    generation_max_length: int = 225,
    num_beams: int = 1,
    temperature: float = 0.0,
    seed: int = 1,
    threads: int = 1,
) -> None:
    """Transcribe all clips of a log-Mel dataset and write one row per clip as Parquet.

    Runs on the GPU if there is one (bfloat16, or float16 where the GPU has no bfloat16), else on
    `threads` CPU threads in float32. Rows keep the order of the dataset. The columns are those of
    `transcripts.TRANSCRIPT_COLUMNS`; `transcripts.read_provenance` tells what the file was made
    with.

    Args:
        model_folder: a saved Whisper model with its tokenizer.
        logmel_folder: the dataset of one split.
        output: Parquet file.
        language, task: Whisper's prompt. An English-only model has none and takes nothing but
            English and `transcribe`.
        generation_max_length: greatest number of tokens behind the prompt; where the model has
            fewer positions, those are the limit.
        num_beams: 1 decodes greedily.
        temperature: 0 takes the likeliest token, more draws one at random.
        seed: of these draws.

    Raises:
        InputError: the folder holds no Whisper model, or one that does not fit the dataset, the
            language or the task; the dataset cannot be read or is empty.
    """
    model_folder, logmel_folder = Path(model_folder), Path(logmel_folder)
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    spec = whisper_config(model_folder)
    clips = _load_clips(logmel_folder)
    _check_fit(spec, model_folder, clips, logmel_folder)
    model = _load_model(model_folder)
    prompt = {}
    if spec.is_multilingual:
        prompt = _prompt(model.generation_config, model_folder, language, task)
    tokenizer = load_tokenizer(model_folder, language, task)
    decoding = {
        **prompt,
        "max_length": generation_max_length,
        "num_beams": num_beams,
        "temperature": temperature,
        "return_timestamps": False,
    }
    log.info("%s on %s in %s", model_folder.name, model.device, model.dtype)
    rows: list[dict] = [{}] * len(clips)
    written = _generate(model, tokenizer, clips, spec.window_frames, batch_size, decoding)
    for row, told in progress(written, "transcribe", total=len(clips)):
        rows[row] = told
    provenance = {
        "model": model_folder.name,
        "decoding": decoding | {"seed": seed},
        "precision": str(model.dtype).removeprefix("torch."),
        "versions": {package: version(package) for package in PACKAGES},
    }
    transcripts = _transcripts(clips, rows)
    transcripts = transcripts.replace_schema_metadata({METADATA_KEY: json.dumps(provenance)})
    with atomic_path(output) as temporary:
        pq.write_table(transcripts, temporary)


def _generate(
    model: WhisperForConditionalGeneration,
    tokenizer: WhisperTokenizer,
    clips: Dataset,
    window_frames: int,
    batch_size: int,
    decoding: dict,
) -> Iterator[tuple[int, dict]]:
    """Yield (row, what was written and how surely) of every clip, in the order of decoding."""
    # A batch decodes until its last clip has ended, so clips of similar length share one; the
    # longest come first, so that memory runs out in the first minute or never.
    order = np.argsort(-_frames(clips), kind="stable")
    features = clips.with_format("numpy", columns=["logmel", "padding"])
    words = TokenWords.of(model, tokenizer, decoding["max_length"])
    for begin in range(0, len(order), batch_size):
        rows = order[begin : begin + batch_size]
        batch = features[rows]
        padded = np.stack(
            [
                pad_logmel(logmel.reshape(-1, model.config.num_mel_bins), padding, window_frames)
                for logmel, padding in zip(batch["logmel"], batch["padding"], strict=True)
            ]
        )
        window = torch.from_numpy(padded).to(model.device, model.dtype)
        # All frames are attended to, padding too, as in Whisper's training; said, lest it warns.
        mask = torch.ones(len(window), window_frames, dtype=torch.long, device=model.device)
        with torch.inference_mode():
            heard = model.get_encoder()(window)  # once: for the text, and for how sure it is
            tokens = model.generate(encoder_outputs=heard, attention_mask=mask, **decoding)
            told = evidence(model, heard, tokens, words)
        # Whisper's vocabulary writes the space before a word, so most texts begin with one.
        texts = tokenizer.batch_decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        for row, text, sure, logmel in zip(rows, texts, told, batch["logmel"], strict=True):
            loudest = 4.0 * float(logmel.max(initial=-np.inf)) - 4.0
            yield int(row), {"hypothesis": text.strip(), "loudest_mel": loudest, **sure}


def _transcripts(clips: Dataset, rows: list[Mapping]) -> pa.Table:
    told = clips.with_format("arrow", columns=["path", "client_id", "duration", "sentence"])[:]
    columns = {
        "path": told["path"].cast(pa.string()),
        "client_id": told["client_id"].cast(pa.string()),
        "duration": told["duration"].cast(pa.float32()),
        "reference": told["sentence"].cast(pa.string()),
        "hypothesis": pa.array([row["hypothesis"] for row in rows], pa.string()),
        "tokens": pa.array([row["tokens"] for row in rows], pa.int32()),
        "language": pa.array([row["language"] for row in rows], pa.string()),
    }
    for name in ("mean_logprob", "entropy", "language_probability", "loudest_mel"):
        columns[name] = pa.array([row[name] for row in rows], pa.float32())
    return pa.table({name: columns[name] for name in TRANSCRIPT_COLUMNS})


def _load_model(folder: Path) -> WhisperForConditionalGeneration:
    device, precision = "cpu", torch.float32
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        device, precision = "cuda", torch.bfloat16 if native else torch.float16
    try:
        model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=precision)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"{folder}: the model's weights cannot be loaded ({error}). Fetch the checkpoint or "
            "train the model again."
        ) from error
    return model.to(device).eval()


def _load_clips(folder: Path) -> Dataset:
    nothing = f"{folder}: no clips to transcribe. Raise max_clips of this split."
    try:
        clips = load_from_disk(folder)
    except IndexError:  # what `datasets` makes of a folder without a single shard
        raise InputError(nothing) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: not a log-Mel dataset ({error}). Build it first.") from error
    if not isinstance(clips, Dataset) or "logmel" not in clips.column_names:
        raise InputError(f"{folder}: not the log-Mel dataset of one split. Name its folder.")
    if len(clips) == 0:
        raise InputError(nothing)
    return clips


def _frames(clips: Dataset) -> np.ndarray:
    return clips.with_format("numpy", columns=["frames"])[:]["frames"]


def _check_fit(spec: ModelSpec, model_folder: Path, clips: Dataset, logmel_folder: Path) -> None:
    """Compare mel bins and window of the model with the dataset, before anything is decoded."""
    frames = _frames(clips)
    first = clips.with_format("numpy", columns=["logmel"])[0]["logmel"]
    num_mel_bins = first.size / frames[0]
    if num_mel_bins != spec.num_mel_bins:
        raise InputError(
            f"{model_folder} takes {spec.num_mel_bins} mel bins, but the clips in {logmel_folder} "
            f"have {num_mel_bins:g}. Set features.num_mel_bins to {spec.num_mel_bins}, or choose "
            "another model.checkpoint."
        )
    longest = int(frames.argmax())
    if frames[longest] > spec.window_frames:
        raise InputError(
            f"{logmel_folder}: clip {clips[longest]['path']} has {frames[longest]} frames, more "
            f"than the {spec.window_frames} that {model_folder} takes. Set corpus.max_duration to "
            f"{spec.window_frames / FRAMES_PER_SECOND:g} s or less, or choose another "
            "model.checkpoint."
        )


def _prompt(config: GenerationConfig, folder: Path, language: str, task: str) -> dict[str, str]:
    """Language and task as `generate` takes them, once it is sure that the model can use them."""
    code = language_code(language)
    needed = {"lang_to_id": f"<|{code}|>", "task_to_id": task, "no_timestamps_token_id": None}
    for name, key in needed.items():
        known = getattr(config, name, None)
        if known is None or (key is not None and key not in known):
            raise InputError(
                f"{folder}: generation_config.json has no {name}{f' for {key}' if key else ''}, "
                "so the model cannot be asked for it. Take that file from the checkpoint that "
                "the model was made from, or change model.language or model.task."
            )
    return {"language": code, "task": task}
