"""How sure a Whisper model is of what it wrote, and of the language it heard.

The text is put to the model once more, all tokens at a time, so the figures are those of the
model itself: no beam, temperature or suppressed token has a part in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import WhisperForConditionalGeneration, WhisperTokenizer
from transformers.modeling_outputs import BaseModelOutput


@dataclass(frozen=True)
class TokenWords:
    """The token ids that `evidence` must know.

    Attributes:
        prefix: what the text was written behind, <|startoftranscript|> first.
        end: <|endoftext|>, which also fills a batch up.
        languages: token id -> code; empty for an English-only model.
        limit: tokens behind the prefix at which writing was broken off.
    """

    prefix: tuple[int, ...]
    end: int
    languages: Mapping[int, str]
    limit: int

    @classmethod
    def of(
        cls, model: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer, limit: int
    ) -> "TokenWords":
        """Those of a model and its tokenizer, set to language and task."""
        config = model.generation_config
        languages = getattr(config, "lang_to_id", None) or {}
        if not getattr(config, "is_multilingual", False):
            languages = {}
        return cls(
            prefix=tuple(tokenizer.prefix_tokens),
            end=tokenizer.eos_token_id,
            languages={number: code.strip("<|>") for code, number in languages.items()},
            limit=min(limit, model.config.max_target_positions - len(tokenizer.prefix_tokens)),
        )


def evidence(
    model: WhisperForConditionalGeneration,
    heard: BaseModelOutput,
    tokens: torch.Tensor,
    words: TokenWords,
) -> list[dict[str, Any]]:
    """How likely each text of a batch was to its model.

    Args:
        heard: what the encoder made of the clips.
        tokens: (clips, longest) as `generate` returns them: without the prefix, filled up with
            `words.end`.

    Returns:
        For each clip: `tokens`, of the text; `mean_logprob`, the mean natural logarithm of the
        probabilities of its tokens, with that of the end where the model ended the text itself
        (as Whisper's avg_logprob); `entropy`, the mean over the same places of the entropy of the
        model's choice, in nats; `language`, the code of the likeliest one, and
        `language_probability`, that of the language asked for among all languages, both None for
        an English-only model.
    """
    prefix = torch.tensor(words.prefix, device=tokens.device).expand(len(tokens), -1)
    room = model.config.max_target_positions - prefix.shape[1]
    given = torch.cat([prefix, tokens[:, : max(room, 0)]], dim=1)
    logits = model(encoder_outputs=heard, decoder_input_ids=given).logits
    codes = torch.tensor(sorted(words.languages), device=tokens.device)
    told = []
    for row, text in enumerate(tokens):
        length = int((text != words.end).sum())
        choices = min(length + (length < words.limit), given.shape[1] - len(words.prefix) + 1)
        ended = torch.full((1,), words.end, device=tokens.device)
        chosen = torch.cat([text[:length], ended])[:choices]
        first = len(words.prefix) - 1
        scores = logits[row, first : first + choices].float().log_softmax(dim=-1)
        likely = scores.gather(1, chosen[:, None])
        entropy = torch.special.entr(scores.exp()).sum(dim=-1)
        sure = {
            "tokens": length,
            "mean_logprob": float(likely.mean()),
            "entropy": float(entropy.mean()),
            "language": None,
            "language_probability": None,
        }
        if len(codes):
            chances = logits[row, 0, codes].float().softmax(dim=-1)
            best = int(codes[int(chances.argmax())])
            asked = int((codes == words.prefix[1]).nonzero())
            sure["language"] = words.languages[best]
            sure["language_probability"] = float(chances[asked])
        told.append(sure)
    return told
