"""The frames of an MP3 file: how many there are, how many its header states, whether all are whole.

libsndfile believes an Info (or Xing) frame for the length of an MP3. Where there is none it guesses
from the size of the file and the bit rate of the first frame, tags included, and reads no further
than its guess. Common Voice has clips like that (ffmpeg into a pipe writes no Info frame), so the
frames are counted here and an Info frame with the count is put in front.
"""

import struct
from dataclasses import dataclass

# kbit/s of layer III by index: ISO/IEC 11172-3 section 2.4.2.3, and 13818-3 section 2.4.2.3 for the
# low sampling frequencies. Index 0 (free format) is not supported, index 15 is forbidden.
_BIT_RATES_1 = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_BIT_RATES_2 = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = (44_100, 48_000, 32_000)  # Hz in MPEG 1; MPEG 2 has the half, MPEG 2.5 a quarter
# The second byte of a header of layer III, its protection bit set: (divisor of the rate, bit rates,
# samples per frame).
_VERSIONS = {
    0xFB: (1, _BIT_RATES_1, 1152),  # MPEG 1
    0xF3: (2, _BIT_RATES_2, 576),  # MPEG 2
    0xE3: (4, _BIT_RATES_2, 576),  # MPEG 2.5
}
_INFO_FRAME = 192  # bytes: what mpg123 wants (120 and the side information), and a bit rate has


def _frame_lengths(divisor: int, bit_rates: tuple, samples: int, rate_index: int) -> list[int]:
    """Bytes of a frame by the upper 7 bits of a header's third byte; 0: no such header."""
    lengths = [0] * 128
    for index, bit_rate in enumerate(bit_rates, start=1):
        length = samples // 8 * bit_rate * 1000 // (_RATES[rate_index] // divisor)
        for padding in (0, 1):
            lengths[index << 3 | rate_index << 1 | padding] = length + padding
    return lengths


_LENGTHS = {
    (second, index): _frame_lengths(*version, index)
    for second, version in _VERSIONS.items()
    for index in range(len(_RATES))
}


@dataclass(frozen=True)
class Mp3:
    """What the frame headers of an MP3 file say."""

    frames: int  # whole audio frames that are there (the Info frame is none)
    stated: int | None  # audio frames by the Xing, Info or VBRI frame, if it says
    cut_off: bool  # the file ends within a frame
    samples_per_frame: int
    sample_rate: int  # Hz
    start: int  # byte of the first audio frame
    count_at: int | None  # byte of the count in the Xing or Info frame, if it has one


def scan(data: bytes) -> Mp3 | None:
    """Walk over the frame headers of an MP3 file.

    The walk skips ID3v2 tags, ends at an ID3v1 or APE tag or at bytes that no frames follow, and
    goes on after damaged bytes that frames do follow. A file cut exactly between two frames can be
    told only from what its Info frame states.

    Args:
        data: the file's bytes.

    Returns:
        What it found; None where the data are not MPEG audio layer III, or are in free format.
    """
    first = _skip_id3v2(data)
    if len(data) < first + 4 or data[first] != 0xFF:
        return None
    second, rate_index = data[first + 1] | 1, data[first + 2] >> 2 & 3
    lengths = _LENGTHS.get((second, rate_index))
    if lengths is None or not (length := lengths[data[first + 2] >> 1]):
        return None
    if not _goes_on(data, first + length, second, lengths):
        return None

    divisor, _, samples = _VERSIONS[second]
    header, stated, count_at = _info(data[first : first + length])
    start = first + length if header and first + length <= len(data) else first
    frames, cut_off = _walk(data, start, second, lengths)
    return Mp3(
        frames=frames,
        stated=stated,
        cut_off=cut_off,
        samples_per_frame=samples,
        sample_rate=_RATES[rate_index] // divisor,
        start=start,
        count_at=None if count_at is None else first + count_at,
    )


