"""MP3 files whose header states no length, a wrong one, or more than is there."""

import io
import struct
from functools import cache

import numpy as np
import pytest
import soundfile as sf

from hearing_asr.audio import UndecodableError, decode
from hearing_asr.mp3 import scan, with_length
from tests.conftest import speech_like

SECONDS = 4.0
ID3V2 = b"ID3\x04\0\0\0\0\0\x23TSSE\0\0\0\x0f\0\0\x03Lavf58.29.100".ljust(45, b"\0")
ID3V1 = b"TAG" + b"\0" * 125
APE = b"APETAGEX" + struct.pack("<IIII", 2000, 32, 0, 0) + b"\0" * 8


@cache
def intact(rate=48_000, channels=1, mode="CONSTANT"):
    """An MP3 with an Info frame: half a second of silence (few bits in VBR), then speech."""
    speech = speech_like(SECONDS - 0.5, rate=rate)
    samples = np.concatenate([np.zeros(rate // 2, np.float32), speech])
    buffer = io.BytesIO()
    samples = np.stack([samples] * channels, axis=1)
    sf.write(
        buffer,
        samples,
        rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode=mode,
        compression_level=0.5,
    )
    data = buffer.getvalue()
    assert scan(data).stated
    return data


def stripped(data):
    """Without the Info frame, as ffmpeg writes into a pipe."""
    return data[scan(data).start :]


def assert_same_audio(samples, expected, rate):
    """The same apart from the encoder's delay and padding, which nothing states to be trimmed."""
    frame = (1152 if rate >= 32_000 else 576) * 16_000 / rate
    extra = len(samples) - len(expected)
    assert 0 <= extra <= 3 * frame  # delay and padding: up to 1105 and 1152 + 528 samples
    end = expected[-8000:]
    errors = [
        np.abs(samples[lag : lag + len(expected)][-8000:] - end).max() for lag in range(extra + 1)
    ]
    assert np.argmin(errors) <= 2 * frame
    # Resampling puts the two on grids that are up to half a sample apart.
    assert min(errors) < (0.1 if rate % 16_000 or rate == 48_000 else 1e-3)


@pytest.mark.parametrize("tag", [b"", ID3V2], ids=["bare", "ID3v2"])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [16_000, 32_000, 44_100, 48_000])
def test_without_an_info_frame_all_is_decoded(rate, channels, mode, tag):
    whole = intact(rate, channels, mode)
    data = tag + stripped(whole) + ID3V1
    found = scan(data)
    assert (found.stated, found.cut_off, found.sample_rate) == (None, False, rate)
    assert found.frames == scan(whole).stated == scan(whole).frames
    with sf.SoundFile(io.BytesIO(with_length(data, found))) as file:
        assert file.frames == found.frames * found.samples_per_frame - 529  # decoder's delay
        assert len(file.read()) == file.frames
    assert_same_audio(decode(data), decode(whole), rate)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("tail", [b"", ID3V1, APE, APE + ID3V1, b"\0" * 1000, b"junk" * 100])
@pytest.mark.parametrize("tag", [b"", ID3V2, ID3V2 + ID3V2])
def test_what_lies_around_the_frames_changes_nothing(tag, tail, mode):
    whole = intact(mode=mode)
    np.testing.assert_array_equal(decode(tag + whole + tail), decode(whole))
    bare = stripped(whole)
    np.testing.assert_array_equal(decode(tag + bare + tail), decode(bare))


def test_an_id3v2_tag_with_a_long_size_and_a_footer_is_skipped():
    bare = stripped(intact())
    # 300 bytes in 7 bits a byte, flag of a footer; within it what looks like a header
    tag = b"ID3\x04\0\x10\0\0\x02\x2c" + b"\xff\xfb\x90\x64" * 75 + b"3DI\x04\0\x10\0\0\x02\x2c"
    assert scan(tag + bare).start == len(tag)
    np.testing.assert_array_equal(decode(tag + bare), decode(bare))
    picture = b"ID3\x04\0\0" + bytes([0, 2, 0, 1]) + b"\xff" * (2 * 128**2 + 1)
    assert scan(picture + bare).start == len(picture)


@pytest.mark.parametrize("tag", [b"", ID3V2], ids=["bare", "ID3v2"])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_one_that_ends_within_a_frame_is_truncated(mode, tag):
    bare = tag + stripped(intact(mode=mode))
    for lost in (1, len(bare) // 2 + 1):
        with pytest.raises(
            UndecodableError, match=r"^truncated: ends within a frame, after \d\.\d\d s$"
        ):
            decode(bare[:-lost])


def test_one_cut_within_a_header_is_truncated():
    bare = stripped(intact())
    last = bare.rindex(bare[:2])  # of the last frame
    assert not scan(bare[:last]).cut_off
    for length in (1, 2, 3, 4):
        assert scan(bare[: last + length]).cut_off


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_one_with_fewer_frames_than_stated_is_truncated(mode):
    whole = intact(mode=mode)
    with pytest.raises(UndecodableError, match=r"^truncated: \d\.\d\d s of 4\.\d\d s as its"):
        decode(whole[: len(whole) // 2])
    ten = _frame_starts(whole)[11]  # cut between two frames: only the count tells
    assert not scan(whole[:ten]).cut_off
    with pytest.raises(UndecodableError, match=r"^truncated: 0\.24 s of 4\.\d\d s as its"):
        decode(whole[:ten])


@pytest.mark.parametrize("off", [1, -1, -50, None])
def test_a_wrong_count_does_not_cut_what_is_there(off):
    whole = intact(mode="VARIABLE")
    found = scan(whole)
    stated = 0 if off is None else found.frames + off  # 0: never filled in
    at = found.count_at
    assert whole[at : at + 4] == struct.pack(">I", found.frames)
    wrong = whole[:at] + struct.pack(">I", stated) + whole[at + 4 :]
    np.testing.assert_array_equal(decode(wrong), decode(whole))


def test_a_vbri_frame_is_understood():
    whole = intact()
    bare = stripped(whole)
    frames, length = scan(whole).frames, _frame_starts(bare)[1]

    def vbri(count):
        head = bare[:4] + b"\0" * 32 + b"VBRI" + b"\0\1" + b"\0" * 8 + struct.pack(">I", count)
        return head.ljust(length, b"\0") + bare

    assert (scan(vbri(frames)).stated, scan(vbri(frames)).frames) == (frames, frames)
    np.testing.assert_array_equal(decode(vbri(frames)), decode(bare))
    with pytest.raises(UndecodableError, match="^truncated: 4"):
        decode(vbri(2 * frames))


def test_frames_after_damaged_bytes_count():
    bare = stripped(intact())
    starts = _frame_starts(bare)
    damaged = bytearray(bare)
    damaged[starts[50] : starts[50] + 2] = b"\0\0"
    assert scan(bytes(damaged)).frames == len(starts) - 1
    assert len(decode(bytes(damaged))) == pytest.approx(len(decode(bare)), abs=2 * 384)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG"])
def test_other_audio_is_no_mp3(format):
    buffer = io.BytesIO()
    sf.write(buffer, speech_like(1.0), 16_000, format=format)
    assert scan(buffer.getvalue()) is None
    assert len(decode(buffer.getvalue())) == 16_000


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"ID3",
        ID3V2,
        b"<html>404 not found</html>" * 50,
        b"\0" * 5000,
        b"\xff" * 5000,
        b"\xff\xfb\x90\x64" + b"no frame follows this one" * 100,
    ],
)
def test_what_is_not_audio_is_no_mp3(data):
    assert scan(data) is None
    with pytest.raises(UndecodableError, match="not decodable"):
        decode(data)


def test_no_beginning_and_no_noise_breaks_the_walk():
    whole = intact(16_000)
    for length in range(0, 2000, 7):
        for data in (ID3V2 + whole[:length], whole[:length], stripped(whole)[:length]):
            if (found := scan(data)) is not None:
                with_length(data, found)
    info = whole[: scan(whole).start]  # an Info frame and nothing else
    with pytest.raises(UndecodableError, match="^truncated: 0.00 s of 4"):
        decode(info)
    at = scan(whole).count_at - 4
    unfilled = info[:at] + b"\0" * 8 + info[at + 8 :]  # neither a count nor a frame
    assert with_length(unfilled, scan(unfilled)) == unfilled
    rng = np.random.default_rng(0)
    for _ in range(200):
        noise = rng.integers(0, 256, 3000, dtype=np.uint8).tobytes()
        for data in (noise, whole[:1000] + noise, whole[:4] + noise):
            if (found := scan(data)) is not None:
                with_length(data, found)


def _frame_starts(data):
    """Bytes at which the frames of a file without tags start: each prefix ends where one does."""
    starts, at = [], 0
    while at < len(data):
        starts.append(at)
        version_1, rate_index = data[at + 1] & 8, data[at + 2] >> 2 & 3
        assert (version_1, rate_index) == (8, 1)  # MPEG 1 at 48 kHz: 24 ms, 3 bytes a kbit/s
        bit_rates = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
        at += 3 * bit_rates[data[at + 2] >> 4]
    assert at == len(data)
    return starts
