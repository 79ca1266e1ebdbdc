"""Settings of one training, checked: the `training` section of the config and what a job adds.

The keys are the words people know; `trainer_arguments` turns them into those of
`transformers.Seq2SeqTrainingArguments`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hearing_asr.errors import InputError

SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
)
PRECISIONS = ("auto", "bf16", "fp16", "fp32")
REPORTS = ("tensorboard", "wandb", "none")

AT_LEAST_ONE = (
    "threads",
    "num_cpus",
    "train_batch_size",
    "eval_batch_size",
    "gradient_accumulation",
    "max_steps",
    "save_steps",
    "save_total_limit",
    "eval_steps",
    "logging_steps",
    "generation_max_length",
    "evaluation_clips",
)
NOT_NEGATIVE = ("num_gpus", "dataloader_workers", "warmup_steps", "weight_decay", "seed")
POSITIVE = ("learning_rate", "max_grad_norm")

KINDS = {  # of settings: what each accepts, and how it is called
    str: (str, "a text"),
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    int | None: (int | None, "a whole number or null"),
    list[str]: (list, "a list"),
    dict[str, dict[str, float]]: (Mapping, "a mapping"),
}

# What may change between two starts of one training without making it another one: where it
# computes and writes, and how often it saves. Data and base model are known by their content.
OPERATIONAL = frozenset(
    {
        "model_folder",
        "train_folders",
        "eval_folders",
        "output_folder",
        "threads",
        "num_cpus",
        "dataloader_workers",
        "eval_batch_size",
        "normalizer",
        "report_to",
        "save_steps",
        "save_total_limit",
        "resume",
    }
)


@dataclass(frozen=True)
class TrainingSettings:
    """One training. Batch sizes are per GPU, lengths in tokens, steps are optimizer steps.

    model_folder: the model to start from, and base_model what people call it; train_folders
    and eval_folders: log-Mel datasets, one per variant that is heard; code: digest of the program
    files that train; variant: name of what is heard; audiograms: thresholds in dB HL over Hz of
    each variant, none for unmasked speech; threads and dataloader_workers: of all processes
    together. num_gpus 0 trains on the CPU. save_total_limit and evaluation_clips None: all.
    """

    model_folder: str
    base_model: str
    train_folders: list[str]
    eval_folders: list[str]
    output_folder: str
    code: str
    variant: str
    audiograms: dict[str, dict[str, float]]
    language: str
    task: str
    normalizer: str
    threads: int
    num_gpus: int
    num_cpus: int
    dataloader_workers: int
    train_batch_size: int
    eval_batch_size: int
    gradient_accumulation: int
    learning_rate: float
    max_steps: int
    warmup_steps: int
    save_steps: int
    save_total_limit: int | None
    eval_steps: int
    logging_steps: int
    weight_decay: float
    lr_scheduler_type: str
    max_grad_norm: float
    precision: str
    gradient_checkpointing: bool
    generation_max_length: int
    evaluation_split: str
    evaluation_clips: int | None
    report_to: str
    resume: bool
    seed: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (kinds, name) = getattr(self, field.name), KINDS[field.type]
            if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
                raise InputError(f"training setting {field.name}: {value!r} is not {name}.")
        self._check_ranges()

    def _check_ranges(self) -> None:
        for names, least, strict in (
            (AT_LEAST_ONE, 1, False),
            (NOT_NEGATIVE, 0, False),
            (POSITIVE, 0, True),
        ):
            for name in names:
                value = getattr(self, name)
                if value is not None and (value < least or (strict and value == least)):
                    bound = f"more than {least}" if strict else f"at least {least}"
                    raise InputError(f"training setting {name}: {value} must be {bound}.")
        for name, known in (
            ("lr_scheduler_type", SCHEDULES),
            ("precision", PRECISIONS),
            ("report_to", REPORTS),
        ):
            if getattr(self, name) not in known:
                raise InputError(
                    f"training setting {name}: {getattr(self, name)!r} is unknown; choose one of "
                    f"{', '.join(known)}."
                )
        if self.lr_scheduler_type != "constant" and self.warmup_steps >= self.max_steps:
            raise InputError(
                f"training setting warmup_steps: {self.warmup_steps} must be less than max_steps "
                f"({self.max_steps})."
            )

    @classmethod
    def from_json(cls, text: str, **further: Any) -> "TrainingSettings":
        """Read settings from a JSON object; `further` are settings that it does not hold.

        Raises:
            InputError: no JSON object, a key unknown or missing, or a value out of its range.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise InputError(f"training settings: not valid JSON ({error}).") from None
        if not isinstance(content, Mapping):
            raise InputError("training settings: a JSON object was expected.")
        content = {**content, **further}
        known = {field.name for field in fields(cls)}
        if unknown := sorted(content.keys() - known):
            raise InputError(f"training settings: unknown key {', '.join(unknown)}.")
        if missing := sorted(known - content.keys()):
            raise InputError(f"training settings: missing key {', '.join(missing)}.")
        return cls(**content)

    def identity(self) -> dict[str, Any]:
        """The settings that make this training another one when they change."""
        return {key: value for key, value in asdict(self).items() if key not in OPERATIONAL}

    @property
    def processes(self) -> int:
        """Processes that train together: one per GPU, or one on the CPU."""
        return max(1, self.num_gpus)


