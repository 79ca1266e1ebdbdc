"""What goes wrong on a cluster: jobs that are killed, nodes that fail, time that runs out."""

import os
import re
import signal
import subprocess
from pathlib import Path

from tests.slurm.conftest import jobs_of, rule_of, wait_for

MASKED = "data/demo/hfloss/audio/train"
MODEL = "results/demo/whisper_finetuned_hfloss"


def queue(folder: Path, rule: str, state: str = "RUNNING") -> list[str]:
    """Ids of the jobs of a rule that are in the queue in that state."""
    listed = subprocess.run(
        ["squeue", "--array", "--noheader", "--format=%i|%T|%Z|%k"], capture_output=True, text=True
    ).stdout
    jobs = [line.split("|", 3) for line in listed.splitlines()]
    return [
        number
        for number, now, where, comment in jobs
        if now == state and Path(where) == folder and comment.startswith(f"rule_{rule}")
    ]


def finished(process: subprocess.Popen, seconds: float) -> int:
    """Exit status of a process that ends within `seconds`."""
    try:
        return process.wait(seconds)
    finally:
        process.kill()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.arrow"))}


def test_a_training_survives_a_failed_node_and_its_time_limit(study):
    """It goes on from a checkpoint each time, and ends."""
    slow = study / "workflow/lib/hearing_asr/training_data.py"
    # Longer than it may take on any machine; Slurm looks at time limits every half minute.
    slow.write_text(
        slow.read_text().replace(
            "        shape = (len(rows),",
            "        __import__('time').sleep(0.4)\n        shape = (len(rows),",
        )
    )
    with study.profile() as profile:
        profile["set-resources"]["finetune"]["runtime"] = 1
        # All in one minute: Slurm's own SIGTERM, at the limit, must do.
        profile["set-resources"]["finetune"].pop("slurm_extra", None)
    known = len(jobs_of(study.folder))
    steps = {"max_steps": 210, "save_steps": 10, "eval_steps": 105, "logging_steps": 30}
    (study / "long.yaml").write_text(f"training: {steps}\n")
    arguments = ["--configfile", "config/config.yaml", "tiny.yaml", "long.yaml"]
    run = study.start(f"{MODEL}/model.safetensors", *arguments)
    (job,) = wait_for(lambda: queue(study.folder, "finetune"), 240, "the training runs")
    wait_for(lambda: (study / MODEL / "checkpoint-10").exists(), 180, "a checkpoint")
    node = subprocess.getoutput("sinfo --noheader --format=%n").split()[0]
    scontrol("update", f"nodename={node}", "state=down", "reason=test")
    wait_for(lambda: job in queue(study.folder, "finetune", "PENDING"), 120, "requeued")
    wait_for(lambda: not subprocess.getoutput("pgrep slurmstepd"), 120, "the job has left the node")
    scontrol("update", f"nodename={node}", "state=resume")
    scontrol("update", f"jobid={job}", "starttime=now")
    assert finished(run, 600) == 0
    jobs = [job for job in jobs_of(study.folder)[known:] if rule_of(job) == "finetune"]
    node_fail, *timeouts, completed = [job["state"].split()[0] for job in jobs]
    assert (node_fail, set(timeouts), completed) == ("NODE_FAIL", {"TIMEOUT"}, "COMPLETED")
    log = (study / MODEL / "training.log").read_text()
    resumed = [int(step) for step in re.findall(r"going on from checkpoint-(\d+)", log)]
    assert len(resumed) == len(jobs) - 1
    assert 10 <= resumed[0] < resumed[1] < 210


def test_shards_that_die_are_redone_alone(study):
    """One is cancelled, the program of another is killed."""
    before, known = contents(study / MASKED), len(jobs_of(study.folder))
    run = study.start("masking", "--forcerun", "masking_shard")
    first, second = wait_for(
        lambda: (ids := queue(study.folder, "masking_shard"))[1:] and ids[:2], 180, "two shards run"
    )
    subprocess.run(["scancel", first], check=True)
    processes = wait_for(lambda: processes_of(second), 60, "processes of a job")
    os.kill(max(processes), signal.SIGKILL)
    assert finished(run, 480) == 0
    jobs = [job for job in jobs_of(study.folder)[known:] if rule_of(job) == "masking_shard"]
    states = sorted(job["state"].split()[0] for job in jobs)
    assert states == ["CANCELLED"] + 4 * ["COMPLETED"] + ["FAILED"]
    told = (study / "snakemake.log").read_text()
    assert f"SLURM-job '{first}' failed, SLURM status is: 'CANCELLED'" in told
    assert f"SLURM-job '{second}' failed, SLURM status is: 'FAILED'" in told
    assert contents(study / MASKED) == before
    assert not study.planned(*study.arguments("masking"))


def processes_of(job: str) -> list[int]:
    """Processes that run a masking script in a job: Slurm knows each by its job's environment."""
    array, task = job.split("_")
    wanted = {f"SLURM_ARRAY_JOB_ID={array}".encode(), f"SLURM_ARRAY_TASK_ID={task}".encode()}
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            environment = set((path / "environ").read_bytes().split(b"\0"))
            if wanted <= environment and b"python" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:  # it has ended
            continue
    return found


def test_the_submitting_process_dies(study):
    """Its jobs wait for the node meanwhile, however quick they are."""
    node = subprocess.getoutput("sinfo --noheader --format=%n").split()[0]
    scontrol("update", f"nodename={node}", "state=drain", "reason=test")
    try:
        refused_beside_old_jobs(study)
    finally:
        scontrol("update", f"nodename={node}", "state=resume")
    wait_for(lambda: not subprocess.getoutput("squeue --noheader"), 240, "the queue is empty")
    study.slurm("masking")
    assert not study.planned(*study.arguments("masking"))


def refused_beside_old_jobs(study):
    run = study.start("masking", "--forcerun", "masking_shard")
    wait_for(lambda: queue(study.folder, "masking_shard", "PENDING"), 180, "shards are submitted")
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    locked = study.slurm("masking", check=False)
    assert "--unlock" in locked.stdout + locked.stderr
    study.slurm("--unlock")
    left = queue(study.folder, "masking_shard", "PENDING")
    refused = study.slurm("masking", check=False)
    assert refused.returncode != 0
    assert "that an earlier Snakemake submitted" in refused.stdout + refused.stderr
    assert re.search(rf"scancel [\d ]*\b{left[0].split('_')[0]}\b", refused.stdout + refused.stderr)


def scontrol(*arguments: str) -> None:
    subprocess.run(["scontrol", *arguments], check=True)


def test_an_account_that_is_not_there(study):
    profile = study / "profiles/slurm/config.yaml"
    before = profile.read_text()
    profile.write_text(before.replace('"hearing"', '"nonesuch"'))
    try:
        run = study.slurm("plots", "--forcerun", "plot_audiograms", "--retries", "0", check=False)
    finally:
        profile.write_text(before)
    told = run.stdout + run.stderr
    assert run.returncode != 0
    assert "account nonesuch appears to be invalid" in told
    assert "hearing" in told


def test_gpus_that_are_not_there(study):
    """The node has what Slurm calls GPUs; nothing computes on them."""
    overlay = ["--configfile", "config/config.yaml", "tiny.yaml", "gpus.yaml"]
    (study / "gpus.yaml").write_text("training: {num_gpus: 4}\n")
    run = study.slurm(f"{MODEL}/model.safetensors", *overlay, "--retries", "0", check=False)
    assert run.returncode != 0
    assert "training.num_gpus is 4, but only 0 can be seen here" in run.stdout + run.stderr
