"""The whole pipeline, from MP3 to three log-Mel datasets, against its transforms alone."""

import itertools
import tempfile
from functools import partial
from pathlib import Path

from benchmarks import speech
from benchmarks.common import (
    Row,
    Section,
    Stopwatch,
    best_in_turns,
    default_variants,
    milliseconds,
)

NUM_MEL_BINS = 128
WINDOW_FRAMES = 3000
SPLIT = "train"
SHUFFLE_SEED = 42


def measure(release: Path, model: Path, rounds: int) -> Section:
    """CPU time per clip of the calls that the rules make, and of the transforms in a bare loop."""
    sides = {"floor": partial(floor, release), "here": partial(here, release, model)}
    best = milliseconds(best_in_turns(sides, rounds))
    rows = [Row(f"{speech.LONG:g} s clips, MP3 of 48 kHz", best["floor"], best["here"])]
    rates = {name: f"{1000 / time:.0f} clips per second and core" for name, time in best.items()}
    note = f"  here {rates['here']}; decoding, resampling and transforms alone {rates['floor']}"
    variants = len(default_variants())
    return Section(f"Raw to log-Mel, {variants} variants: ms per clip", "floor", "here", rows, note)


def floor(release: Path) -> float:
    """Decode, resample, mask and transform; nothing is stored."""
    import torch

    from hearing_asr.audio import decode
    from hearing_asr.features import log_mel
    from hearing_asr.masking import variant_mask

    torch.set_num_threads(1)
    masks = [variant_mask(variant, name) for name, variant in default_variants().items()]
    files = speech.clip_files(release)
    watch = Stopwatch()
    with watch:
        for data in files:
            samples = decode(data)
            for mask in masks:
                log_mel(mask(samples), NUM_MEL_BINS, WINDOW_FRAMES)
    return watch.seconds / len(files)


def here(release: Path, model: Path) -> float:
    """Everything the workflow's jobs do, in a folder of its own."""
    from hearing_asr.models import load_tokenizer

    load_tokenizer(model, "en", "transcribe")  # imports are not what is measured
    watch = Stopwatch()
    with tempfile.TemporaryDirectory(dir=release.parent) as folder, watch:
        build(release, model, Path(folder))
    return watch.seconds / len(speech.clip_files(release))


def build(release: Path, model: Path, folder: Path) -> None:
    """Corpus, masked audio and log-Mel of every default variant, with the rules' library calls."""
    from hearing_asr.corpus import Limits, gather_checked, ingest_shard
    from hearing_asr.logmel import feature_spec, logmel_shard
    from hearing_asr.masking import mask_shard
    from hearing_asr.models import load_tokenizer

    def shard_of(dataset: str) -> tuple[Path, Path]:
        split = folder / dataset / SPLIT
        return split / "data-00000-of-00001.arrow", split / "rejected-00000-of-00001.tsv"

    def gather(dataset: str, rejects: bool) -> None:
        shard, rejected = shard_of(dataset)
        tables = [rejected] if rejects else []
        gather_checked(shard.parent, [shard], rejected=tables)

    table = folder / "clips.parquet"
    speech.choose(release / speech.TABLE, table, 1)
    corpus, rejected = shard_of("corpus")
    ingest_shard(table, release / "clips", 0, Limits(0.3, 30.0), corpus, rejected)
    gather("corpus", rejects=True)
    for name, variant in default_variants().items():
        audio, _ = shard_of(f"{name}/audio")
        mask_shard(corpus, audio, variant, name)
        gather(f"{name}/audio", rejects=False)
        spec = feature_spec(model, NUM_MEL_BINS, "float16")
        tokenizer = load_tokenizer(model, "en", "transcribe")
        shard, rejected = shard_of(f"{name}/logmel")
        logmel_shard(
            audio, shard, rejected, spec, lambda text, t=tokenizer: t(text).input_ids, SHUFFLE_SEED
        )
        gather(f"{name}/logmel", rejects=True)


def build_model(folder: Path) -> Path:
    """A tiny Whisper with the window and mel bins of large-v3, for its tokenizer and sizes."""
    from hearing_asr.demo_corpus import plan_clips
    from hearing_asr.scratch import build_scratch

    build_scratch(
        [clip.sentence for clip in itertools.islice(plan_clips({"train": 200}, 1), 200)],
        folder,
        num_mel_bins=NUM_MEL_BINS,
        d_model=16,
        layers=1,
        heads=1,
        window=WINDOW_FRAMES / 100,
        vocab_size=512,
        max_target_positions=448,
        language="en",
        task="transcribe",
        seed=1,
    )
    return folder
