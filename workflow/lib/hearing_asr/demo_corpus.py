"""The embedded demo corpus: a synthesized release of Common Voice.

Voices of eSpeak NG, each with its own pitch and speed, speak the sentences of a matrix test with a
little noise and a pause before and behind. Splits share neither a speaker nor a sentence.
"""

import hashlib
import io
import logging
import multiprocessing
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy import fft

from hearing_asr import espeak
from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.joblog import progress
from hearing_asr.matrix_sentences import LIST_LENGTH, LISTS, list_sentences

log = logging.getLogger(__name__)

LISTS_OF_SPLIT = {"train": range(8000), "dev": range(8000, 9000), "test": range(9000, LISTS)}

SAMPLE_RATES = (32000, 48000)  # Hz: what Common Voice has been released in
PEAK_LEVEL = (-12.0, -1.0)  # dBFS
NOISE_SNR = (35.0, 45.0)  # dB, speech over pink noise
PAUSE = (0.05, 0.2)  # s, before and behind the speech
RATE_SPREAD = 0.05  # of the speaker's rate, between clips
PITCH_SPREAD = 4  # of eSpeak's 99 steps, between clips
PITCH_RANGE = (40, 61)  # of eSpeak's 99 steps, upper end exclusive
SILENCE = 0.003  # of the peak: what is below it before and behind the speech is cut off
MP3 = {
    "format": "MP3",
    "subtype": "MPEG_LAYER_III",
    "bitrate_mode": "VARIABLE",
    "compression_level": 0.7,  # about 55 kbit/s, the full bandwidth; from 0.9 on LAME cuts at 8 kHz
}

# Columns and tables of the releases since 17.0 (Common Voice, cv-dataset, CHANGELOG.md)
CLIP_COLUMNS = [
    "client_id",
    "path",
    "sentence_id",
    "sentence",
    "sentence_domain",
    "up_votes",
    "down_votes",
    "age",
    "gender",
    "accents",
    "variant",
    "locale",
    "segment",
]
SENTENCE_COLUMNS = ["sentence_id", "sentence", "sentence_domain", "source"]
TABLES = (
    "train.tsv",
    "dev.tsv",
    "test.tsv",
    "validated.tsv",
    "invalidated.tsv",
    "other.tsv",
    "reported.tsv",
    "clip_durations.tsv",
    "validated_sentences.tsv",
    "unvalidated_sentences.tsv",
)


@dataclass(frozen=True)
class Speaker:
    """A voice with its habits.

    voice: language file and variant of eSpeak NG; pitch: base pitch, 0 to 99, 50 is the variant's
    own; rate: words per minute; age and accent as in the tables of Common Voice.
    """

    voice: str
    pitch: int
    rate: int
    age: str
    accent: str

    @property
    def gender(self) -> str:
        female = self.voice.partition("+")[2].startswith("f")
        return "female_feminine" if female else "male_masculine"

    @property
    def client_id(self) -> str:
        return hashlib.sha512(f"hearing-asr demo speaker {self.voice}".encode()).hexdigest()


_US, _GB, _RP = "gmw/en-US", "gmw/en", "gmw/en-GB-x-rp"
_SCOTLAND, _LANCASTER, _CARIBBEAN = "gmw/en-GB-scotland", "gmw/en-GB-x-gbclan", "gmw/en-029"
_ACCENTS = {
    _US: "United States English",
    _GB: "England English",
    _RP: "England English",
    _SCOTLAND: "Scottish English",
    _LANCASTER: "Lancashire English",
    _CARIBBEAN: "West Indies and Bermuda (Bahamas, Bermuda, Jamaica, Trinidad)",
}


def _speaker(language: str, variant: str, pitch: int, rate: int, age: str) -> Speaker:
    return Speaker(f"{language}+{variant}", pitch, rate, age, _ACCENTS[language])


