"""Text normalizers: what counts as the same text when models are scored.

Importing this module is cheap, and no normalizer needs torch.
"""

import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import version

from hearing_asr.errors import InputError

SENTENCE_END = ".!?…;:"

_WHITE_SPACE = re.compile(r"\s+")


def normalizer(name: str) -> Callable[[str], str]:
    """Return the normalizer called `name`, one of NORMALIZERS.

    `english`: Whisper's normalizer for English (numbers, currencies, contractions, fillers,
    titles, British spelling; appendix C of Radford et al. 2022, arXiv:2212.04356).
    `basic`: Whisper's normalizer for all other languages (case, brackets, punctuation).
    `simple`: lower case, without commas and the punctuation that ends the sentence.
    `none`: the text as it is.
    All but `none` leave single spaces between words and none around them. A text can become
    empty: `english` has nothing left of "Hmm.".

    Raises:
        InputError: there is no such normalizer.
    """
    if name not in _BUILDERS:
        raise InputError(
            f"evaluation.normalizer: {name!r} is not a normalizer; choose one of "
            f"{', '.join(NORMALIZERS)}."
        )
    return _BUILDERS[name]()


def describe(name: str) -> str:
    """Say which normalizer `name` is, with the packages and versions it comes from.

    Raises:
        InputError: there is no such normalizer.
    """
    normalizer(name)
    return _DESCRIPTIONS[name].format(
        transformers=f"transformers {_version('transformers')}",
        spelling=f"whisper-normalizer {_version('whisper-normalizer')}",
    )


@cache
def _version(package: str) -> str:
    return version(package)


@cache
def _english() -> Callable[[str], str]:
    # The class of whisper-normalizer itself expands words that OpenAI's keeps ("cause", "kinda");
    # the one in transformers is OpenAI's, but comes without the table of British spellings.
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
    from whisper_normalizer.english import EnglishSpellingNormalizer

    return _stripped(EnglishTextNormalizer(EnglishSpellingNormalizer().mapping))


@cache
def _basic() -> Callable[[str], str]:
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer

    return _stripped(BasicTextNormalizer())


def _stripped(normalize: Callable[[str], str]) -> Callable[[str], str]:
    # Whisper's normalizers leave a space where they removed something at either end.
    return lambda text: normalize(text).strip()


def _simple() -> Callable[[str], str]:
    return _simplified


def _simplified(text: str) -> str:
    text = _WHITE_SPACE.sub(" ", text.lower().replace(",", ""))
    return text.strip().rstrip(SENTENCE_END + " ")


def _none() -> Callable[[str], str]:
    return str


_BUILDERS: dict[str, Callable[[], Callable[[str], str]]] = {
    "english": _english,
    "basic": _basic,
    "simple": _simple,
    "none": _none,
}

_DESCRIPTIONS = {
    "english": "english: Whisper's English normalizer ({transformers}, spelling table of "
    "{spelling})",
    "basic": "basic: Whisper's basic normalizer ({transformers})",
    "simple": "simple: lower case, no commas, no final punctuation, single spaces",
    "none": "none: text as it is",
}

NORMALIZERS = tuple(_BUILDERS)
