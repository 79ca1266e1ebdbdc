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
from hearing_asr.config_checks import STAGES, UNMASKED, ZERO_SHOT, is_folder
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
MODELS = [ZERO_SHOT, *VARIANTS]
SHARD_COUNTS = {split["shards"] for split in config["corpus"]["splits"].values()}
DATASETS = [f"{variant}/audio" for variant in VARIANTS]
DATASETS += [f"{dataset}/logmel" for dataset in [UNMASKED, *VARIANTS]]
DATA = f"{config['data_dir']}/{config['run']}"
RESULTS = f"{config['results_dir']}/{config['run']}"
FINETUNED = f"{RESULTS}/whisper_finetuned"
TENSORBOARD = f"{FINETUNED}_{{variant}}/tensorboard"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
PLOT = config["plots"]["format"]
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
    """An output that the report shows.

    One label, never two: with a second one that splits the results in halves, Snakemake's report
    makes a switch of it and its page fails unless every pair of labels exists.
    """
    return report(
        f"{path}.{PLOT}",
        caption=f"../report/{caption}.rst",
        category=category,
        subcategory=subcategory,
        labels={"result": result},
    )


def curves(name, result):
    """A learning curve of one variant."""
    return figure(f"{TENSORBOARD}/{name}", name, "Training", result, "{variant}")


def training_keys(dataset):
    """The section `training`, for unmasked speech with what model.scratch says instead."""
    training = config["training"]
    if dataset == UNMASKED:
        scratch = config["model"]["scratch"]
        training = training | {key: scratch[key] for key in scratch if key in training}
    return training


def training_identity(dataset):
    """What makes a training another one: a change of it reruns the training.

    Snakemake leaves params that are derived from inputs or outputs, as `training_settings`, out
    of what it compares; what changes how a training runs but not its result is left out here.
    """
    keys = training_keys(dataset)
    return {key: keys[key] for key in sorted(keys.keys() - OPERATIONAL)}


def training_settings(dataset, input, output):
    """Settings of one training as JSON, for a program that is started once per GPU."""
    contents = b"".join(Path(file).read_bytes() for file in input.code)
    settings = {
        **training_keys(dataset),
        "model_folder": os.path.dirname(input.model),
        "base_model": config["model"]["checkpoint"],
        "train_folder": os.path.dirname(input.train),
        "eval_folder": os.path.dirname(input.evaluation),
        "output_folder": os.path.dirname(output[0]),
        "code": hashlib.sha256(contents).hexdigest()[:16],
        "variant": dataset,
        "audiogram": (
            config["variants"][dataset]["audiogram"] if dataset in VARIANTS else None
        ),
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
        "training": expand(f"{FINETUNED}_{{v}}/model.safetensors", v=VARIANTS),
        "evaluation": [
            f"{RESULTS}/metrics/scores.csv",
            f"{RESULTS}/metrics/wer_matrix.csv",
        ],
        "plots": [
            *[curve for variant in VARIANTS for curve in curve_targets(variant)],
            *(f"{RESULTS}/plots/training/{name}.{PLOT}" for name in COMPARED if LOGGED),
            f"{RESULTS}/corpus/corpus.{PLOT}",
            f"{RESULTS}/plots/audiograms.{PLOT}",
            f"{RESULTS}/plots/clip.{PLOT}",
            f"{RESULTS}/plots/wer_matrix.{PLOT}",
            f"{RESULTS}/plots/wer_bars.{PLOT}",
        ],
    }[stage]


def curve_targets(variant):
    """The learning curves of a variant, where its training keeps a log."""
    folder = f"{FINETUNED}_{variant}/tensorboard"
    figures = [f"{folder}/{name}.{PLOT}" for name in CURVES]
    return [*figures, f"{folder}/training_summary.txt"] if LOGGED else []


def variant_targets(variant):
    """One variant alone: its datasets, its model, its curves, and what is understood of it."""
    return [
        *dataset_files(f"{DATA}/{variant}/audio"),
        *dataset_files(f"{DATA}/{variant}/logmel"),
        f"{FINETUNED}_{variant}/model.safetensors",
        *curve_targets(variant),
        f"{RESULTS}/predictions/{ZERO_SHOT}/{variant}.parquet",
        f"{RESULTS}/predictions/{variant}/{variant}.parquet",
    ]
