"""A tiny Whisper with random weights and a tokenizer of its own, for the demo.

It is a real Whisper in all but size: byte-level BPE with Whisper's special tokens in Whisper's
order, multilingual prefix, log-Mel input, so that everything that works on it works on the
released checkpoints, and the other way round.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hearing_asr.errors import InputError
from hearing_asr.models import (
    ENCODER_STRIDE,
    FRAMES_PER_SECOND,
    language_code,
    staged_folder,
)

if TYPE_CHECKING:
    from transformers import WhisperTokenizer

log = logging.getLogger("hearing_asr")

BYTES = 256  # tokens that every byte-level vocabulary begins with
PREFIX_AND_END = 5  # tokens around a text: start, language, task, no timestamps; end
FEED_FORWARD = 4  # width of the feed-forward layers over d_model, as in every Whisper
INIT_STD = 0.02  # standard deviation of the initial weights, Whisper's own


def build_scratch(
    sentences: Sequence[str],
    folder: str | Path,
    *,
    num_mel_bins: int,
    d_model: int,
    layers: int,
    heads: int,
    window: float,
    vocab_size: int,
    max_target_positions: int,
    language: str,
    task: str,
    seed: int,
) -> None:
    """Build a tiny Whisper with random weights; the same arguments give the same files.

    Args:
        sentences: texts that the tokenizer's byte-level BPE is trained on.
        folder: model folder to write.
        num_mel_bins: mel bins of the input.
        d_model: width; a multiple of `heads`.
        layers: number of layers, of the encoder and of the decoder each.
        heads: attention heads per layer.
        window: length of the input in whole seconds.
        vocab_size: text tokens at most, at least 256 (the bytes); special tokens come on top.
        max_target_positions: tokens the model can write, five of them around the text.
        language: language it transcribes.
        task: transcribe or translate.
        seed: of the random weights.

    Raises:
        InputError: no text, or sizes that do not fit together.
    """
    from transformers import WhisperFeatureExtractor, WhisperProcessor

    _check(sentences, d_model, heads, window, vocab_size, max_target_positions)
    tokenizer = _train_tokenizer(sentences, vocab_size, language_code(language), task)
    model = _random_model(
        tokenizer,
        seed,
        num_mel_bins=num_mel_bins,
        d_model=d_model,
        encoder_layers=layers,
        decoder_layers=layers,
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=FEED_FORWARD * d_model,
        decoder_ffn_dim=FEED_FORWARD * d_model,
        max_source_positions=int(window) * FRAMES_PER_SECOND // ENCODER_STRIDE,
        max_target_positions=max_target_positions,
    )
    extractor = WhisperFeatureExtractor(feature_size=num_mel_bins, chunk_length=int(window))
    with staged_folder(folder) as staging:
        model.save_pretrained(staging)
        WhisperProcessor(extractor, tokenizer).save_pretrained(staging)
    log.info(
        "built a Whisper of %.2f million parameters and %d tokens",
        model.num_parameters() / 1e6,
        len(tokenizer),
    )


def _check(
    sentences: Sequence[str],
    d_model: int,
    heads: int,
    window: float,
    vocab_size: int,
    max_target_positions: int,
) -> None:
    if not any(sentence.strip() for sentence in sentences):
        raise InputError("model.scratch: there is no sentence to train the tokenizer on.")
    if d_model % heads or d_model % 2:
        raise InputError(
            f"model.scratch.d_model: {d_model} must be even and a multiple of heads ({heads})."
        )
    if window < 1 or window != int(window):  # WhisperFeatureExtractor takes nothing else
        raise InputError(f"model.scratch.window: {window} s must be whole seconds, at least 1.")
    if vocab_size < BYTES:
        raise InputError(
            f"model.scratch.vocab_size: {vocab_size} is too small; the {BYTES} bytes are needed."
        )
    if max_target_positions <= PREFIX_AND_END:
        raise InputError(
            f"model.scratch.max_target_positions: {max_target_positions} leaves no room for text; "
            f"{PREFIX_AND_END} tokens stand around it."
        )


def _train_tokenizer(
    sentences: Sequence[str], vocab_size: int, language: str, task: str
) -> "WhisperTokenizer":
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import WhisperTokenizer

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(sentences, trainer)
    trained = json.loads(bpe.to_str())["model"]
    specials = special_tokens()
    vocabulary = trained["vocab"]
    vocabulary |= {token: len(vocabulary) + n for n, token in enumerate(specials)}
    return WhisperTokenizer(
        vocab=vocabulary,
        merges=[tuple(pair) for pair in trained["merges"]],
        pad_token=specials[0],
        extra_special_tokens=specials[1:],
        language=language,
        task=task,
    )


def special_tokens() -> list[str]:
    """Whisper's special tokens in the order of its vocabulary, without the timestamps.

    The tokenizer finds a language's token by counting from <|startoftranscript|>, so all languages
    must be there. Timestamps are left out: these models never write any.
    """
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    return [
        "<|endoftext|>",
        "<|startoftranscript|>",
        *(f"<|{code}|>" for code in LANGUAGES),
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nospeech|>",
        "<|notimestamps|>",
    ]


def _random_model(tokenizer: "WhisperTokenizer", seed: int, **sizes: int):
    """A WhisperForConditionalGeneration of these sizes whose prefix is the tokenizer's."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    end = tokenizer.eos_token_id
    config = WhisperConfig(
        **sizes,
        vocab_size=len(tokenizer),
        init_std=INIT_STD,
        decoder_start_token_id=tokenizer.prefix_tokens[0],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(config)
    model.generation_config = _generation_config(tokenizer, sizes["max_target_positions"])
    return model


def _generation_config(tokenizer: "WhisperTokenizer", max_length: int):
    """How the model is to write: Whisper's own GenerationConfig with this tokenizer's ids."""
    from transformers import GenerationConfig
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TASK_IDS

    number = tokenizer.convert_tokens_to_ids
    end = tokenizer.eos_token_id
    return GenerationConfig(
        decoder_start_token_id=tokenizer.prefix_tokens[0],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        max_length=max_length,
        is_multilingual=True,
        language=tokenizer.language,
        task=tokenizer.task,
        lang_to_id={f"<|{code}|>": number(f"<|{code}|>") for code in LANGUAGES},
        task_to_id={task: number(f"<|{task}|>") for task in TASK_IDS},
        no_timestamps_token_id=number("<|notimestamps|>"),
        prev_sot_token_id=number("<|startofprev|>"),
        return_timestamps=False,
        suppress_tokens=[],
        begin_suppress_tokens=[end],  # a transcript is never empty
    )
