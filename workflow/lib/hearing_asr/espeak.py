"""Text to speech with eSpeak NG: the library that `espeakng-loader` brings, through ctypes.

eSpeak NG is a formant synthesizer (https://github.com/espeak-ng/espeak-ng). Its state is global
to the process and outlives an utterance: flutter of the pitch, phase of the voice, noise. Even
terminating and initializing it again leaves some of that behind, so the library is unloaded after
each utterance. An utterance then depends on nothing but its own parameters. That costs about 3 ms.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import espeakng_loader
import numpy as np

from hearing_asr.errors import InputError

SAMPLE_RATE = 22050  # Hz, of all voices used here

# Constants of speak_lib.h
_RETRIEVAL = 2  # AUDIO_OUTPUT_SYNCHRONOUS: the callback gets the samples
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4

_MAX_DATA_PATH = 150  # characters; the library has room for 160 and cuts off what is longer

_SynthCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


def speak(
    text: str, voice: str, *, rate: int, pitch: int, pitch_range: int, seed: int
) -> np.ndarray:
    """Speak `text`; the same arguments give the same samples, whatever was spoken before.

    Args:
        text: what to say.
        voice: language file and variant of eSpeak NG, as "gmw/en-US+f2".
        rate: speed in words per minute, 80 to 450.
        pitch: base pitch, 0 to 99; 50 is the voice's own.
        pitch_range: liveliness of the intonation, 0 (monotone) to 99.
        seed: of the breath noise that some variants have, at least 1.

    Returns:
        int16 array (samples,) at SAMPLE_RATE.
    """
    chunks: list[bytes] = []

    def collect(samples, count, _events) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = _SynthCallback(collect)
    encoded = text.encode() + b"\0"
    with engine(voice) as library:
        library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        library.espeak_SetSynthCallback(callback)
        status = library.espeak_Synth(
            encoded, ctypes.c_size_t(len(encoded)), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None
        )
    if status != 0:
        raise RuntimeError(f"eSpeak NG could not speak {text!r} (status {status})")
    return np.frombuffer(b"".join(chunks), dtype=np.int16)


@contextmanager
def engine(voice: str) -> Iterator[ctypes.CDLL]:
    """Load the library afresh, select `voice`, and unload the library at the end.

    Raises:
        InputError: eSpeak NG does not start, or does not know the voice.
    """
    path = espeakng_loader.get_library_path()
    if _is_loaded(path):
        raise RuntimeError(
            f"{path} is loaded in this process already: its state would leak into the speech"
        )
    library = ctypes.CDLL(path)
    try:
        _start(library, voice)
        yield library
    finally:
        library.espeak_Terminate()
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))


def _start(library: ctypes.CDLL, voice: str) -> None:
    data = _data_path()
    if library.espeak_Initialize(_RETRIEVAL, 0, os.fsencode(data), _DONT_EXIT) != SAMPLE_RATE:
        raise InputError(
            f"eSpeak NG does not start with its data in {data}. Install the pinned "
            "espeakng-loader again."
        )
    # The library ignores a variant it does not know and would speak with another voice.
    _, _, variant = voice.partition("+")
    known = not variant or Path(data, "voices", "!v", variant).is_file()
    if not known or library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise InputError(f"eSpeak NG has no voice {voice!r}: see the voices under {data}.")


def _data_path() -> str:
    """The folder of the voices: absolute, or relative where only that is short enough.

    Raises:
        InputError: both are too long for the library.
    """
    absolute = espeakng_loader.get_data_path()
    for path in (absolute, os.path.relpath(absolute)):
        if len(os.fsencode(path)) <= _MAX_DATA_PATH:
            return path
    raise InputError(
        f"{absolute}: eSpeak NG cannot open a folder whose path is longer than {_MAX_DATA_PATH} "
        "characters. Put the Python environment at a shorter path, or inside the folder that the "
        "workflow is started from."
    )


def _is_loaded(path: str) -> bool:
    try:
        handle = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
    except OSError:
        return False
    ctypes.CDLL(None).dlclose(ctypes.c_void_p(handle._handle))
    return True
