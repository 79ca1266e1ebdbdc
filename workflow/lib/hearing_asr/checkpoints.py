"""Going on with a training that was interrupted, and never with one that was another.

A training leaves `training_state.json` beside its checkpoints: what it is made of (settings, data,
base model, code). Only a training made of the same may continue from them. The file stays when the
training is complete, so that doing it again takes no more than writing the final model again.

A checkpoint is written under another name and renamed when all processes have written their part:
`checkpoint-N` is there whole, or not at all.
"""

import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from hearing_asr.files import atomic_path

log = logging.getLogger("hearing_asr")

MARKER = "training_state.json"
RUNS = "runs"  # TensorBoard's event files
UNFINISHED = ".checkpoint.part"  # a checkpoint while it is being written
PREFIX = "checkpoint-"


def model_identity(folder: str | Path) -> dict[str, str]:
    """SHA-256 of a model's files, by name: a copy of a model is the same model."""
    files = [*Path(folder).glob("*.json"), *Path(folder).glob("*.safetensors")]
    return {path.name: _sha256(path) for path in sorted(files) if path.name != MARKER}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def prepare_output(
    folder: str | Path, identity: Mapping[str, Any], resume: bool, processes: int
) -> Path | None:
    """Make `folder` ready for a training and return the checkpoint it can go on from, if any.

    Checkpoints and logs of another training are removed, so that it neither starts from stale
    weights nor mixes its curves with theirs; so are checkpoints that were cut off.

    Args:
        folder: output folder of the training.
        identity: what the training is made of, as JSON has it.
        resume: False starts afresh in any case.
        processes: processes that train together; each has a random state in a checkpoint.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    identity = json.loads(json.dumps(identity))
    before = _read(folder / MARKER)
    checkpoint = None
    if resume and before == identity:
        checkpoint = _latest_complete(folder, processes)
    elif before is not None and resume:
        log.info("not the training begun here before (%s)", ", ".join(_changes(before, identity)))
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    if checkpoint is None:
        for path in [*_checkpoints(folder), folder / RUNS]:
            if path.exists():
                log.info("removing %s of an earlier training", path.name)
                shutil.rmtree(path)
    with atomic_path(folder / MARKER) as temporary:
        temporary.write_text(json.dumps(identity, indent=1, sort_keys=True) + "\n")
    return checkpoint


def checkpoint_step(checkpoint: Path | None) -> int:
    """The step that a checkpoint was saved after; 0 without one."""
    return int(checkpoint.name.removeprefix(PREFIX)) if checkpoint else 0


def publish(folder: str | Path, step: int) -> Path:
    """Give the checkpoint written to `folder`/UNFINISHED its name, once it lies on the disk."""
    folder = Path(folder)
    name = f"{PREFIX}{step}"
    for path in [*(folder / UNFINISHED / name).iterdir(), folder / UNFINISHED / name]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    shutil.rmtree(folder / name, ignore_errors=True)
    (folder / UNFINISHED / name).rename(folder / name)
    return folder / name


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _changes(before: Any, now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Name what differs, key by key."""
    if not isinstance(before, Mapping):
        yield "its marker cannot be read"
        return
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changes(old, new, f"{within}{key}: ")
        elif old != new:
            yield f"{within}{key}: {old} -> {new}"


def _checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders, the latest first."""
    found = folder.glob(f"{PREFIX}*")
    found = [path for path in found if path.name.removeprefix(PREFIX).isdigit()]
    return sorted(found, key=checkpoint_step, reverse=True)


def _latest_complete(folder: Path, processes: int) -> Path | None:
    for path in _checkpoints(folder):
        reason = _incomplete(path, processes)
        if reason is None:
            return path
        log.info("removing %s, which is not complete (%s)", path.name, reason)
        shutil.rmtree(path)
    return None


def _incomplete(checkpoint: Path, processes: int) -> str | None:
    """Why a training cannot go on from a checkpoint; None if it can.

    The files are opened, which finds those that were cut off: a safetensors file states its
    length at its beginning, and what torch.save writes has its table of contents at the end.
    """
    random_states = [f"rng_state_{n}.pth" for n in range(processes)]
    archives = ["optimizer.pt", "scheduler.pt"]
    archives += random_states if processes > 1 else ["rng_state.pth"]
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        if state["global_step"] != checkpoint_step(checkpoint):
            return "trainer_state.json is of another step"
        for weights in _weight_files(checkpoint):
            with safe_open(weights, framework="numpy"):
                pass
        for name in archives:
            with zipfile.ZipFile(checkpoint / name):
                pass
    except (OSError, ValueError, KeyError, SafetensorError, zipfile.BadZipFile) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _weight_files(checkpoint: Path) -> list[Path]:
    index = checkpoint / "model.safetensors.index.json"
    if not index.exists():
        return [checkpoint / "model.safetensors"]
    names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return [checkpoint / name for name in sorted(names)]