# Accents recur between the splits, and so do variants (the vocal tracts), never both together.
SPEAKERS = {
    "train": (
        _speaker(_US, "m1", 48, 178, "thirties"),
        _speaker(_US, "f1", 50, 182, "twenties"),
        _speaker(_US, "m3", 56, 184, "twenties"),
        _speaker(_US, "f4", 46, 186, "fourties"),
        _speaker(_US, "m7", 44, 176, "fifties"),
        _speaker(_US, "f2", 54, 180, "teens"),
        _speaker(_GB, "m2", 52, 180, "thirties"),
        _speaker(_GB, "f3", 42, 178, "fifties"),
        _speaker(_GB, "m4", 46, 192, "sixties"),
        _speaker(_GB, "f5", 40, 182, "twenties"),
        _speaker(_RP, "m6", 54, 176, "fourties"),
        _speaker(_RP, "f1", 44, 180, "thirties"),
        _speaker(_SCOTLAND, "m3", 42, 176, "fourties"),
        _speaker(_SCOTLAND, "f4", 54, 182, "twenties"),
        _speaker(_LANCASTER, "m1", 58, 184, "fifties"),
        _speaker(_CARIBBEAN, "f2", 44, 190, "thirties"),
    ),
    "dev": (
        _speaker(_US, "m6", 46, 178, "twenties"),
        _speaker(_GB, "f1", 48, 182, "thirties"),
        _speaker(_RP, "m1", 52, 180, "sixties"),
        _speaker(_SCOTLAND, "f2", 46, 178, "fourties"),
    ),
    "test": (
        _speaker(_US, "m2", 48, 182, "thirties"),
        _speaker(_US, "f3", 44, 180, "twenties"),
        _speaker(_GB, "m3", 54, 178, "fourties"),
        _speaker(_GB, "f4", 50, 184, "fifties"),
        _speaker(_RP, "f2", 46, 178, "sixties"),
        _speaker(_SCOTLAND, "m1", 54, 180, "twenties"),
        _speaker(_US, "m4", 52, 180, "fifties"),
        _speaker(_US, "f5", 48, 184, "thirties"),
        _speaker(_US, "m5", 50, 178, "sixties"),
        _speaker(_GB, "m1", 50, 182, "twenties"),
        _speaker(_RP, "m3", 48, 180, "fourties"),
        _speaker(_SCOTLAND, "f1", 46, 178, "thirties"),
    ),
}


@dataclass(frozen=True)
class DemoClip:
    """One clip to synthesize: everything its audio depends on, besides seed and sample rate."""

    split: str
    index: int  # within the split
    number: int  # of the sentence, 0 to 99,999; it names the file
    sentence: str
    speaker: Speaker

    @property
    def path(self) -> str:
        return f"common_voice_en_{40_000_000 + self.number}.mp3"

    @property
    def sentence_id(self) -> str:
        return hashlib.sha256(self.sentence.encode()).hexdigest()