def with_length(data: bytes, mp3: Mp3) -> bytes:
    """The file with an Info frame that states the frames that are there.

    Args:
        data: the file's bytes.
        mp3: what `scan` found in them.

    Returns:
        The same bytes where the count is right already or there is no frame, else those with the
        count set right, else (no Xing or Info frame that counts) a new Info frame and the audio,
        without the tag before. Of such a file mpg123 drops the delay of its decoder, 529 samples.
    """
    if not mp3.frames:
        return data
    if mp3.count_at is not None:
        if mp3.stated == mp3.frames:
            return data
        count = struct.pack(">I", mp3.frames)
        return data[: mp3.count_at] + count + data[mp3.count_at + 4 :]
    second, third, mode = data[mp3.start + 1] | 1, data[mp3.start + 2], data[mp3.start + 3]
    lengths = _LENGTHS[second, third >> 2 & 3]
    third &= 0x0C  # the sampling frequency
    third |= next(i for i in range(1, 15) if lengths[i << 3 | third >> 1] >= _INFO_FRAME) << 4
    info = bytes([0xFF, second, third, mode]) + bytes(_side_information(second, mode))
    info += b"Info" + struct.pack(">II", 1, mp3.frames)
    return info.ljust(lengths[third >> 1], b"\0") + data[mp3.start :]


def _skip_id3v2(data: bytes) -> int:
    """The byte after the ID3v2 tags (id3.org, "ID3v2.4.0 main structure") and zeros after them."""
    at = 0
    while data[at : at + 3] == b"ID3" and len(data) >= at + 10:
        flags, a, b, c, d = data[at + 5 : at + 10]
        at += 10 + ((a & 0x7F) << 21 | (b & 0x7F) << 14 | (c & 0x7F) << 7 | d & 0x7F)
        at += 10 if flags & 0x10 else 0  # a footer
        while data[at : at + 1] == b"\0":
            at += 1
    return at


def _goes_on(data: bytes, at: int, second: int, lengths: list[int]) -> bool:
    """Whether a frame may end at this byte: another follows, or a tag, or zeros, or nothing."""
    following = data[at : at + 4]
    if len(following) < 4 or following in (b"\0\0\0\0", b"APET") or following[:3] == b"TAG":
        return True
    return following[0] == 0xFF and following[1] | 1 == second and lengths[following[2] >> 1] > 0


def _walk(data: bytes, at: int, second: int, lengths: list[int]) -> tuple[int, bool]:
    """The whole frames from this byte on, and whether the data end within another."""
    frames, last = 0, len(data) - 4
    while True:
        while (
            at <= last
            and data[at] == 0xFF
            and data[at + 1] | 1 == second
            and (length := lengths[data[at + 2] >> 1])
        ):
            at += length
            frames += 1
        if at > len(data):
            return frames - 1, True
        if at > last:
            return frames, data[at : at + 1] == b"\xff"  # within a header
        if data[at : at + 3] == b"TAG" or data[at : at + 8] == b"APETAGEX":
            return frames, False
        # Damaged bytes: on to the next two frames of the kind, if there are any.
        while (at := data.find(b"\xff", at + 1, last)) >= 0:
            length = lengths[data[at + 2] >> 1] if data[at + 1] | 1 == second else 0
            after = at + length
            if length and after <= last and data[after] == 0xFF and data[after + 1] | 1 == second:
                break
        else:
            return frames, False


def _side_information(second: int, mode: int) -> int:
    """Bytes of side information, which an Info frame leaves empty."""
    mono = mode >> 6 == 3
    if second == 0xFB:
        return 17 if mono else 32
    return 9 if mono else 17


def _info(frame: bytes) -> tuple[bool, int | None, int | None]:
    """Whether a frame is a Xing, Info or VBRI frame, the count it states, and the byte of that.

    The byte is None for VBRI, which mpg123 does not know.
    """
    at = 4 + _side_information(frame[1] | 1, frame[3])
    if frame[at : at + 4] in (b"Xing", b"Info"):
        if len(frame) < at + 12 or not frame[at + 7] & 1:
            return True, None, None
        (count,) = struct.unpack_from(">I", frame, at + 8)
        return True, count or None, at + 8  # 0: the encoder never came back to fill it in
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        return True, struct.unpack_from(">I", frame, 50)[0] or None, None
    return False, None, None
