"""The sentences of a matrix test, with which clinics measure how much speech is understood.

Name, verb, numeral, adjective and noun, ten words each: every sentence is grammatical and none can
be guessed (Hagerman 1982, Scandinavian Audiology 11, 79-87; Kollmeier et al. 2015, International
Journal of Audiology 54 S2, 3-16). As there, sentences come in lists of ten that hold each of the
fifty words once. The words are our own choice: each position holds front and back vowels, stops,
nasals and the fricatives /s f th sh/, so that a loss of low frequencies and one of high
frequencies do not confuse the same words.
"""

from collections.abc import Iterator, Sequence

import numpy as np

MATRIX = (
    ["Agnes", "Bobby", "Chloe", "Dennis", "Faith", "Gordon", "Judith", "Mark", "Sophie", "Walter"],
    ["borrowed", "chose", "drew", "found", "hid", "kept", "lost", "moved", "shared", "washed"],
    ["two", "three", "four", "five", "six", "seven", "eight", "nine", "twelve", "fifty"],
    ["broad", "cheap", "dusty", "fresh", "golden", "huge", "narrow", "purple", "smooth", "thin"],
    ["boats", "chairs", "doves", "fences", "hats", "kites", "lamps", "mugs", "shirts", "wheels"],
)
LIST_LENGTH = 10  # sentences in a list: each word once
LISTS = 10_000  # together all 100,000 sentences


def list_sentences(lists: Sequence[int], count: int, seed: int) -> Iterator[tuple[int, str]]:
    """The first `count` sentences of `lists`, each with its number among all 100,000.

    Four digits (i, j, k, l) make a list: its n-th name stands with verb n + i, numeral n + j,
    adjective n + k and noun n + l, all modulo ten. The 10,000 lists so hold every sentence once.
    """
    rng = np.random.default_rng(seed)
    digits = rng.permutation(LISTS)
    orders = rng.permuted(np.tile(np.arange(LIST_LENGTH), (LISTS, 1)), axis=1)
    for position in range(count):
        place = lists[position // LIST_LENGTH]
        within = position % LIST_LENGTH
        first = int(orders[place, within])
        offsets = (0, *(int(digit) for digit in f"{digits[place]:04d}"))
        words = [
            words[(first + offset) % LIST_LENGTH]
            for words, offset in zip(MATRIX, offsets, strict=True)
        ]
        yield place * LIST_LENGTH + within, " ".join(words) + "."
