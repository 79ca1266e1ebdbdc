# What all rules share: the checked configuration, paths, code dependencies, target lists.

import gc
import hashlib
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# A DAG is millions of objects that stay: looking for garbage among them less often saves a tenth
# of the time that planning takes.
gc.set_threshold(100_000, 50, 50)

WORKFLOW = Path(os.path.relpath(workflow.basedir)) / "workflow"
LIBRARY = WORKFLOW / "lib"
sys.path.insert(0, str(LIBRARY.resolve()))
# Programs that rules start come from the environment that Snakemake runs in (a conda environment
# of the rule goes first), and scripts import the library, whichever Python runs them.
inherited = dict(os.environ)
os.environ.update(
    PATH=os.pathsep.join([os.path.dirname(sys.executable), inherited["PATH"]]),
    PYTHONPATH=os.pathsep.join(
        filter(None, [str(LIBRARY.resolve()), inherited.get("PYTHONPATH")])
    ),
    TOKENIZERS_PARALLELISM="false",
    OMP_WAIT_POLICY="PASSIVE",  # threads that wait must not hold a core that others need
)

from hearing_asr.config import (
    load_config,
    read_layer,
    typed,
    unknown_target,
    update,
)
from hearing_asr.config_checks import SHOWN_FORMATS, STAGES, is_folder
from hearing_asr.names import MIXED, UNMASKED, ZERO_SHOT
from hearing_asr.errors import InputError
from hearing_asr.training_settings import OPERATIONAL


def config_layers():
    """What the configuration is merged from: the workflow's file, then those of the command line."""
    given = list(workflow.overwrite_configfiles)
    own = workflow.configfiles[len(given) :]
    files = [read_layer(file) for file in [*own, *given]]
    return [*files, typed(workflow.config_settings.config or {})]


try:
    layers = config_layers()
    merged = update(config, layers[-1])
    config.update(load_config(merged, layers, WORKFLOW / "schemas/config.schema.yaml"))
except InputError as error:
    raise WorkflowError(str(error))

VARIANTS = list(config["variants"])
SPLITS = list(config["corpus"]["splits"])
# What models are trained on, and their names: a further seed's model is called variant-seedN.
LEARNT = config["training"]["variants"] or VARIANTS
CONDITIONS = [*LEARNT, *([MIXED] if config["training"]["mixed"] else [])]
SEEDS = config["training"]["seeds"]
TRAINED = {
    condition if seed == SEEDS[0] else f"{condition}-seed{seed}": (condition, seed)
    for condition in CONDITIONS
    for seed in SEEDS
}
MODELS = [ZERO_SHOT, *TRAINED]
SHARD_COUNTS = {split["shards"] for split in config["corpus"]["splits"].values()}
DATASETS = [f"{variant}/audio" for variant in VARIANTS]
DATASETS += [f"{dataset}/logmel" for dataset in [UNMASKED, *VARIANTS]]
DATA = f"{config['data_dir']}/{config['run']}"
RESULTS = f"{config['results_dir']}/{config['run']}"
FINETUNED = f"{RESULTS}/whisper_finetuned"
TENSORBOARD = f"{FINETUNED}_{{model}}/tensorboard"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
FORMATS = config["plots"]["formats"]
PLOT = next(format for format in FORMATS if format in SHOWN_FORMATS)
LOGGED = config["training"]["report_to"] != "none"

EVALUATION = config["training"]["evaluation_split"]
CURVES = [
    "loss_curves",
    "learning_rate",
    "gradient_norm",
    "word_error_rate",
    "training_overview",
]
COMPARED = [
    "overview",
    "train_loss",
    "eval_loss",
    "learning_rate",
    "gradient_norm",
    "word_error_rate",
]

# Sounds of speech are known for English only.
ENGLISH = config["model"]["language"].lower() in ("en", "english")
METRICS = [
    "scores.csv",
    "wer_matrix.csv",
    "failures.csv",
    "intervals.csv",
    "comparisons.csv",
    "effects.csv",
    "groups.csv",
    "calibration.csv",
    "confidence.csv",
    "words.csv",
    *(["phonemes.csv", "phoneme_classes.csv", "phoneme_losses.csv"] if ENGLISH else []),
    "floor.csv",
    "spectrum.csv",
    "sii.csv",
]
FIGURES = [
    "audiograms",
    "clip",
    "wer_matrix",
    "wer_bars",
    *(f"groups/{variant}" for variant in VARIANTS),
    "calibration",
    *(["phoneme_classes", "phonemes"] if ENGLISH else []),
    "floor",
    "spectrum",
    "sii",
]

