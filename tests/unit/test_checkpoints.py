"""Which model a training starts from, and checkpoints that appear whole."""

import os
import shutil
import time

import pytest

from hearing_asr.checkpoints import MARKER, UNFINISHED, checkpoint_step, model_identity, publish


def test_a_model_is_known_by_its_content(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    (tmp_path / "model/model.safetensors").write_bytes(b"weights")
    identity = model_identity(tmp_path / "model")
    # printf weights | sha256sum
    assert identity["model.safetensors"] == (
        "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    )
    copy = shutil.copytree(tmp_path / "model", tmp_path / "copy")
    os.utime(copy / "model.safetensors", (0, time.time() - 1000))
    (copy / MARKER).write_text("of the training that made it")
    assert model_identity(copy) == identity
    (copy / "model.safetensors").write_bytes(b"weightS")
    assert model_identity(copy) != identity
    assert model_identity(copy)["config.json"] == identity["config.json"]


def test_a_checkpoint_gets_its_name_at_once(tmp_path):
    part = tmp_path / UNFINISHED / "checkpoint-12"
    part.mkdir(parents=True)
    (part / "model.safetensors").write_bytes(b"new")
    (tmp_path / "checkpoint-12").mkdir()
    (tmp_path / "checkpoint-12/optimizer.pt").write_bytes(b"cut off")
    checkpoint = publish(tmp_path, 12)
    assert [path.name for path in checkpoint.iterdir()] == ["model.safetensors"]
    assert not part.exists()
    assert (checkpoint_step(checkpoint), checkpoint_step(None)) == (12, 0)


def test_nothing_to_publish(tmp_path):
    with pytest.raises(FileNotFoundError):
        publish(tmp_path, 3)
    assert list(tmp_path.glob("checkpoint-*")) == []
