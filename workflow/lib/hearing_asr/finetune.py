"""Fine-tune Whisper on the log-Mel dataset of one variant, with transformers' Seq2SeqTrainer.

One process per GPU, or one on the CPU. The output folder ends up with the final model and
processor, README.md, `checkpoint-N/` and, in `runs/`, TensorBoard's event files.
"""

import logging
import os
import platform
import signal
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from torch.utils.tensorboard import SummaryWriter
from transformers import (
    Seq2SeqTrainingArguments,
    TrainerState,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.integrations import TensorBoardCallback
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as transformers_logging

from hearing_asr import checkpoints
from hearing_asr.checkpoints import checkpoint_step
from hearing_asr.errors import InputError
from hearing_asr.interruption import StopSignals, stopped_status
from hearing_asr.model_card import (
    SplitFacts,
    TrainingFacts,
    batch_in_words,
    duration,
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
from hearing_asr.trainer import Stopped, WhisperTrainer, wer_metric
from hearing_asr.training_data import LogMelCollator, LogMelDataset
from hearing_asr.training_settings import (
    TrainingSettings,
    check_devices,
    resolve_precision,
    trainer_arguments,
    usable_gpus,
)

log = logging.getLogger("hearing_asr")


def finetune(settings: TrainingSettings, processes: int | None = None) -> None:
    """Train a model as `settings` say and save it, with its README.md, in the output folder.

    A training that was interrupted goes on from its latest complete checkpoint, unless settings,
    data, base model or code have changed since or `settings.resume` is false. One that was complete
    has its final model written again from the last checkpoint.

    SIGTERM and SIGINT end a training in an orderly way: at the end of the step, or in the middle
    of an evaluation, which the next start makes up for, a checkpoint is saved. The loss of the
    steps since the last log entry is then logged at the step that was reached.

    Args:
        settings: of the training.
        processes: how many processes train together; by default one per GPU, or one on the CPU.

    Raises:
        InputError: devices, data and model do not fit the settings or each other, the loss is no
            longer finite, or the disk is full.
        SystemExit: a signal has stopped the training; the status is 128 + its number.
    """
    processes = processes or settings.processes
    started = int(os.environ.get("WORLD_SIZE", "1"))
    check_devices(settings, processes, usable_gpus(), started)
    torch.set_num_threads(max(1, settings.threads // processes))
    transformers_logging.disable_progress_bar()
    spec = whisper_config(settings.model_folder)
    tokenizer = load_tokenizer(settings.model_folder, settings.language, settings.task)
    train = LogMelDataset(settings.train_folders)
    evaluation = LogMelDataset(settings.eval_folders, settings.evaluation_clips)
    for clips in (train, evaluation):
        clips.check(spec, tokenizer.prefix_tokens)
    arguments = _arguments(settings, processes)
    checkpoint = _checkpoint(settings, processes, train, evaluation, arguments.process_index == 0)
    trainer = _trainer(settings, arguments, spec, tokenizer, train, evaluation, checkpoint)
    _log_start(settings, processes, trainer, checkpoint)
    begin = time.monotonic()
    with explained_full_disk(settings.output_folder), trainer.signals:
        _train(trainer, checkpoint)
        facts = TrainingFacts(
            precision=_precision(settings),
            processes=processes,
            hardware=_hardware(settings, processes),
            parameters=trainer.model.num_parameters(),
            seconds=time.monotonic() - begin,
            resumed_step=checkpoint_step(checkpoint),
            waiting=trainer.waiting,
            history=trainer.state.log_history,
        )
        if trainer.is_world_process_zero():
            _save(settings, trainer, facts)
        trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()


def _train(trainer: WhisperTrainer, checkpoint: Path | None) -> None:
    """Train to the end, or raise SystemExit if a signal came before."""
    try:
        if checkpoint is None or checkpoint_step(checkpoint) < trainer.args.max_steps:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        else:
            _load_last(trainer, checkpoint)
    except Stopped:  # before anything was done that the checkpoint does not have
        pass
    if trainer.stopped:
        step = trainer.state.global_step
        if trainer.is_world_process_zero():
            log.info(
                "stopped by %s at step %d: %s%d written, the next attempt goes on from there",
                signal.Signals(trainer.stopped).name,
                step,
                checkpoints.PREFIX,
                step,
            )
        trainer.accelerator.end_training()
        raise SystemExit(stopped_status(trainer.stopped))


def _load_last(trainer: WhisperTrainer, checkpoint: Path) -> None:
    """Take the weights of the last checkpoint; Trainer would train a step more."""
    log.info("%s is the last: only the final model is left to write", checkpoint.name)
    trainer.model = WhisperForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32)
    trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    trainer.state.is_world_process_zero = trainer.is_world_process_zero()
    trainer.state.is_local_process_zero = trainer.is_local_process_zero()
    trainer.make_up_evaluation()


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


def _trainer(
    settings: TrainingSettings,
    arguments: Seq2SeqTrainingArguments,
    spec: ModelSpec,
    tokenizer: WhisperTokenizer,
    train: LogMelDataset,
    evaluation: LogMelDataset,
    checkpoint: Path | None,
) -> WhisperTrainer:
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
        compute_metrics=wer_metric(tokenizer, settings.normalizer),
        signals=StopSignals(),
    )
    trainer.remove_callback(PrinterCallback)
    if settings.report_to != "none" and trainer.is_world_process_zero():
        runs = Path(settings.output_folder) / checkpoints.RUNS
        # What was logged after the checkpoint is logged again: TensorBoard drops the first copy.
        purge = checkpoint_step(checkpoint) + 1 if checkpoint else None
        trainer.add_callback(TensorBoardCallback(SummaryWriter(str(runs), purge_step=purge)))
    return trainer


def _log_start(
    settings: TrainingSettings, processes: int, trainer: WhisperTrainer, checkpoint: Path | None
) -> None:
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
    if checkpoint is not None:
        log.info("going on from %s", checkpoint.name)
    if settings.lr_scheduler_type == "constant" and settings.warmup_steps:
        log.warning("training.lr_scheduler_type constant has no warm-up: warmup_steps is ignored")


def _hardware(settings: TrainingSettings, processes: int) -> str:
    if settings.num_gpus:
        return f"{settings.num_gpus} x {torch.cuda.get_device_name()}"
    threads = max(1, settings.threads // processes) * processes
    return f"CPU ({platform.machine()}), {threads} thread{'s' if threads > 1 else ''}"


def _save(settings: TrainingSettings, trainer: WhisperTrainer, facts: TrainingFacts) -> None:
    """Put the final model, its processor and README.md into the output folder, whole."""
    log.info(
        "trained in %s, %.1f %% of it waiting for data",
        duration(facts.seconds),
        100 * facts.waiting,
    )
    train, evaluation = trainer.train_dataset, trainer.eval_dataset
    splits = [
        SplitFacts(name, len(clips), clips.hours, clips.fingerprint)
        for name, clips in (("train", train), (settings.evaluation_split, evaluation))
    ]
    model = trainer.accelerator.unwrap_model(trainer.model)
    model.generation_config = trainer.writing
    model.config.use_cache = True  # Trainer turns it off
    with staged_folder(settings.output_folder) as staging:
        model.save_pretrained(staging)
        trainer.processing_class.save_pretrained(staging)
        card = model_card(settings, facts, splits)
        (staging / "README.md").write_text(card, encoding="utf-8")
