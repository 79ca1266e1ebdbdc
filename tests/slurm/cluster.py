"""A real Slurm on this machine: one node, 64 CPUs, 500 GB and 4 GPUs declared, with accounting.

    python tests/slurm/cluster.py start     then sbatch, squeue, sacct as on any cluster
    python tests/slurm/cluster.py stop

Needs root and PACKAGES. Slurm looks for its configuration in /etc/slurm, and jobs do not inherit
SLURM_CONF, so it is written there, and only where there is none but an earlier one of ours. Works
without systemd and control groups: nothing holds a job to the memory and CPUs that it asked for.
"""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge", "slurmdbd", "mariadb-server", "procps"]
PROGRAMS = ["slurmctld", "slurmd", "slurmdbd", "sbatch", "sacct", "munged", "mariadbd", "pgrep"]
CONFIG = Path("/etc/slurm")
MARK = "# Written by tests/slurm/cluster.py: a cluster for tests.\n"
STATE = Path("/var/tmp/hearing-asr-slurm")  # of the daemons; removed when they stop
CPUS, MEMORY_MB, GPUS = 64, 512_000, 4
ACCOUNT = "hearing"
PATIENCE = 60  # seconds for a daemon to come up

# Runs in the environment of every job step: what the jobs themselves see of what they were given.
TASK_PROLOG = """\
#!/bin/sh
env | grep -E '^(SLURM|CUDA)' > {state}/seen/$SLURM_JOB_ID.$SLURM_STEP_ID
"""

SLURM = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={state}/slurmctld
SlurmdSpoolDir={state}/slurmd
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
TaskProlog={state}/task_prolog
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=10000
GresTypes=gpu
ReturnToService=0
KillWait=20
OverTimeLimit=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=1-00:00:00
PartitionName=gpu Nodes={host} MaxTime=7-00:00:00
"""
SLURMDBD = """\
AuthType=auth/munge
DbdHost={host}
DbdAddr=127.0.0.1
SlurmUser=root
PidFile={state}/slurmdbd.pid
LogFile={state}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct
"""


def missing() -> str | None:
    """Why no cluster can be started here, and what to do; None if one can."""
    absent = [name for name in PROGRAMS if _program(name) is None]
    if absent:
        return (
            f"{', '.join(absent)} not installed (Debian: apt-get install "
            f"--no-install-recommends {' '.join(PACKAGES)})"
        )
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    theirs = CONFIG / "slurm.conf"
    if theirs.exists() and not theirs.read_text().startswith(MARK):
        return f"{theirs} belongs to another cluster: run these tests on a machine without one"
    return None


def start() -> None:
    """Start the cluster, anew if there is one.

    Raises:
        RuntimeError: it cannot be started here, or a daemon does not come up.
    """
    reason = missing()
    if reason is not None:
        raise RuntimeError(reason)
    stop()
    for folder in ("slurmctld", "slurmd", "gpus", "munge", "seen"):
        (STATE / folder).mkdir(parents=True)
    _write_config()
    _start_munge()
    _start_database()
    _daemon("slurmdbd")
    _wait("slurmdbd", lambda: _ok("sacctmgr", "-n", "list", "cluster"))
    _account()
    _daemon("slurmctld", "-c")
    _wait("slurmctld", lambda: _ok("scontrol", "ping"))
    _daemon("slurmd")
    _wait("slurmd", lambda: "idle" in _output("sinfo", "-h", "-o", "%T"))


def seen_by(job: str) -> dict[str, str]:
    """The variables of Slurm and CUDA in the environment of a job's first step."""
    lines = (STATE / f"seen/{job}.0").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def stop() -> None:
    """Stop the cluster's daemons and jobs, and remove what they left."""
    if not (STATE.exists() or (CONFIG / "slurm.conf").exists()):
        return
    if _ok("scontrol", "ping"):
        _ok("scancel", "--me")
        with suppress(RuntimeError):
            _wait("jobs to end", lambda: not _output("squeue", "--me", "--noheader"))
    for name in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munge/munged"):
        _end(STATE / f"{name}.pid")
    for name in ("slurm.conf", "slurmdbd.conf", "gres.conf"):
        path = CONFIG / name
        if path.exists() and path.read_text().startswith(MARK):
            path.unlink()
    shutil.rmtree(STATE, ignore_errors=True)