def usable_gpus() -> int:
    """GPUs that this process can compute on: not those listed by a driver too old for PyTorch."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def check_devices(
    settings: TrainingSettings, processes: int, visible_gpus: int, started: int
) -> None:
    """Refuse to train on anything else than what is configured.

    Args:
        processes: how many processes are expected to train together.
        visible_gpus: GPUs that this process sees.
        started: how many processes train together.

    Raises:
        InputError: fewer GPUs than configured, or another number of processes.
    """
    if visible_gpus < settings.num_gpus:
        raise InputError(
            f"training.num_gpus is {settings.num_gpus}, but only {visible_gpus} can be seen here. "
            "Ask for as many GPUs as configured (check CUDA_VISIBLE_DEVICES and the driver), or "
            "lower training.num_gpus and raise training.gradient_accumulation to match."
        )
    if settings.num_gpus and processes != settings.num_gpus:
        raise InputError(
            f"training.num_gpus is {settings.num_gpus}, but {processes} process(es) were asked "
            "for: each GPU takes one. Leave --processes out."
        )
    if started != processes:
        raise InputError(
            f"{processes} process(es) train together with training.num_gpus {settings.num_gpus}, "
            f"but {started} were started. Start finetune.py with python: it starts the others."
        )


def resolve_precision(name: str, num_gpus: int, bf16_gpu: bool) -> str:
    """Choose the precision: bf16, fp16 (both mixed with fp32) or fp32.

    Args:
        name: one of PRECISIONS; auto is bf16 where the GPU has it, else fp16, and fp32 on the CPU.
        bf16_gpu: whether the GPU computes in bfloat16 natively.

    Raises:
        InputError: the precision is not to be had here.
    """
    if num_gpus == 0:
        if name in ("bf16", "fp16"):
            raise InputError(
                f"training.precision: {name} needs a GPU. Choose auto or fp32, or set num_gpus."
            )
        return "fp32"
    if name == "auto":
        return "bf16" if bf16_gpu else "fp16"
    if name == "bf16" and not bf16_gpu:
        raise InputError("training.precision: this GPU has no bf16. Choose auto or fp16.")
    return name


def trainer_arguments(settings: TrainingSettings, precision: str, processes: int) -> dict[str, Any]:
    """Keyword arguments for `transformers.Seq2SeqTrainingArguments`.

    Args:
        precision: bf16, fp16 or fp32.
        processes: processes that train together.
    """
    on_cpu = settings.num_gpus == 0
    workers = settings.dataloader_workers
    if workers:  # of all processes together
        workers = max(1, workers // processes)
    return {
        "output_dir": settings.output_folder,
        "per_device_train_batch_size": settings.train_batch_size,
        "per_device_eval_batch_size": settings.eval_batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler_type,
        "max_steps": settings.max_steps,
        "warmup_steps": settings.warmup_steps,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "bf16": precision == "bf16",
        "fp16": precision == "fp16",
        "activation_checkpointing": settings.gradient_checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False},
        "eval_strategy": "steps",
        "eval_steps": settings.eval_steps,
        "save_strategy": "steps",
        "save_steps": settings.save_steps,
        "save_total_limit": settings.save_total_limit,
        "logging_strategy": "steps",
        "logging_steps": settings.logging_steps,
        "logging_nan_inf_filter": False,  # a loss that is not finite must be seen
        "predict_with_generate": True,
        "generation_max_length": settings.generation_max_length,
        "report_to": ["wandb"] if settings.report_to == "wandb" else [],
        "run_name": settings.variant,
        "seed": settings.seed,
        "data_seed": settings.seed,
        "dataloader_num_workers": workers,
        "dataloader_persistent_workers": workers > 0,
        "dataloader_pin_memory": not on_cpu,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "use_cpu": on_cpu,
        "ddp_backend": "gloo" if on_cpu and processes > 1 else None,
        "ddp_find_unused_parameters": False,
        "disable_tqdm": True,
        "log_level": "error",
        "log_level_replica": "error",
    }
