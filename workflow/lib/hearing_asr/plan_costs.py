"""What things cost: sizes and rates that a plan is reckoned with, and where each is from.

What is measured is from the demo (980 clips, 0.53 h, 32 kHz MP3; two cores of a 2020s x86 server)
or from benchmarks/README.md. What is assumed says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass

CLIP_SECONDS = 5.2  # mean of Common Voice English, whose tables alone do not say
DEMO_CLIP_SECONDS = 1.94  # measured: 0.5279 h / 980 clips

# Bytes per second of speech.
MP3_RATE = 6_400  # measured: 12,213,004 bytes of 1,900 s of the demo
# Measured: 37,251 corpus, 38,344 normal, 37,839 lfloss, 22,938 hfloss. Speech with nothing above
# 4 kHz takes 23,051 (42 clips of recorded digits); 24 bit samples as such take 48,000.
FLAC_RATE = 38_000
FRAMES_PER_SECOND = 100  # of log-Mel
DTYPE_BYTES = {"float16": 2, "float32": 4}

LOGMEL_ROW = 564  # bytes of a clip's other columns; measured: 25,285,234 - 16,000 B/s, 800 clips
# Bytes of a clip in transcripts and predictions. Measured: 300 for the demo's sentences of 5 words.
PREDICTION_ROW = 400
ARCHIVE = 90e9  # bytes of the archive of Common Voice 26.0 English, about
# Ids of Common Voice English on Mozilla Data Collective: 26.0, 25.0.
ENGLISH = ("cmqim2hn800ssnr07gvmpcnwu", "cmndapwry02jnmh07dyo46mot")

WEIGHT = 4  # bytes of a parameter, saved in float32
CHECKPOINT = 3 * WEIGHT  # weights and the two moments of Adam, in float32

# CPU seconds per second of speech. benchmarks/README.md: 16.1 ms per clip of 5.2 s for the corpus
# and three times masking and features; shared out as the demo's logs share their time.
CORPUS_CPU = 0.77e-3
MASKING_CPU = 0.43e-3
FEATURES_CPU = 0.35e-3
SYNTHESIS_CPU = 10e-3  # measured: 19 s for 1,900 s of the demo
# Seconds of CPU to start a job: imports. benchmarks/README.md: 788 ms for a corpus shard; others
# measured: what the demo's jobs took beyond their work.
START_CPU = 0.8
START_CPU_OF = {
    "masking_shard": 2.0,
    "features_shard": 2.8,
    "pretrain": 6.0,
    "finetune": 6.0,
    "transcribe": 6.0,
}

GPU_FLOPS = 100e12  # per second and GPU, sustained in training; assumed
# Per second and core. benchmarks/README.md: 89.2 ms per step of 16 clips of the demo's model.
CPU_FLOPS = 54e9
TOKENS = 25  # of a sentence, of which the decoder makes one after the other; assumed
GPU_TOKEN = 25e-3  # seconds per token of a batch: the starting of kernels, not their work; assumed
CPU_TOKEN = 3e-3  # seconds per token of a batch of the demo's model; assumed
# Whether there are GPUs: FLOP per second, seconds per token.
DEVICE = {True: (GPU_FLOPS, GPU_TOKEN), False: (CPU_FLOPS, CPU_TOKEN)}

POSITIONS_PER_SECOND = 50  # of the encoder: 1,500 for Whisper's window of 30 s
WINDOW = 30.0  # seconds that every clip is padded to


def start_cpu(rule: str) -> float:
    """Seconds of CPU that a job of a rule takes before its work."""
    return START_CPU_OF.get(rule, START_CPU)


@dataclass(frozen=True)
class Whisper:
    """The shape of a Whisper model.

    Attributes:
        width: of its layers (d_model).
        encoder, decoder: number of layers.
        vocabulary: number of tokens.
        bins: mel bins.
        window: seconds that every clip is padded to.
        labels: positions of the decoder.
    """

    width: int
    encoder: int
    decoder: int
    vocabulary: int
    bins: int = 80
    window: float = WINDOW
    labels: int = 448

    @property
    def positions(self) -> int:
        """Positions of the encoder."""
        return round(self.window * POSITIONS_PER_SECOND)

    @property
    def parameters(self) -> int:
        """Number of parameters, those of the positions included."""
        d = self.width
        stem = 3 * d * (self.bins + d) + 2 * d + self.positions * d
        encoder = self.encoder * (12 * d * d + 12 * d) + 2 * d
        decoder = self.decoder * (16 * d * d + 17 * d) + 2 * d
        return stem + encoder + decoder + (self.vocabulary + self.labels) * d

    def forward(self, tokens: int) -> float:
        """FLOP of one clip: matrix products and attention, without what is small beside them."""
        d, n = self.width, self.positions
        encoder = self.encoder * (24 * d * d * n + 4 * n * n * d)
        attended = self.decoder * 4 * d * d * n  # keys and values of the encoder's positions
        decoder = tokens * (self.decoder * 28 * d * d + 2 * self.vocabulary * d)
        return float(encoder + attended + decoder)

    def training(self, tokens: int, recompute: bool) -> float:
        """FLOP of one clip, forward and backward: three times forward, four with recomputing."""
        return (4 if recompute else 3) * self.forward(tokens)


# As the models' config.json on the Hugging Face Hub say.
WHISPERS: Mapping[str, Whisper] = {
    "tiny": Whisper(384, 4, 4, 51_865),
    "tiny.en": Whisper(384, 4, 4, 51_864),
    "base": Whisper(512, 6, 6, 51_865),
    "base.en": Whisper(512, 6, 6, 51_864),
    "small": Whisper(768, 12, 12, 51_865),
    "small.en": Whisper(768, 12, 12, 51_864),
    "medium": Whisper(1024, 24, 24, 51_865),
    "medium.en": Whisper(1024, 24, 24, 51_864),
    "large": Whisper(1280, 32, 32, 51_865),
    "large-v2": Whisper(1280, 32, 32, 51_865),
    "large-v3": Whisper(1280, 32, 32, 51_866, 128),
    "large-v3-turbo": Whisper(1280, 32, 4, 51_866, 128),
}
