"""The normalizers against OpenAI's own, and against written rules."""

import random
import subprocess
import sys
from importlib.metadata import version

import pytest

from hearing_asr.errors import InputError
from hearing_asr.normalizers import NORMALIZERS, describe, normalizer

SENTENCES = [
    "She paid twenty-five dollars and thirty cents for 1,000 apples.",
    "It's £3.50, five euros, or twenty percent of $1.5 million.",
    "He's gone; they won't, can't, ain't and shouldn't've — I'm gonna go, let's see.",
    "Mr. Smith, Dr. Jones, St. Mary and Prof. O'Neil Jr. met the Rev. Green.",
    "The colour of the organised centre's grey theatre; travelling to the harbour.",
    "Um, hmm, uh, mhm ... mm.",
    "He said [noise] yes (laughs) and <unk> left.",
    "Café naïve Straße œuvre Ærøskøbing don’t ‘quoted’ “double”",
    "In nineteen seventy-five, the twenty-first of the 1960s, double oh seven, two and a half.",
    "That is the cause of it, kinda, sorta, I dunno.",
    "one hundred and one thousand two hundredths, three point one four",
    "",
    "...",
]
MATERIAL = (
    "zero one two nine eleven twenty ninety hundred thousand million first third hundredth sixes "
    "hundreds and a half double triple point oh minus plus dollars cents pounds euro percent $5 "
    "£3.50 20% 1,000 2.5 3rd 1970s 007 .5 5. 1/2 ½ colour centre travelling won't let's y'all "
    "gonna kinda dunno cause imma woulda mr. st. jr. she'd been he's gone it's got they're isn't "
    "'tis hmm uh mhm mm [noise] (laughs) <unk> café naïve straße œuvre don’t - — … ? , ; of cat "
    "hello ' u.s.a. & @ # 👍 ³"
)


def random_sentences(count: int) -> list[str]:
    rng, words = random.Random(1), MATERIAL.split()
    return [" ".join(rng.choices(words, k=rng.randint(1, 9))) for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "original"), [("english", "EnglishTextNormalizer"), ("basic", "BasicTextNormalizer")]
)
def test_whispers_normalizers_are_openais(name, original):
    whisper = pytest.importorskip("whisper.normalizers")
    reference, ours = getattr(whisper, original)(), normalizer(name)
    for text in SENTENCES + [text.upper() for text in SENTENCES] + random_sentences(3000):
        assert ours(text) == reference(text).strip(), text


def test_english_on_known_texts():
    normalize = normalizer("english")
    assert normalize("Mr. Brown's colour: twenty-one!") == "mister brown is color 21"
    assert normalize("the cause") == "the cause"
    assert normalize("Hmm.") == ""


def test_basic_keeps_foreign_letters():
    assert normalizer("basic")("¡Señor, qué [risas] ÁRBOL!") == "señor qué árbol"


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("Well, Mr. Brown,  isn't HERE...", "well mr. brown isn't here"),
        (" Really?! ", "really"),
        ("one\ttwo\n three .", "one two three"),
        ("1,000 men", "1000 men"),
        ("?", ""),
    ],
)
def test_simple(text, simple):
    assert normalizer("simple")(text) == simple


def test_none_changes_nothing():
    text = "  As, it IS.\t"
    assert normalizer("none")(text) == text


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizing_twice_leaves_simple_texts_alone(name):
    normalize = normalizer(name)
    once = normalize("peter gives three large desks")
    assert normalize(once) == once


def test_describe_names_package_and_version():
    assert f"transformers {version('transformers')}" in describe("english")
    assert f"whisper-normalizer {version('whisper-normalizer')}" in describe("english")
    for name in NORMALIZERS:
        assert describe(name).startswith(f"{name}: ")


@pytest.mark.parametrize("call", [normalizer, describe])
def test_unknown_name(call):
    with pytest.raises(InputError, match=r"evaluation\.normalizer.*'whisper'.*english, basic"):
        call("whisper")


def test_no_normalizer_imports_torch():
    code = (
        "import sys; from hearing_asr.normalizers import NORMALIZERS, normalizer, describe\n"
        "assert 'transformers' not in sys.modules\n"
        "[(normalizer(name)('One.'), describe(name)) for name in NORMALIZERS]\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