# MODEL is what features are made for and what training starts from: configuration, tokenizer and
# weights. BASE is the model that is fine-tuned and that zero-shot stands for: the same, unless it
# is made from scratch and must first be trained on unmasked speech.
SCRATCH = config["model"]["checkpoint"] == "scratch"
LOCAL_MODEL = not SCRATCH and is_folder(config["model"]["checkpoint"])
# The datasets of a whole run: unmasked speech is only made for a model from scratch.
BUILT = ["corpus", *(d for d in DATASETS if SCRATCH or not d.startswith(UNMASKED))]
ARCHITECTURE = (
    "d_model",
    "layers",
    "heads",
    "window",
    "vocab_size",
    "max_target_positions",
    "seed",
)
MODEL = config["model"]["checkpoint"] if LOCAL_MODEL else f"{DATA}/model"
BASE = f"{RESULTS}/whisper_base" if SCRATCH else MODEL


wildcard_constraints:
    split="|".join(SPLITS),
    shard=r"\d{5}-of-(?:" + "|".join(f"{n:05d}" for n in sorted(SHARD_COUNTS)) + ")",
    folder="|".join(["corpus", *DATASETS]),
    variant="|".join(VARIANTS),
    dataset="|".join([UNMASKED, *VARIANTS]),
    model="|".join(MODELS),
    condition="|".join(CONDITIONS),


def code(script, *modules):
    """A rule's script and the library modules it uses: an edit reruns just what depends on it."""
    library = (
        LIBRARY / "hearing_asr"
    )  # errors, files, joblog: no result depends on them
    return [str(WORKFLOW / "scripts" / f"{script}.py")] + [
        str(library / f"{module}.py") for module in modules
    ]


def shards(split):
    """The shard wildcards of a split."""
    count = config["corpus"]["splits"][split]["shards"]
    return [f"{shard:05d}-of-{count:05d}" for shard in range(count)]


def shard_files(pattern, split):
    """All shards of a split: `pattern` has {split} and {shard} to fill in."""
    return [
        pattern.replace("{split}", split).replace("{shard}", shard)
        for shard in shards(split)
    ]


def shards_of(pattern):
    """An input: all shards of the split that the wildcard says."""
    return lambda wildcards: [
        file.format(**dict(wildcards)) for file in shard_files(pattern, wildcards.split)
    ]


def dataset_files(folder):
    """A dataset whole: its shards, and what makes them one."""
    return [f"{folder}/dataset_dict.json"] + [
        file
        for split in SPLITS
        for file in shard_files(f"{folder}/{{split}}/data-{{shard}}.arrow", split)
    ]


def max_rejected(wildcards, input):
    """Judged when a split is gathered. Derived from `input`, so that raising it reruns nothing."""
    return config["corpus"]["max_rejected"]


def corpus_section(wildcards, input):
    """For the corpus card. Derived from `input`, as `max_rejected`: what changes the corpus changes
    the card's inputs as well.
    """
    return config["corpus"]


def refuse_target(wildcards):
    raise WorkflowError(unknown_target(wildcards.target, VARIANTS))


def shard_number(wildcards):
    return int(wildcards.shard.split("-")[0])


def audio_state(wildcards):
    """What must have been checked before log-Mel features of a split count."""
    states = [f"{DATA}/corpus/{wildcards.split}/state.json"]
    if wildcards.dataset != UNMASKED:
        states.append(f"{DATA}/{wildcards.dataset}/audio/{wildcards.split}/state.json")
    return states


def audio_shard(wildcards):
    """What log-Mel features are made of: masked audio, or the corpus for `unmasked`."""
    if wildcards.dataset == UNMASKED:
        return f"{DATA}/corpus/{wildcards.split}/data-{wildcards.shard}.arrow"
    return f"{DATA}/{wildcards.dataset}/audio/{wildcards.split}/data-{wildcards.shard}.arrow"


def model_weights(wildcards):
    """The weights of a model by its name in tables: zero_shot or that of a variant."""
    folder = BASE if wildcards.model == ZERO_SHOT else f"{FINETUNED}_{wildcards.model}"
    return f"{folder}/model.safetensors"


def figure(path, caption, category, result, subcategory=None):
    """A figure as output, in all formats; one of them is what the report shows.

    One label, never two: with a second one that splits the results in halves, Snakemake's report
    makes a switch of it and its page fails unless every pair of labels exists.
    """
    shown = report(
        f"{path}.{PLOT}",
        caption=f"../report/{caption}.rst",
        category=category,
        subcategory=subcategory,
        labels={"result": result},
    )
    return [shown, *figure_files(path)[1:]]


