"""Fine-tune Whisper on the log-Mel dataset of one variant, with transformers' Seq2SeqTrainer.

One process per GPU (started by torchrun), or one on the CPU. The output folder ends up with the
final model and processor, README.md, `checkpoint-N/` and, in `runs/`, TensorBoard's event files.
"""

import logging
import math
import os
import platform
import time
from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch.utils.tensorboard import SummaryWriter
from transformers import (
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerState,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.integrations import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging

from hearing_asr import checkpoints
from hearing_asr.errors import InputError
from hearing_asr.model_card import (
    SplitFacts,
    TrainingFacts,
    batch_in_words,
    duration,
    effective_batch_size,
    model_card,
)
from hearing_asr.models import (
    ModelSpec,
    drop_forced_tokens,
    explained_full_disk,
    load_tokenizer,
    staged_folder,
    whisper_config,
    writing_config,
)
from hearing_asr.scoring import compute_wer
from hearing_asr.training_data import IGNORED, LogMelCollator, LogMelDataset
from hearing_asr.training_settings import (
    TrainingSettings,
    check_devices,
    resolve_precision,
    trainer_arguments,
)

log = logging.getLogger("hearing_asr")


def finetune(settings: TrainingSettings, processes: int | None = None) -> None:
    """Train a model as `settings` say and save it, with its README.md, in the output folder.

    A training that was interrupted goes on from its latest complete checkpoint, unless settings,
    data or base model have changed since or `settings.resume` is false.

    Args:
        settings: of the training.
        processes: how many processes train together; by default one per GPU, or one on the CPU.

    Raises:
        InputError: devices, data and model do not fit the settings or each other, the loss is no
            longer finite, or the disk is full.
    """
    processes = processes or settings.processes
    check_devices(settings, processes, torch.cuda.device_count())
    torch.set_num_threads(max(1, settings.threads // processes))
    transformers_logging.disable_progress_bar()
    spec = whisper_config(settings.model_folder)
    tokenizer = load_tokenizer(settings.model_folder, settings.language, settings.task)
    train = LogMelDataset(settings.train_folder)
    evaluation = LogMelDataset(settings.eval_folder, settings.evaluation_clips)
    for clips in (train, evaluation):
        clips.check(spec, tokenizer.prefix_tokens)
    arguments = _arguments(settings, processes)
    checkpoint = _checkpoint(settings, processes, train, evaluation, arguments.process_index == 0)
    trainer = _trainer(settings, arguments, spec, tokenizer, train, evaluation, checkpoint)
    _log_start(settings, processes, trainer)
    begin = time.monotonic()
    with explained_full_disk(settings.output_folder):
        _train(trainer, checkpoint)
    facts = TrainingFacts(
        precision=_precision(settings),
        processes=processes,
        hardware=_hardware(settings, processes),
        parameters=trainer.model.num_parameters(),
        seconds=time.monotonic() - begin,
        resumed_step=_step(checkpoint),
        waiting=trainer.waiting,
        history=trainer.state.log_history,
    )
    log.info(
        "trained in %s, %.1f %% of it waiting for data",
        duration(facts.seconds),
        100 * facts.waiting,
    )
    if trainer.is_world_process_zero():
        splits = [
            SplitFacts("train", len(train), train.hours, train.fingerprint),
            SplitFacts(
                settings.evaluation_split, len(evaluation), evaluation.hours, evaluation.fingerprint
            ),
        ]
        _save(settings, trainer, model_card(settings, facts, splits))
        checkpoints.finish(settings.output_folder)


def _train(trainer: "WhisperTrainer", checkpoint: Path | None) -> None:
    """Train to the end, unless the checkpoint is the last one: Trainer would do a step more."""
    if checkpoint is None or _step(checkpoint) < trainer.args.max_steps:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return
    log.info("%s is the last: only the final model is left to write", checkpoint.name)
    trainer.model = WhisperForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))


def _arguments(settings: TrainingSettings, processes: int) -> Seq2SeqTrainingArguments:
    if settings.report_to == "wandb":
        if find_spec("wandb") is None:
            raise InputError("training.report_to: wandb is not installed here (pip install wandb).")
        os.environ.setdefault("WANDB_DIR", settings.output_folder)
    chosen = trainer_arguments(settings, _precision(settings), processes)
    arguments = Seq2SeqTrainingArguments(**chosen)
    # With one process and several visible GPUs, Trainer would spread each batch over all of them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _precision(settings: TrainingSettings) -> str:
    native = settings.num_gpus > 0 and torch.cuda.is_bf16_supported(including_emulation=False)
    return resolve_precision(settings.precision, settings.num_gpus, native)


def _checkpoint(
    settings: TrainingSettings,
    processes: int,
    train: LogMelDataset,
    evaluation: LogMelDataset,
    is_first: bool,
) -> Path | None:
    """The checkpoint to go on from: decided by the first process, told to the others."""
    decision: list[Any] = [None]
    if is_first:
        identity = {
            "settings": settings.identity(),
            "processes": processes,
            "train": train.fingerprint,
            "evaluation": evaluation.fingerprint,
            "model": checkpoints.model_identity(settings.model_folder),
        }
        decision[0] = checkpoints.prepare_output(
            settings.output_folder, identity, settings.resume, processes
        )
    return broadcast_object_list(decision)[0]


def _step(checkpoint: Path | None) -> int:
    return int(checkpoint.name.removeprefix("checkpoint-")) if checkpoint else 0


def _trainer(
    settings: TrainingSettings,
    arguments: Seq2SeqTrainingArguments,
    spec: ModelSpec,
    tokenizer: WhisperTokenizer,
    train: LogMelDataset,
    evaluation: LogMelDataset,
    checkpoint: Path | None,
) -> "WhisperTrainer":
    processor = WhisperProcessor.from_pretrained(settings.model_folder)
    processor.tokenizer = tokenizer
    # In float32 whatever the checkpoint's precision: bf16 and fp16 compute, but do not accumulate.
    model = WhisperForConditionalGeneration.from_pretrained(
        settings.model_folder, dtype=torch.float32
    )
    model.generation_config = writing_config(
        model.generation_config, spec, settings.language, settings.task
    )
    drop_forced_tokens(model.config)
    trainer = WhisperTrainer(
        model=model,
        args=arguments,
        data_collator=LogMelCollator(spec.num_mel_bins, spec.window_frames),
        train_dataset=train,
        eval_dataset=evaluation,
        processing_class=processor,
        compute_metrics=wer_metric(tokenizer, settings.normalizer, len(evaluation)),
        callbacks=[TrainingLog(effective_batch_size(settings, arguments.world_size))],
    )
    trainer.remove_callback(PrinterCallback)
    if settings.report_to != "none" and trainer.is_world_process_zero():
        runs = Path(settings.output_folder) / checkpoints.RUNS
        # What was logged after the checkpoint is logged again: TensorBoard drops the first copy.
        purge = _step(checkpoint) + 1 if checkpoint else None
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(runs), purge_step=purge)))
    return trainer


