"""Whether a run that fits no disk is refused, and one that fits is not."""

import json
import os
from types import SimpleNamespace

import pytest

from hearing_asr import preflight
from hearing_asr.errors import InputError
from hearing_asr.plan import job_bytes
from hearing_asr.preflight import check_disk, free_bytes
from tests.unit.test_plan import DEMO, FULL, changed, planned

FINETUNE = [("finetune", None)]
GB = 10**9
ENGLISH = {"source": "mdc", "mdc": {"dataset": "cmqim2hn800ssnr07gvmpcnwu"}}


@pytest.fixture
def run(tmp_path):
    """The full study, of which nothing is there."""
    folders = {"data_dir": str(tmp_path / "d/x"), "results_dir": str(tmp_path / "r/y")}
    config = changed(FULL, corpus=ENGLISH, **folders)
    return planned(config, tmp_path)


def with_free(monkeypatch, size):
    monkeypatch.setattr(preflight, "free_bytes", lambda folder: size)


def test_what_fits_with_a_tenth_to_spare_is_not_refused(run, monkeypatch):
    size = job_bytes(run, "finetune").size
    with_free(monkeypatch, 1.1 * size + 1)
    check_disk(run, FINETUNE)
    with_free(monkeypatch, 1.1 * size - 1e6)
    with pytest.raises(InputError):
        check_disk(run, FINETUNE)


def test_only_the_jobs_that_will_run_count(run, monkeypatch):
    with_free(monkeypatch, 2 * GB)
    check_disk(run, [])
    check_disk(run, [("score", None), ("corpus_shard", "dev"), ("masking_shard", "dev")])
    with pytest.raises(InputError, match="corpus"):
        check_disk(run, [("corpus_shard", "dev")] * 4)


def test_the_message_says_how_much_where_and_what_to_do(run, monkeypatch):
    with_free(monkeypatch, 80 * GB)
    with pytest.raises(InputError) as error:
        check_disk(run, [*FINETUNE * 3, *[("corpus_shard", "train")] * 256])
    message = str(error.value)
    # 3 x 376.6 GB and 237.1 GB, and a tenth
    assert "1.5 TB needed" in message
    assert "80 GB free" in message
    assert "models and checkpoints 1.1 TB, corpus 237 GB" in message
    for what in ("/d/x", "/r/y", "data_dir", "results_dir", "max_clips", "check_disk: false"):
        assert what in message


def test_each_file_system_is_judged_by_itself(run, tmp_path, monkeypatch):
    existing = preflight._existing

    class Device:
        def __init__(self, folder):
            self.folder = existing(folder)

        def stat(self):
            return SimpleNamespace(st_dev=1 if self.folder == data else 2)

    data = tmp_path / "d"
    data.mkdir()
    monkeypatch.setattr(preflight, "_existing", Device)
    room = {"x": 1000 * GB, "y": 100 * GB}
    monkeypatch.setattr(preflight, "free_bytes", lambda folder: room[folder.name])
    with pytest.raises(InputError) as error:
        check_disk(run, [*FINETUNE, *[("corpus_shard", "train")] * 256])
    assert "/r/y: 414 GB needed" in str(error.value)
    assert "/d/x" not in str(error.value)
    room["y"] = 500 * GB
    check_disk(run, [*FINETUNE, *[("corpus_shard", "train")] * 256])


def test_unknown_sizes_do_not_count(run, monkeypatch):
    config = changed(run.config, model={"checkpoint": "somebody/else"})
    with_free(monkeypatch, 0)
    check_disk(planned(config, "/nowhere"), FINETUNE)


def test_a_missing_release_is_told_by_its_job(tmp_path, monkeypatch):
    with_free(monkeypatch, 0)
    config = changed(FULL, corpus={"release": str(tmp_path / "missing")})
    check_disk(planned(config, tmp_path), FINETUNE)


def test_downloads_of_the_hub_go_to_its_cache(tmp_path, monkeypatch):
    hub = changed(FULL, corpus={"source": "hub", "hub": {"dataset": "owner/name"}})
    (tmp_path / "data/clips").mkdir(parents=True)
    for split, hours in (("train", 1733), ("dev", 25), ("test", 25)):  # chosen once already
        counts = {"chosen": 1000, "hours": hours, "beyond": 0}
        (tmp_path / f"data/clips/{split}.json").write_text(json.dumps(counts))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with_free(monkeypatch, GB)
    with pytest.raises(InputError, match="/cache: 45 GB needed"):
        check_disk(planned(hub, tmp_path), [("hub_tables", None)])
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    with pytest.raises(InputError, match="/home/hub: 45 GB needed"):
        check_disk(planned(hub, tmp_path), [("hub_tables", None)])


def test_free_space_is_what_a_user_may_write(tmp_path):
    status = os.statvfs(tmp_path)
    free = free_bytes(tmp_path / "not/there/yet")
    assert free == pytest.approx(status.f_bavail * status.f_frsize, rel=0.05)


def test_the_demo_fits_where_one_gigabyte_is_free(tmp_path, monkeypatch):
    run = planned(DEMO, tmp_path)
    with_free(monkeypatch, GB)
    shards = [("corpus_shard", "train")] * 2 + [("masking_shard", "train")] * 6
    check_disk(run, [("demo_release", None), *shards, ("pretrain", None), *FINETUNE * 3])


def test_what_interrupted_jobs_have_left_is_not_needed_again(run, tmp_path, monkeypatch):
    size = job_bytes(run, "finetune").size
    with_free(monkeypatch, 1.1 * size - 1e6)
    for name in ("model/checkpoint-1", "model/checkpoint-2"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "optimizer.pt").write_bytes(bytes(500_000))
    (tmp_path / "more").write_bytes(bytes(10))
    with pytest.raises(InputError):
        check_disk(run, FINETUNE, {"corpus": [tmp_path / "model"]})
    left = [tmp_path / "model", tmp_path / "more", tmp_path / "nowhere"]
    check_disk(run, FINETUNE, {"models and checkpoints": left})
    monkeypatch.setattr(preflight, "size_of", lambda path: 10**15)
    check_disk(run, FINETUNE, {"models and checkpoints": left})


def test_a_run_is_not_refused_by_what_nobody_knows(tmp_path, monkeypatch):
    """A small archive, a dataset of the hub or of another language is not all of English."""
    (tmp_path / "small.tar.gz").write_bytes(bytes(9_000_000))
    archive = {"source": "release", "release": str(tmp_path / "small.tar.gz")}
    jobs = [("corpus_stream", None), *[("masking_shard", "train")] * 3 * 256]
    with_free(monkeypatch, GB)
    check_disk(planned(changed(FULL, corpus=archive), tmp_path), jobs)
    for unknown in (
        {"source": "hub", "hub": {"dataset": "somebody/small"}},
        {"source": "mdc", "mdc": {"dataset": "common-voice-basque"}},
    ):
        check_disk(planned(changed(FULL, corpus=unknown), tmp_path), jobs)
    with pytest.raises(InputError, match="corpus 244 GB"):
        check_disk(planned(changed(FULL, corpus=ENGLISH), tmp_path), jobs)