def figure_files(path):
    """A figure in all formats, the one that reports show first."""
    return [f"{path}.{PLOT}"] + [f"{path}.{f}" for f in FORMATS if f != PLOT]


def curves(name, result):
    """A learning curve of one model."""
    return figure(f"{TENSORBOARD}/{name}", name, "Training", result, "{model}")


def heard_by(model):
    """The variants that a model is trained on."""
    condition, _ = TRAINED[model]
    return LEARNT if condition == MIXED else [condition]


def logmel_states(split):
    """An input: the log-Mel datasets that a model is trained on."""
    return lambda wildcards: [
        f"{DATA}/{variant}/logmel/{split}/state.json"
        for variant in heard_by(wildcards.model)
    ]


def training_keys(model):
    """The section `training` as one model has it, for UNMASKED with what model.scratch says."""
    section = config["training"]
    training = {
        key: section[key]
        for key in section
        if key not in ("variants", "seeds", "mixed")
    }
    if model == UNMASKED:
        scratch = config["model"]["scratch"]
        known = {"seed", *training}
        return training | {key: scratch[key] for key in scratch if key in known}
    return training | {"seed": TRAINED[model][1]}


def training_identity(model):
    """What makes a training another one: a change of it reruns the training.

    Snakemake leaves params that are derived from inputs or outputs, as `training_settings`, out
    of what it compares; what changes how a training runs but not its result is left out here.
    """
    keys = training_keys(model)
    return {key: keys[key] for key in sorted(keys.keys() - OPERATIONAL)}


def training_settings(model, input, output):
    """Settings of one training as JSON, for a program that is started once per GPU."""
    contents = b"".join(Path(file).read_bytes() for file in input.code)
    heard = [] if model == UNMASKED else heard_by(model)
    settings = {
        **training_keys(model),
        "model_folder": os.path.dirname(input.model),
        "base_model": config["model"]["checkpoint"],
        "train_folders": [os.path.dirname(file) for file in input.train],
        "eval_folders": [os.path.dirname(file) for file in input.evaluation],
        "output_folder": os.path.dirname(output[0]),
        "code": hashlib.sha256(contents).hexdigest()[:16],
        "variant": UNMASKED if model == UNMASKED else TRAINED[model][0],
        "audiograms": {name: config["variants"][name]["audiogram"] for name in heard},
        "language": config["model"]["language"],
        "task": config["model"]["task"],
        "normalizer": config["evaluation"]["normalizer"],
    }
    return json.dumps(settings)


def folder_of(name):
    """A param: the folder of the input file `name`."""
    return lambda wildcards, input: os.path.dirname(input[name])


def stage_targets(stage):
    """The files that a stage is finished with."""
    return {
        "corpus": dataset_files(f"{DATA}/corpus"),
        "masking": [f for v in VARIANTS for f in dataset_files(f"{DATA}/{v}/audio")],
        "features": [f for v in VARIANTS for f in dataset_files(f"{DATA}/{v}/logmel")],
        "training": expand(f"{FINETUNED}_{{m}}/model.safetensors", m=TRAINED),
        "evaluation": [f"{RESULTS}/metrics/{name}" for name in METRICS],
        "plots": [
            *[curve for model in TRAINED for curve in curve_targets(model)],
            *[
                file
                for name in COMPARED
                if LOGGED
                for file in figure_files(f"{RESULTS}/plots/training/{name}")
            ],
            *figure_files(f"{RESULTS}/corpus/corpus"),
            *[
                file
                for name in FIGURES
                for file in figure_files(f"{RESULTS}/plots/{name}")
            ],
        ],
    }[stage]


def curve_targets(model):
    """The learning curves of a model, where its training keeps a log."""
    folder = f"{FINETUNED}_{model}/tensorboard"
    figures = [file for name in CURVES for file in figure_files(f"{folder}/{name}")]
    return [*figures, f"{folder}/training_summary.txt"] if LOGGED else []


def variant_targets(variant):
    """One variant alone: its datasets, its models, their curves, and what they understand of it."""
    models = [model for model, (name, _) in TRAINED.items() if name == variant]
    return [
        *dataset_files(f"{DATA}/{variant}/audio"),
        *dataset_files(f"{DATA}/{variant}/logmel"),
        *[f"{FINETUNED}_{model}/model.safetensors" for model in models],
        *[curve for model in models for curve in curve_targets(model)],
        *[
            f"{RESULTS}/predictions/{model}/{variant}.parquet"
            for model in [ZERO_SHOT, *models]
        ],
    ]