def wer_metric(
    tokenizer: WhisperTokenizer, normalizer: str, clips: int
) -> Callable[[Any], dict[str, float]]:
    """The metric of the evaluations during a training: {"wer": ratio} over the first `clips` rows.

    When several processes evaluate, the last batch is filled up with clips from the beginning.
    """

    def texts(tokens: Any) -> list[str]:
        tokens = tokens[:clips].copy()
        tokens[tokens == IGNORED] = tokenizer.pad_token_id
        decoded = tokenizer.batch_decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [text.strip() for text in decoded]

    def metric(prediction: Any) -> dict[str, float]:
        references, hypotheses = texts(prediction.label_ids), texts(prediction.predictions)
        return {"wer": compute_wer(references, hypotheses, normalizer)}

    return metric


class WhisperTrainer(Seq2SeqTrainer):
    """Seq2SeqTrainer with the loss per token of the whole effective batch, and a stopwatch.

    Whisper's forward accepts the number of tokens in the effective batch, so Trainer believes
    that the loss is divided by it; but Whisper takes the mean over its own batch, and the
    gradients would come out larger by the number of accumulation steps and processes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # have the tokens counted
        self.writing = deepcopy(self.model.generation_config)  # evaluations write defaults into it
        self._waited = 0.0
        self._begin = time.monotonic()

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> Any:
        outputs = model(**inputs)
        loss = outputs["loss"]
        if num_items_in_batch is not None:
            tokens = inputs["labels"].ne(IGNORED).sum()
            # DistributedDataParallel averages the gradients over the processes; a sum is wanted.
            loss = loss * tokens * self.accelerator.num_processes / num_items_in_batch
        return (loss, outputs) if return_outputs else loss

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        begin = time.monotonic()
        batches = super().get_batch_samples(*args, **kwargs)
        self._waited += time.monotonic() - begin
        return batches

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        begin = time.monotonic()
        metrics = super().evaluate(*args, **kwargs)
        self._begin += time.monotonic() - begin
        return metrics

    @property
    def waiting(self) -> float:
        """Share of the time so far, without evaluations, spent waiting for training data."""
        return self._waited / (time.monotonic() - self._begin)


class TrainingLog(TrainerCallback):
    """Progress lines in the log, and a stop when the loss is no longer finite."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size  # clips per step
        self._restart(0)

    def _restart(self, step: int) -> None:
        self._since, self._since_step = time.monotonic(), step

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.compute_steps(args, state.max_steps)  # a checkpoint brings its own save_steps
        self._begin, self._begin_step = time.monotonic(), state.global_step
        self._restart(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # A checkpoint is worth going on from only if the loss before it was finite.
        control.should_log = control.should_log or control.should_save

    def on_log(self, args: Any, state: Any, control: Any, logs: dict, **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        step, now = state.global_step, time.monotonic()
        if not math.isfinite(logs["loss"]):
            raise InputError(
                f"the training loss is {logs['loss']} at step {step} (last logged at step "
                f"{self._since_step}). Lower training.learning_rate, lengthen "
                "training.warmup_steps, lower training.max_grad_norm, or set training.precision "
                "to bf16 or fp32; the checkpoints before are kept."
            )
        if not state.is_world_process_zero:
            return
        rate = (step - self._since_step) * self.batch_size / max(now - self._since, 1e-9)
        left = (now - self._begin) / (step - self._begin_step) * (state.max_steps - step)
        log.info(
            "step %d of %d, loss %.4f, learning rate %.3g, %.1f clips/s, %s left",
            step,
            state.max_steps,
            logs["loss"],
            logs["learning_rate"],
            rate,
            duration(left),
        )
        self._restart(step)

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: dict, **kwargs: Any
    ) -> None:
        if state.is_world_process_zero:
            log.info(
                "step %d of %d, evaluation: loss %.4f, WER %.2f %% (%.1f s)",
                state.global_step,
                state.max_steps,
                metrics["eval_loss"],
                100 * metrics["eval_wer"],
                metrics["eval_runtime"],
            )
        self._restart(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._restart(state.global_step)


def _log_start(settings: TrainingSettings, processes: int, trainer: WhisperTrainer) -> None:
    if not trainer.is_world_process_zero():
        return
    log.info(
        "training %s of %.2f million parameters on %s: %d clips, %s, %s",
        settings.base_model,
        trainer.model.num_parameters() / 1e6,
        settings.variant,
        len(trainer.train_dataset),
        _hardware(settings, processes),
        _precision(settings),
    )
    log.info("effective batch size: %s", batch_in_words(settings, processes))
    if settings.lr_scheduler_type == "constant" and settings.warmup_steps:
        log.warning("training.lr_scheduler_type constant has no warm-up: warmup_steps is ignored")


def _hardware(settings: TrainingSettings, processes: int) -> str:
    if settings.num_gpus:
        return f"{settings.num_gpus} x {torch.cuda.get_device_name()}"
    threads = max(1, settings.threads // processes) * processes
    return f"CPU ({platform.machine()}), {threads} thread{'s' if threads > 1 else ''}"


def _save(settings: TrainingSettings, trainer: WhisperTrainer, card: str) -> None:
    """Put the final model, its processor and README.md into the output folder, whole."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    model.generation_config = trainer.writing
    model.config.use_cache = True  # Trainer turns it off
    with staged_folder(settings.output_folder) as staging:
        model.save_pretrained(staging)
        trainer.processing_class.save_pretrained(staging)
        (staging / "README.md").write_text(card, encoding="utf-8")
