"""Log-Mel features: `WhisperFeatureExtractor` per clip against `hearing_asr.features`."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import soundfile

from benchmarks.common import Row, Section, Stopwatch, best_in_turns, milliseconds
from benchmarks.speech import Recordings
from hearing_asr.audio import SAMPLE_RATE, decode_flac
from hearing_asr.shards import read_shard

PROMISED = 12
WINDOW_FRAMES = 3000  # 30 s, of Whisper as released


def measure(recordings: Sequence[Recordings], rounds: int) -> Section:
    """CPU time per clip; decoding the clips is left out."""
    rows = []
    for clips in recordings:
        for bins in (128, 80):
            sides = {
                "script": partial(script, clips.files, bins),
                "here": partial(here, clips.shard, bins),
            }
            best = milliseconds(best_in_turns(sides, rounds))
            what = f"{clips.duration:.1f} s clips, {bins} mel bins"
            rows.append(Row(what, best["script"], best["here"], PROMISED))
    return Section("Log-Mel features: ms per clip", "transformers", "here", rows)


def script(files: Path, bins: int) -> float:
    """What a script calls: the feature extractor on one clip, which pads it to 30 s."""
    import torch
    from transformers import WhisperFeatureExtractor

    torch.set_num_threads(1)
    extractor = WhisperFeatureExtractor(feature_size=bins)
    paths = sorted(files.iterdir())
    watch = Stopwatch()
    for path in paths:
        samples, _ = soundfile.read(path, dtype="float32")
        with watch:
            extractor(samples, sampling_rate=SAMPLE_RATE).input_features[0]
    return watch.seconds / len(paths)


def here(shard: Path, bins: int) -> float:
    """The valid frames through the library, on rows of the corpus."""
    import torch

    from hearing_asr.features import log_mel

    torch.set_num_threads(1)
    watch = Stopwatch()
    clips = 0
    for row in read_shard(shard):
        samples = decode_flac(row["audio"]["bytes"], row["scale"])
        with watch:
            log_mel(samples, bins, WINDOW_FRAMES)
        clips += 1
    return watch.seconds / clips
