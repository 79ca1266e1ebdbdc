"""What a run will take: clips, disk, time, jobs; from the configuration, before anything is there.

Everything follows from a `Study`, which holds the configuration and the number of clips per split.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hearing_asr import plan_costs as costs
from hearing_asr.archive import is_archive
from hearing_asr.config_checks import is_folder
from hearing_asr.plan_clips import HOUR, Speech, count_clips
from hearing_asr.plan_costs import Whisper

HUB_CACHE = "hub cache"  # folder of downloads; neither data_dir nor results_dir


@dataclass(frozen=True)
class Disk:
    """What a stage writes.

    Attributes:
        stage: its name.
        folder: data_dir, results_dir or HUB_CACHE.
        size: bytes; None: unknown.
    """

    stage: str
    folder: str
    size: float | None


@dataclass(frozen=True)
class Hours:
    """CPU and GPU hours of a stage; None: unknown."""

    stage: str
    cpu: float | None
    gpu: float | None


@dataclass(frozen=True)
class Study:
    """A run: its checked configuration, the clips of its splits, its model.

    Attributes:
        config: as `config.load_config` returns it.
        kind: demo, folder, missing (a folder that is not there), archive, mdc or hub.
        splits: the clips of each split.
        model: None for a model of the hub whose size is unknown.
    """

    config: Mapping
    kind: str
    splits: Mapping[str, Speech]
    model: Whisper | None

    @property
    def scratch(self) -> bool:
        """Whether the model is made here."""
        return self.config["model"]["checkpoint"] == "scratch"

    @property
    def variants(self) -> int:
        """Number of variants."""
        return len(self.config["variants"])

    @property
    def english(self) -> bool:
        """Whether sounds of speech are analysed: there is a pronouncing dictionary for English."""
        return self.config["model"]["language"].lower() in ("en", "english")

    @property
    def trained(self) -> int:
        """Number of models that are fine-tuned: one per variant, and mixed, and seed."""
        training = self.config["training"]
        learnt = len(training["variants"] or self.config["variants"])
        return (learnt + training["mixed"]) * len(training["seeds"])

    @property
    def seconds(self) -> float:
        """Seconds of speech, all splits together."""
        return HOUR * sum(speech.hours for speech in self.splits.values())

    @property
    def clips(self) -> int:
        """Number of clips, all splits together."""
        return sum(speech.clips for speech in self.splits.values())


def study(config: Mapping, data: str, guess: Mapping[str, int]) -> Study:
    """Everything that a plan follows from.

    Args:
        config: as `config.load_config` returns it.
        data: the run's folder of datasets.
        guess: clips of the tables of Common Voice English, where nothing else is known.
    """
    kind = source_kind(config["corpus"])
    release = config["corpus"]["release"] if kind == "folder" else f"{data}/release"
    splits = {
        split: count_clips(split, config["corpus"], Path(data), Path(release), guess)
        for split in config["corpus"]["splits"]
    }
    return Study(config, kind, splits, model_shape(config))


def source_kind(corpus: Mapping) -> str:
    """What `Study.kind` says, from the section `corpus`."""
    if corpus["source"] != "release":
        return corpus["source"]
    if is_archive(corpus["release"]):
        return "archive"
    return "folder" if Path(corpus["release"]).exists() else "missing"


def model_shape(config: Mapping) -> Whisper | None:
    """The shape of the configured model; None: a model of the hub that is not in the table."""
    model, bins = config["model"], config["features"]["num_mel_bins"]
    checkpoint, scratch = model["checkpoint"], model["scratch"]
    if checkpoint == "scratch":
        layers, labels = scratch["layers"], scratch["max_target_positions"]
        width, vocabulary = scratch["d_model"], scratch["vocab_size"]
        return Whisper(width, layers, layers, vocabulary, bins, scratch["window"], labels)
    if is_folder(checkpoint):
        spec = json.loads((Path(checkpoint) / "config.json").read_text())
        return Whisper(
            width=spec["d_model"],
            encoder=spec["encoder_layers"],
            decoder=spec["decoder_layers"],
            vocabulary=spec["vocab_size"],
            bins=spec["num_mel_bins"],
            window=spec["max_source_positions"] / costs.POSITIONS_PER_SECOND,
            labels=spec["max_target_positions"],
        )
    return costs.WHISPERS.get(checkpoint.removeprefix("openai/whisper-"))


def job_counts(study: Study) -> dict[str, int]:
    """Jobs of each rule that the target `all` has when nothing is there, in the order of the data.

    Rules without jobs are left out.
    """
    config, kind, variants = study.config, study.kind, study.variants
    splits = config["corpus"]["splits"]
    shards = sum(split["shards"] for split in splits.values())
    streamed = kind in ("archive", "mdc", "hub")
    logmels, trained = variants + study.scratch, study.trained
    logged = config["training"]["report_to"] != "none"
    hub_model = not study.scratch and not is_folder(config["model"]["checkpoint"])
    counts = {
        "demo_release": kind == "demo",
        "release": kind == "missing",
        "download_release": kind == "mdc",
        "release_tables": kind in ("archive", "mdc"),
        "hub_tables": kind == "hub",
        "clip_table": len(splits),
        "check_splits": 1,
        "corpus_stream": streamed,
        "corpus_shard": 0 if streamed else shards,
        "corpus_gather": len(splits),
        "masking_shard": variants * shards,
        "masking_gather": variants * len(splits),
        "scratch_model": study.scratch,
        "download_model": hub_model,
        "features_shard": logmels * shards,
        "features_gather": logmels * len(splits),
        "dataset_dict": 1 + variants + logmels,
        "pretrain": study.scratch,
        "finetune": trained,
        "transcribe": (trained + 1) * variants,
        "score_clips": (trained + 1) * variants,
        "score": 1,
        "compare": 1,
        "clip_facts": 1,
        "groups": 1,
        "calibration": 1,
        "words": 1,
        "phonemes": study.english,
        "information": 1,
        "plot_corpus": 1,
        "plot_training": trained * logged,
        "plot_training_comparison": logged,
        "plot_audiograms": 1,
        "plot_clip": 1,
        "plot_scores": 1,
        "plot_groups": 1,
        "plot_calibration": 1,
        "plot_phonemes": study.english,
        "plot_information": 1,
        "plot_usage": 1,
        "write_report": 1,
        "all": 1,
    }
    return {rule: int(count) for rule, count in counts.items() if count}


def job_bytes(study: Study, rule: str, split: str | None = None) -> Disk | None:
    """What one job of a rule writes; None for jobs that write next to nothing.

    Args:
        study: the run.
        rule: name of the rule.
        split: of the job, for rules that work on one shard.
    """
    corpus = study.config["corpus"]
    part = Speech(study.clips, study.seconds / HOUR, "")
    if rule in ("corpus_shard", "masking_shard", "features_shard"):
        speech, shards = study.splits[split], corpus["splits"][split]["shards"]
        part = Speech(speech.clips / shards, speech.hours / shards, "")
    flac = part.hours * HOUR * costs.FLAC_RATE
    parameters = study.model.parameters if study.model else None
    if rule in ("demo_release", "download_release", "hub_tables"):
        folder = HUB_CACHE if rule == "hub_tables" else "data_dir"
        return Disk("download", folder, _download(study))
    if rule in ("corpus_shard", "corpus_stream"):
        return Disk("corpus", "data_dir", flac)
    if rule == "masking_shard":
        return Disk("masked audio", "data_dir", flac)
    if rule == "features_shard":
        return Disk("log-Mel", "data_dir", _logmel(study, part))
    if rule in ("download_model", "scratch_model"):
        return Disk("base model", "data_dir", parameters and parameters * costs.WEIGHT)
    if rule in ("pretrain", "finetune"):
        kept = _checkpoints(study, rule)
        per_weight = costs.WEIGHT + kept * costs.CHECKPOINT
        return Disk("models and checkpoints", "results_dir", parameters and parameters * per_weight)
    if rule == "transcribe":
        rows = study.splits["test"].clips
        return Disk("predictions", "results_dir", rows * costs.PREDICTION_ROW)
    return None


def _download(study: Study) -> float:
    if study.kind == "mdc":
        return costs.ARCHIVE
    if study.kind == "demo" or (study.kind == "hub" and not _streamed_from_hub(study)):
        return study.seconds * costs.MP3_RATE
    return 0


def _streamed_from_hub(study: Study) -> bool:
    hub = study.config["corpus"]["hub"]
    return hub["streaming"] or is_folder(hub["dataset"])


def _logmel(study: Study, speech: Speech) -> float:
    features = study.config["features"]
    frame = features["num_mel_bins"] * costs.DTYPE_BYTES[features["dtype"]]
    frames = speech.hours * HOUR * costs.FRAMES_PER_SECOND
    return frames * frame + speech.clips * costs.LOGMEL_ROW


def _checkpoints(study: Study, rule: str) -> int:
    """Most checkpoints that a training has at a time: one is deleted when the next is complete."""
    training = training_keys(study, rule)
    saved = math.ceil(training["max_steps"] / training["save_steps"])
    limit = training["save_total_limit"]
    return saved if limit is None else min(saved, limit + 1)


def training_keys(study: Study, rule: str) -> Mapping:
    """The section `training`; for pretraining with what `model.scratch` says instead."""
    training, scratch = study.config["training"], study.config["model"]["scratch"]
    if rule == "finetune":
        return training
    return {**training, **{key: scratch[key] for key in scratch if key in training}}


def disk(study: Study) -> list[Disk]:
    """Disk per stage in bytes, all jobs together, in the order of the data."""
    total: dict[tuple[str, str], float | None] = {}
    splits = study.config["corpus"]["splits"]
    for rule, count in job_counts(study).items():
        shared = not rule.endswith("_shard")
        parts = [(None, count)] if shared else _per_split(splits, count)
        for split, jobs in parts:
            written = job_bytes(study, rule, split)
            if written is None:
                continue
            key = (written.stage, written.folder)
            before = total.get(key, 0.0)
            unknown = written.size is None or before is None
            total[key] = None if unknown else before + jobs * written.size
    return [Disk(stage, folder, size) for (stage, folder), size in total.items()]


def _per_split(splits: Mapping, jobs: int) -> list[tuple[str, int]]:
    shards = sum(split["shards"] for split in splits.values())
    return [(name, jobs * split["shards"] // shards) for name, split in splits.items()]


def hours(study: Study) -> list[Hours]:
    """CPU and GPU hours per stage, in the order of the data, plots left out.

    Where a training has GPUs, its CPU hours are those of the cores that it keeps to itself.
    """
    counts = job_counts(study)

    def stage(name: str, rate: float, *rules: str) -> Hours:
        starts = sum(counts.get(rule, 0) * costs.start_cpu(rule) for rule in rules)
        return Hours(name, (rate * study.seconds + starts) / HOUR, 0.0)

    corpus = costs.CORPUS_CPU + (costs.SYNTHESIS_CPU if study.kind == "demo" else 0)
    masking = study.variants * costs.MASKING_CPU
    features = (study.variants + study.scratch) * costs.FEATURES_CPU
    return [
        stage("corpus", corpus, "clip_table", "corpus_shard", "corpus_stream", "corpus_gather"),
        stage("masking", masking, "masking_shard", "masking_gather"),
        stage("features", features, "features_shard", "features_gather"),
        _training_hours(study),
        _evaluation_hours(study),
    ]


def _training_hours(study: Study) -> Hours:
    config, gpus = study.config["training"], study.config["training"]["num_gpus"]
    if study.model is None:
        return Hours("training", None, None)
    seconds = study.trained * _training_seconds(study, training_keys(study, "finetune"))
    if study.scratch:
        seconds += _training_seconds(study, training_keys(study, "pretrain"))
    if not gpus:
        jobs = study.trained + study.scratch
        return Hours("training", (seconds + jobs * costs.start_cpu("finetune")) / HOUR, 0.0)
    return Hours("training", seconds / gpus * config["num_cpus"] / HOUR, seconds / HOUR)


def _training_seconds(study: Study, training: Mapping) -> float:
    """Seconds that one GPU, or one core, would take for a training and its evaluations."""
    gpus, tokens = training["num_gpus"], min(costs.TOKENS, study.model.labels)
    per_step = training["train_batch_size"] * training["gradient_accumulation"] * max(gpus, 1)
    flop = study.model.training(tokens, recompute=training["gradient_checkpointing"])
    rate, _ = costs.DEVICE[bool(gpus)]
    clips = study.splits[training["evaluation_split"]].clips
    clips = min(clips, training["evaluation_clips"] or clips)
    evaluated = _generation_seconds(study, clips, training["eval_batch_size"], training)
    evaluations = training["max_steps"] // training["eval_steps"]
    return training["max_steps"] * per_step * flop / rate + evaluations * evaluated


def _generation_seconds(study: Study, clips: int, batch: int, keys: Mapping) -> float:
    """Seconds that one GPU, or one core, would take to transcribe `clips`."""
    gpus = study.config["training"]["num_gpus"]
    rate, per_token = costs.DEVICE[bool(gpus)]
    tokens = min(costs.TOKENS, keys["generation_max_length"])
    flop = clips * study.model.forward(tokens * keys.get("num_beams", 1))
    return flop / rate + math.ceil(clips / batch) * tokens * per_token


def _evaluation_hours(study: Study) -> Hours:
    keys, gpus = study.config["evaluation"], study.config["training"]["num_gpus"]
    if study.model is None:
        return Hours("evaluation", None, None)
    jobs = job_counts(study)["transcribe"]
    clips = study.splits["test"].clips
    seconds = jobs * _generation_seconds(study, clips, keys["batch_size"], keys)
    if not gpus:
        return Hours("evaluation", (seconds + jobs * costs.start_cpu("transcribe")) / HOUR, 0.0)
    return Hours("evaluation", seconds * keys["num_cpus"] / HOUR, seconds / HOUR)