def write_release(
    folder: Path, clips: Mapping[str, int], sample_rate: int, seed: int, workers: int
) -> None:
    """Write a release of Common Voice (17.0 or later) of synthesized speech into `folder`.

    The release is the same for any number of workers, and a larger one begins with the clips of
    the smaller. `clips/` appears first and whole, the tables after it; a release that lies in
    `folder` already stays until the new clips are complete.

    Args:
        folder: made where it does not exist; gets clips/ and TABLES.
        clips: number of clips for each of train, dev and test.
        sample_rate: of the MP3 files, in Hz, one of SAMPLE_RATES.
        seed: at least 0; selects the sentences and how they are spoken.
        workers: number of processes.

    Raises:
        InputError: an unknown split or sample rate, more clips than a split has sentences, no
            working eSpeak NG, or a full disk.
    """
    folder = Path(folder)
    if sample_rate not in SAMPLE_RATES:
        raise InputError(
            f"corpus.demo.sample_rate: {sample_rate} Hz is none of "
            f"{', '.join(map(str, SAMPLE_RATES))}, the rates of Common Voice. Choose one of them."
        )
    plan = plan_clips(clips, seed)
    _remove_partial(folder)
    with atomic_path(folder / "clips") as part:
        try:
            part.mkdir()
            durations = _synthesize(plan, part, sample_rate, seed, workers)
            _remove_release(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    for name, lines in _tables(plan, durations).items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    log.info("release of %d clips in %s", len(plan), folder)


def _remove_partial(folder: Path) -> None:
    """Remove what a killed job has left behind."""
    for part in folder.glob(".clips.*.part"):
        shutil.rmtree(part, ignore_errors=True)


def _remove_release(folder: Path) -> None:
    for name in TABLES:
        (folder / name).unlink(missing_ok=True)
    if (folder / "clips").exists():
        shutil.rmtree(folder / "clips")


def plan_clips(clips: Mapping[str, int], seed: int) -> list[DemoClip]:
    """Who says what, ordered by split; speakers take turns.

    Raises:
        InputError: an unknown split, or more clips than a split has sentences.
    """
    unknown = sorted(set(clips) - set(SPEAKERS))
    if unknown:
        raise InputError(
            f"corpus.demo.clips: unknown split {', '.join(unknown)}. Use {', '.join(SPEAKERS)}."
        )
    plan = []
    for split, speakers in SPEAKERS.items():
        available = len(LISTS_OF_SPLIT[split]) * LIST_LENGTH
        if clips.get(split, 0) > available:
            raise InputError(
                f"corpus.demo.clips.{split}: {clips[split]} clips asked for, but this split has "
                f"{available} sentences, and none is said twice. Ask for at most {available}."
            )
        sentences = list_sentences(LISTS_OF_SPLIT[split], clips.get(split, 0), seed)
        plan += [
            DemoClip(split, index, number, sentence, speakers[index % len(speakers)])
            for index, (number, sentence) in enumerate(sentences)
        ]
    return plan


def _synthesize(
    plan: Sequence[DemoClip], folder: Path, sample_rate: int, seed: int, workers: int
) -> list[int]:
    """Write the clips into `folder`; their durations in ms, in the order of `plan`."""
    write = partial(_write_clip, folder=folder, sample_rate=sample_rate, seed=seed)
    if workers == 1:
        return list(progress(map(write, plan), "demo corpus", len(plan)))
    # fork, because the other methods import the main module again, and that is Snakemake's script
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        results = pool.map(write, plan, chunksize=8)
        try:
            return list(progress(results, "demo corpus", len(plan)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_clip(clip: DemoClip, folder: Path, sample_rate: int, seed: int) -> int:
    samples = render(clip, sample_rate, seed)
    encoded = io.BytesIO()
    soundfile.write(encoded, samples, sample_rate, **MP3)
    (folder / clip.path).write_bytes(encoded.getvalue())
    return round(1000 * len(samples) / sample_rate)


def render(clip: DemoClip, sample_rate: int, seed: int) -> np.ndarray:
    """The audio of a clip before MP3: float32 (samples,) within -1 and 1.

    It depends on nothing but the arguments (and the versions of the libraries).
    """
    rng = np.random.default_rng([seed, list(SPEAKERS).index(clip.split), clip.index])
    speaker = clip.speaker
    spoken = espeak.speak(
        clip.sentence,
        speaker.voice,
        rate=round(speaker.rate * (1 + rng.uniform(-RATE_SPREAD, RATE_SPREAD))),
        pitch=speaker.pitch + int(rng.integers(-PITCH_SPREAD, PITCH_SPREAD + 1)),
        pitch_range=int(rng.integers(*PITCH_RANGE)),
        seed=int(rng.integers(1, 2**31)),
    )
    speech = soxr.resample(_trimmed(spoken), espeak.SAMPLE_RATE, sample_rate, quality="HQ")
    before, behind = (round(rng.uniform(*PAUSE) * sample_rate) for _ in range(2))
    samples = np.pad(speech, (before, behind))
    noise_level = np.sqrt(np.mean(speech**2)) * 10 ** (-rng.uniform(*NOISE_SNR) / 20)
    samples += np.float32(noise_level) * _pink_noise(len(samples), rng)
    peak = 10 ** (rng.uniform(*PEAK_LEVEL) / 20)
    return samples * np.float32(peak / np.abs(samples).max())


def _trimmed(spoken: np.ndarray) -> np.ndarray:
    """int16 samples to float32 in [-1, 1], without the silence before and behind."""
    samples = spoken.astype(np.float32) / 32768
    (loud,) = np.nonzero(np.abs(samples) > SILENCE * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def _pink_noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """float32 (length,) of about unit variance: power falls by 3 dB per octave, as in rooms."""
    size = fft.next_fast_len(length, real=True)
    spectrum = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    spectrum[0] = 0
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum), dtype=np.float32))
    noise = fft.irfft(spectrum, size)[:length]
    return noise / noise.std()


def _tables(plan: Sequence[DemoClip], durations: Sequence[int]) -> dict[str, list[str]]:
    """Lines of each of TABLES: tab-separated, never quoted."""
    rows = {split: [] for split in SPEAKERS}
    for clip in plan:
        rows[clip.split].append(_clip_row(clip))
    validated = [row for split in rows.values() for row in split]
    milliseconds = zip((clip.path for clip in plan), map(str, durations), strict=True)
    sentences = ([clip.sentence_id, clip.sentence, "", "demo", "1", "1"] for clip in plan)
    clip_tables = {**rows, "validated": validated, "invalidated": [], "other": []}
    tables = {f"{name}.tsv": _lines(CLIP_COLUMNS, table) for name, table in clip_tables.items()}
    tables["reported.tsv"] = _lines(["sentence_id", "sentence", "locale", "reason"], [])
    tables["clip_durations.tsv"] = _lines(["clip", "duration[ms]"], milliseconds)
    used = [*SENTENCE_COLUMNS, "is_used", "clips_count"]
    tables["validated_sentences.tsv"] = _lines(used, sentences)
    tables["unvalidated_sentences.tsv"] = _lines(SENTENCE_COLUMNS, [])
    return tables


def _clip_row(clip: DemoClip) -> list[str]:
    speaker = clip.speaker
    values = {
        "client_id": speaker.client_id,
        "path": clip.path,
        "sentence_id": clip.sentence_id,
        "sentence": clip.sentence,
        "up_votes": "2",
        "down_votes": "0",
        "age": speaker.age,
        "gender": speaker.gender,
        "accents": speaker.accent,
        "locale": "en",
    }
    return [values.get(column, "") for column in CLIP_COLUMNS]


def _lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["\t".join(columns), *("\t".join(row) for row in rows)]
