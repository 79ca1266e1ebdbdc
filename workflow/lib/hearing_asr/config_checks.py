"""What no schema can see in a configuration: keys that contradict one another, or the world."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from hearing_asr.archive import is_archive
from hearing_asr.errors import InputError
from hearing_asr.names import MIXED, UNMASKED, ZERO_SHOT

SHOWN_FORMATS = ("png", "svg", "jpg")  # of figures, that browsers show as images
STAGES = ("corpus", "masking", "features", "training", "evaluation", "plots")
RULES = (
    "all calibration check_splits clip_facts clip_table compare corpus_gather corpus_shard "
    "corpus_stream dataset_dict "
    "demo_release download_model download_release features_gather features_shard finetune "
    "groups hub_tables information masking_gather masking_shard phonemes plan plot_audiograms "
    "plot_calibration plot_clip plot_corpus plot_groups plot_information plot_phonemes "
    "plot_scores plot_training plot_training_comparison plot_usage pretrain release "
    "release_tables score score_clips scratch_model words write_report transcribe unknown_target"
).split()
RESERVED = (UNMASKED, ZERO_SHOT, MIXED, "base", "model", "clips", *STAGES, *RULES)
LARGE_V3 = ("openai/whisper-large-v3", "openai/whisper-large-v3-turbo")  # 128 mel bins


def mistakes(config: Mapping) -> Iterable[str]:
    """What no schema can see: keys that contradict one another, or the world."""
    yield from _corpus_mistakes(config["corpus"])
    yield from _variant_mistakes(config["variants"])
    yield from _model_mistakes(config)
    yield from _training_mistakes(config)
    yield from _evaluation_mistakes(config)


def _corpus_mistakes(corpus: Mapping) -> Iterable[str]:
    if corpus["min_duration"] >= corpus["max_duration"]:
        yield (
            f"- corpus.min_duration: {corpus['min_duration']:g} s is not less than "
            f"corpus.max_duration = {corpus['max_duration']:g} s"
        )
    for name, split in corpus["splits"].items():
        clips = split["max_clips"]
        if corpus["source"] == "demo":
            clips = min(clips or corpus["demo"]["clips"][name], corpus["demo"]["clips"][name])
        if clips is not None and clips < split["shards"]:
            yield (
                f"- corpus.splits.{name}.shards: {split['shards']} shards for {clips} clips; set "
                f"at most {clips}"
            )
    yield from _selection_mistakes(corpus)
    yield from SOURCE_MISTAKES[corpus["source"]](corpus)
    archive = corpus["source"] == "mdc" or is_archive(str(corpus["release"]))
    if corpus["sha256"] is not None and not (archive and corpus["source"] in ("mdc", "release")):
        yield "- corpus.sha256: there is no archive that it could be of; set it to null"


def _selection_mistakes(corpus: Mapping) -> Iterable[str]:
    limited = [
        f"corpus.splits.{name}.{key}"
        for name, split in corpus["splits"].items()
        for key in ("max_clips", "max_hours")
        if split[key] is not None
    ]
    if corpus["clip_list"] is not None:
        if not Path(corpus["clip_list"]).is_file():
            yield f"- corpus.clip_list: {corpus['clip_list']}: no such file"
        if limited:
            yield (
                f"- corpus.clip_list: it says which clips are taken, and so does {limited[0]}; set "
                "one of them to null"
            )
    elif corpus["stratify_by_speaker"] and not limited:
        yield (
            "- corpus.stratify_by_speaker: true, but all clips are taken; set max_clips or "
            "max_hours of a split, or set it to false"
        )
    fewest, most = (corpus["filters"][f"{end}_characters"] for end in ("min", "max"))
    if fewest is not None and most is not None and fewest > most:
        yield (
            f"- corpus.filters.min_characters: {fewest} is more than "
            f"corpus.filters.max_characters = {most}"
        )


def _no_mistakes(corpus: Mapping) -> Iterable[str]:
    return ()


def _release_mistakes(corpus: Mapping) -> Iterable[str]:
    release = corpus["release"]
    if release is None:
        yield (
            "- corpus.release: null, but corpus.source is release. Set it to the archive of a "
            "Common Voice release (.tar.gz), or to the folder it was extracted to, such as "
            ".../cv-corpus-26.0-2026-06-12/en"
        )
    elif Path(release).is_file() and not is_archive(release):
        yield f"- corpus.release: {release} is neither a folder nor an archive (.tar.gz)"
    elif Path(release).is_dir():  # a dry run works without it; a job tells a real one
        from hearing_asr.release import check_release

        tables = {*corpus["splits"], corpus["train_from"]}
        try:
            check_release(release, sorted(tables))
        except InputError as error:
            yield f"- {error}"


def _mdc_mistakes(corpus: Mapping) -> Iterable[str]:
    if corpus["mdc"]["dataset"] is None:
        yield (
            "- corpus.mdc.dataset: null, but corpus.source is mdc. Set it to the id or the slug "
            "of the dataset, as its page on Mozilla Data Collective shows it"
        )


def _hub_mistakes(corpus: Mapping) -> Iterable[str]:
    hub = corpus["hub"]
    if hub["dataset"] is None:
        yield (
            "- corpus.hub.dataset: null, but corpus.source is hub. Set it to a dataset "
            "(owner/name) or to a local folder of parquet files"
        )
    elif is_folder(hub["dataset"]):
        if hub["revision"] is not None:
            yield "- corpus.hub.revision: a local folder has no revisions; set it to null"
    elif hub["dataset"].count("/") != 1:
        yield (
            f"- corpus.hub.dataset: {hub['dataset']!r} is neither a folder nor a hub id with its "
            "owner, as owner/name"
        )
    if corpus["train_from"] != "train":
        yield (
            "- corpus.train_from: validated, but a dataset of the hub has no such table; set it "
            "to train, and corpus.hub.splits.train to the split you mean"
        )


SOURCE_MISTAKES = {
    "demo": _no_mistakes,
    "release": _release_mistakes,
    "mdc": _mdc_mistakes,
    "hub": _hub_mistakes,
}


def _variant_mistakes(variants: Mapping) -> Iterable[str]:
    from hearing_asr.audiograms import Audiogram

    for name, variant in variants.items():
        if name in RESERVED:
            yield f"- variants.{name}: the name is taken by the workflow; choose another one"
        try:
            Audiogram.from_config(variant["audiogram"], f"variants.{name}.audiogram")
        except InputError as error:
            yield f"- {error}"


def _model_mistakes(config: Mapping) -> Iterable[str]:
    model, bins = config["model"], config["features"]["num_mel_bins"]
    checkpoint, scratch = model["checkpoint"], model["scratch"]
    expected, english_only = None, checkpoint.endswith(".en")
    if checkpoint == "scratch":
        if scratch["d_model"] % scratch["heads"]:
            yield (
                f"- model.scratch.d_model: {scratch['d_model']} is not a multiple of "
                f"model.scratch.heads = {scratch['heads']}"
            )
        elif scratch["d_model"] % 2:
            yield f"- model.scratch.d_model: {scratch['d_model']} must be even"
        if scratch["max_steps"] <= scratch["warmup_steps"]:
            yield "- model.scratch.warmup_steps: must be less than model.scratch.max_steps"
    elif is_folder(checkpoint):
        from hearing_asr.models import whisper_config

        try:
            spec = whisper_config(checkpoint)
            expected, english_only = spec.num_mel_bins, not spec.is_multilingual
        except InputError as error:
            yield f"- model.checkpoint: {error}"
    elif "/" not in checkpoint:
        yield (
            f"- model.checkpoint: {checkpoint!r} is neither scratch, nor a folder, nor a hub id "
            f"with its owner, as openai/{checkpoint}"
        )
    elif checkpoint.startswith("openai/whisper-"):
        expected = 128 if checkpoint in LARGE_V3 else 80
    if expected not in (None, bins):
        yield (
            f"- features.num_mel_bins: {bins}, but {checkpoint} wants {expected}; set it to "
            f"{expected}"
        )
    if english_only and (model["language"], model["task"]) != ("en", "transcribe"):
        yield (
            f"- model.language: {checkpoint} is an English-only model; set model.language to en "
            "and model.task to transcribe, or choose another checkpoint"
        )
    if model["task"] == "translate" and model["language"].lower() not in ("en", "english"):
        yield (
            f"- model.task: translate writes English, but the sentences are in "
            f"{model['language']}: no error rate could be formed; set it to transcribe"
        )
    if config["evaluation"]["normalizer"] == "english" and model["language"] != "en":
        yield (
            f"- evaluation.normalizer: english, but model.language is {model['language']}; choose "
            "basic, simple or none"
        )


def _training_mistakes(config: Mapping) -> Iterable[str]:
    training, model = config["training"], config["model"]
    if training["evaluation_split"] == "test":
        yield (
            "- training.evaluation_split: test is what is reported, so nothing may be chosen by "
            "it; set dev"
        )
    unknown = [name for name in training["variants"] or () if name not in config["variants"]]
    if unknown:
        yield (
            f"- training.variants: {', '.join(unknown)} is not among the variants; choose of "
            f"{', '.join(config['variants'])}, or null for all"
        )
    decays = training["lr_scheduler_type"] != "constant"
    if decays and training["warmup_steps"] >= training["max_steps"]:
        yield (
            f"- training.warmup_steps: {training['warmup_steps']} is not less than "
            f"training.max_steps = {training['max_steps']}"
        )
    if training["num_gpus"] == 0 and training["precision"] in ("fp16", "bf16"):
        yield (
            f"- training.precision: {training['precision']} needs a GPU, but training.num_gpus is "
            "0; set auto or fp32"
        )
    if model["checkpoint"] == "scratch":
        positions = model["scratch"]["max_target_positions"]
        for stage in ("training", "evaluation"):
            if config[stage]["generation_max_length"] > positions:
                yield (
                    f"- {stage}.generation_max_length: more than "
                    f"model.scratch.max_target_positions = {positions}"
                )


def _evaluation_mistakes(config: Mapping) -> Iterable[str]:
    evaluation = config["evaluation"]
    reference, variants = evaluation["reference"], list(config["variants"])
    if reference is not None and reference not in variants:
        yield (
            f"- evaluation.reference: {reference} is not a variant; choose one of "
            f"{', '.join(variants)}, or null for the first"
        )
    if evaluation["temperature"] and evaluation["num_beams"] > 1:
        yield (
            f"- evaluation.temperature: {evaluation['temperature']:g} draws tokens at random, "
            f"which evaluation.num_beams = {evaluation['num_beams']} does not; set one of them to "
            "0 or 1"
        )
    formats = config["plots"]["formats"]
    if not set(formats) & set(SHOWN_FORMATS):
        yield (
            f"- plots.formats: {', '.join(formats)} is in no report; add one of "
            f"{', '.join(SHOWN_FORMATS)}"
        )


def is_folder(checkpoint: str) -> bool:
    """Whether a checkpoint is meant as a local folder rather than as a hub id.

    A hub id is `owner/name`; what exists here, or looks like a path, is a folder.
    """
    return (
        Path(checkpoint).is_dir()
        or checkpoint.startswith((".", "/", "~"))
        or (checkpoint.count("/") > 1)
    )
