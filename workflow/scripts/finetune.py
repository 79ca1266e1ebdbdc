"""Train a model, in one process on the CPU or on a GPU, or in one process per GPU.

    finetune.py --settings '{"learning_rate": 1.5e-5, ...}' --threads 4 --log-file finetune.log

The settings are those of `hearing_asr.training_settings.TrainingSettings`, as a JSON object. Where
several processes are to train, this program checks what can be checked beforehand and starts
itself once per process.

Exit status: 0, the model is there; 143, stopped by SIGTERM (130 by SIGINT), and another start goes
on from the checkpoint that was saved; anything else, an error that the log file explains.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
# OpenMP's threads wait for each other by spinning. On cores that other programs use as well, that
# makes training many times slower; letting them sleep costs some 2 % where they are alone.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hearing_asr.joblog import job_log, keep_log
from hearing_asr.launch import follow_launcher, is_worker, launch


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune Whisper on a log-Mel dataset.")
    parser.add_argument("--settings", required=True, help="settings as a JSON object")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads to use")
    parser.add_argument("--log-file", required=True, help="log file to append to")
    parser.add_argument(
        "--processes", type=int, help="processes that train together (default: one per GPU)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to save: just end
    with job_log(options.log_file, int(os.environ["RANK"]) if is_worker() else None):
        from hearing_asr.training_settings import (
            TrainingSettings,
            check_devices,
            usable_gpus,
        )

        settings = TrainingSettings.from_json(options.settings, threads=options.threads)
        keep_log(Path(settings.output_folder) / "training.log")
        processes = options.processes or settings.processes
        if is_worker():
            follow_launcher()
        elif processes > 1:
            check_devices(settings, processes, usable_gpus(), processes)
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, options.threads // processes)))
            sys.exit(launch(sys.argv, processes))
        from hearing_asr.finetune import finetune  # slow: not before the settings are known good

        finetune(settings, processes)


if __name__ == "__main__":
    main()