def _write_config() -> None:
    facts = {
        "host": socket.gethostname().split(".")[0],
        "state": STATE,
        "cpus": CPUS,
        "memory": MEMORY_MB,
        "gpus": GPUS,
    }
    gres = "".join(f"Name=gpu File={_device(number)}\n" for number in range(GPUS))
    CONFIG.mkdir(exist_ok=True)
    for name, text in (("slurm", SLURM), ("slurmdbd", SLURMDBD), ("gres", gres)):
        path = CONFIG / f"{name}.conf"
        path.touch()
        path.chmod(0o600 if name == "slurmdbd" else 0o644)
        path.write_text(MARK + text.format(**facts))
    prolog = STATE / "task_prolog"
    prolog.write_text(TASK_PROLOG.format(state=STATE))
    prolog.chmod(0o755)


def _device(number: int) -> Path:
    """A character device that stands for a GPU: the null device under another name."""
    path = STATE / "gpus" / f"gpu{number}"
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    return path


def _start_munge() -> None:
    """Munge as its own user, with a key of its own and the socket where Slurm looks for it.

    Unless this machine has one that works already.
    """
    if _ok("munge", "-n"):
        return
    owner = pwd.getpwnam("munge")
    key, socket_folder = STATE / "munge/key", Path("/run/munge")
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    socket_folder.mkdir(exist_ok=True)
    for path in (key.parent, key, socket_folder):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    key.parent.chmod(0o700)
    STATE.chmod(0o755)
    files = [f"--key-file={key}"]
    for name in ("log", "seed", "pid"):
        files.append(f"--{name}-file={key.parent}/munged.{name}")
    _daemon("munged", "--force", *files, user="munge")
    _wait("munged", lambda: _ok("munge", "-n"))


def _start_database() -> None:
    """MariaDB for the accounting, listening on this machine only."""
    folder = STATE / "database"
    socket_file = STATE / "database.socket"
    owner = pwd.getpwnam("mysql")
    folder.mkdir()
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    STATE.chmod(0o777)  # for the socket
    _run("mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={folder}")
    command = [_program("mariadbd"), "--no-defaults", "--user=mysql", f"--datadir={folder}"]
    command += [f"--socket={socket_file}", "--bind-address=127.0.0.1", "--port=13306"]
    command += ["--innodb-lock-wait-timeout=900", f"--log-error={STATE}/mariadbd.log"]
    subprocess.Popen(
        [*command, f"--pid-file={STATE}/mariadbd.pid"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    client = ["mariadb", "--no-defaults", f"--socket={socket_file}", "-e"]
    _wait("mariadbd", lambda: _ok(*client, "select 1"))
    _run(*client, "create user 'slurm'@'127.0.0.1' identified by 'slurm'")
    _run(*client, "grant all on slurm_acct.* to 'slurm'@'127.0.0.1'")


def _account() -> None:
    """The only account that jobs may run under: another one is refused, as on most clusters."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    _run("sacctmgr", "-i", "add", "cluster", "test")
    _run("sacctmgr", "-i", "add", "account", ACCOUNT, "description=test", "organization=test")
    _run("sacctmgr", "-i", "add", "user", user, f"account={ACCOUNT}")
    _run("sacctmgr", "-i", "modify", "user", user, "set", f"defaultaccount={ACCOUNT}")


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _daemon(name: str, *options: str, user: str | None = None) -> None:
    subprocess.run(
        [_program(name), *options],
        check=True,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _end(pid_file: Path) -> None:
    """End the daemon that wrote a file with its process id; no other of its name."""
    try:
        pid = int(pid_file.read_text())
        for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
            os.kill(pid, number)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                os.kill(pid, 0)
                time.sleep(0.2)
    except (OSError, ValueError):  # it has ended, or never began
        return


def _wait(name: str, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            log = STATE / f"{name}.log"
            told = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise RuntimeError(f"{name} did not come up in {PATIENCE} s\n{told}")
        time.sleep(0.3)


def _ok(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stdout}{result.stderr}")


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]]()
