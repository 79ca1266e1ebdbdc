"""transformers' Seq2SeqTrainer for Whisper: what it computes and logs, when it saves and stops."""

import atexit
import logging
import math
import shutil
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from transformers import Seq2SeqTrainer, TrainerCallback, WhisperTokenizer
from transformers.trainer_utils import rotate_checkpoints

from hearing_asr import checkpoints
from hearing_asr.errors import InputError
from hearing_asr.files import atomic_path
from hearing_asr.interruption import StopSignals, end_readers, ignore_stop_signals
from hearing_asr.model_card import duration
from hearing_asr.scoring import compute_wer
from hearing_asr.training_data import IGNORED, ClipOrder

log = logging.getLogger("hearing_asr")


def wer_metric(tokenizer: WhisperTokenizer, normalizer: str) -> Callable[[Any], dict[str, float]]:
    """The metric of the evaluations during a training: {"wer": ratio}."""

    def texts(tokens: Any) -> list[str]:
        tokens = tokens.copy()
        tokens[tokens == IGNORED] = tokenizer.pad_token_id
        decoded = tokenizer.batch_decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [text.strip() for text in decoded]

    def metric(prediction: Any) -> dict[str, float]:
        references, hypotheses = texts(prediction.label_ids), texts(prediction.predictions)
        return {"wer": compute_wer(references, hypotheses, normalizer)}

    return metric


class Stopped(Exception):
    """Told to stop in the middle of an evaluation."""


class WhisperTrainer(Seq2SeqTrainer):
    """Seq2SeqTrainer with an exact loss, an exact order of clips, and an orderly end when told.

    Whisper's forward accepts the number of tokens in the effective batch, so Trainer believes
    that the loss is divided by it; but Whisper takes the mean over its own batch, and the
    gradients would come out larger by the number of accumulation steps and processes.

    When any of the processes has been told to stop, all of them finish the step or leave the
    evaluation together, and save a checkpoint; the next start makes up for that evaluation.
    (Trainer's own `enable_jit_checkpoint` acts for each process alone, between backward pass and
    optimizer step too, and waits for an evaluation to end.)

    An evaluation's loss is the mean over batches of the mean over their tokens, so it depends on
    `eval_batch_size` and the number of processes where batches differ; the WER does not.

    Attributes:
        signals: that have told this process to stop.
        stopped: the signal that ended the training, 0 if none has.
    """

    def __init__(self, *args: Any, signals: StopSignals, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = True  # have the tokens counted
        self.writing = deepcopy(self.model.generation_config)  # evaluations write defaults into it
        self.signals = signals
        self.stopped = 0
        # In this order: what is saved because of a signal is logged, and so checked, before.
        self.add_callback(_OrderlyEnd(self))
        self.add_callback(TrainingLog(self.batch_size, len(self.train_dataset)))
        atexit.unregister(end_readers)  # once, and before what Python does with them at its exit
        atexit.register(end_readers)
        self._run_folder: Path | None = None
        self._waited = 0.0
        self._begin = time.monotonic()

    @property
    def batch_size(self) -> int:
        """Clips per optimizer step."""
        return self.get_total_train_batch_size(self.args)

    def _get_train_sampler(self, *_: Any) -> ClipOrder:
        length = self.args.max_steps * self.batch_size
        return ClipOrder(len(self.train_dataset), length, self.args.seed)

    def _get_dataloader(self, *args: Any, **kwargs: Any) -> Any:
        loader = super()._get_dataloader(*args, **kwargs)
        loader.base_dataloader.worker_init_fn = ignore_stop_signals
        return loader

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

    def _get_num_items_in_batch(self, *args: Any, **kwargs: Any) -> Any:
        begin = time.monotonic()
        count = super()._get_num_items_in_batch(*args, **kwargs)
        self._waited -= time.monotonic() - begin  # for the other processes, not for data
        return count

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        begin = time.monotonic()
        devices = [torch.cuda.current_device()] if self.args.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # what follows is the same, evaluated or not
            metrics = super().evaluate(*args, **kwargs)
        self._begin += time.monotonic() - begin
        return metrics

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        # Seq2SeqTrainer counts the clips that fill up the last batch for all processes as well.
        self.gather_function = self.accelerator.gather_for_metrics
        return super().evaluation_loop(*args, **kwargs)

    def _evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        try:
            return super()._evaluate(*args, **kwargs)
        except Stopped:
            self.control.should_evaluate = False
            self.control.should_save = self.control.should_training_stop = True
            return {}

    def make_up_evaluation(self) -> None:
        """Evaluate if that is what the checkpoint of the step that was reached is missing.

        Raises:
            Stopped: a process was told to stop; the evaluation is still to be done.
        """
        step = self.state.global_step
        due = step > 0 and (step % self.args.eval_steps == 0 or step == self.args.max_steps)
        entries = [entry for entry in self.state.log_history if entry["step"] == step]
        if not due or any("eval_loss" in entry for entry in entries):
            return
        self.evaluate()
        if self.is_world_process_zero():  # so that it is not done a second time
            folder = Path(self.args.output_dir) / f"{checkpoints.PREFIX}{step}"
            with atomic_path(folder / "trainer_state.json") as temporary:
                self.state.save_to_json(str(temporary))

    def agree_to_stop(self) -> bool:
        """Whether any process has been told to stop. All processes must ask at the same time."""
        told = torch.tensor(self.signals.received, device=self.args.device)
        self.stopped = int(self.accelerator.gather(told).max())
        return self.stopped > 0

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._run_folder or super()._get_output_dir(trial))

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Write a checkpoint that appears whole, with the parts of all processes, or not at all."""
        folder = Path(self.args.output_dir)
        self._run_folder = folder / checkpoints.UNFINISHED
        try:
            if self.is_world_process_zero():
                shutil.rmtree(self._run_folder, ignore_errors=True)
            self.accelerator.wait_for_everyone()
            super()._save_checkpoint(model, trial)
            self.accelerator.wait_for_everyone()
            if self.is_world_process_zero():
                checkpoints.publish(folder, self.state.global_step)
                rotate_checkpoints(str(folder), self.args.save_total_limit)
        finally:
            if self.is_world_process_zero():
                shutil.rmtree(self._run_folder, ignore_errors=True)
            self._run_folder = None
        # When a process ends, its launcher ends the others soon after, saving or not.
        self.accelerator.wait_for_everyone()

    @property
    def waiting(self) -> float:
        """Share of the time so far, without evaluations, spent waiting for training data."""
        return self._waited / (time.monotonic() - self._begin)


class _OrderlyEnd(TrainerCallback):
    """Has all processes stop at the same place when one of them was told to."""

    def __init__(self, trainer: WhisperTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.trainer.make_up_evaluation()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.agree_to_stop():
            control.should_evaluate = False
            control.should_save = control.should_training_stop = True

    def on_prediction_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer.agree_to_stop():
            raise Stopped


class TrainingLog(TrainerCallback):
    """Progress lines in the log, and a stop when the loss is no longer finite."""

    def __init__(self, batch_size: int, clips: int) -> None:
        self.batch_size = batch_size  # clips per step
        self.clips = clips
        self._restart(0)

    def _restart(self, step: int) -> None:
        self._since, self._since_step = time.monotonic(), step

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.compute_steps(args, state.max_steps)  # a checkpoint brings its own save_steps
        self._begin, self._begin_step = time.monotonic(), state.global_step
        self._restart(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.epoch = state.global_step * self.batch_size / self.clips
        # A checkpoint is worth going on from only if the loss before it was finite; a signal that
        # comes during an evaluation makes one as well.
        control.should_log |= control.should_save or control.should_evaluate

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
