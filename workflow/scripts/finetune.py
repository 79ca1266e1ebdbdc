"""Train a model. Started by its rule with `python`, or with `torchrun` for one process per GPU.

    finetune.py --settings '{"learning_rate": 1.5e-5, ...}' --threads 4 --log-file finetune.log

The settings are those of `hearing_asr.training_settings.TrainingSettings`, as a JSON object.
"""

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
# OpenMP's threads wait for each other by spinning. On cores that other programs use as well, that
# makes training many times slower; letting them sleep costs some 2 % where they are alone.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hearing_asr.errors import InputError
from hearing_asr.joblog import job_log


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune Whisper on a log-Mel dataset.")
    parser.add_argument("--settings", required=True, help="settings as a JSON object")
    parser.add_argument("--threads", type=int, required=True, help="CPU threads to use")
    parser.add_argument("--log-file", required=True, help="log file to write")
    parser.add_argument(
        "--processes", type=int, help="processes that train together (default: one per GPU)"
    )
    options = parser.parse_args()
    with _log(options.log_file):
        from hearing_asr.training_settings import TrainingSettings

        settings = TrainingSettings.from_json(options.settings, threads=options.threads)
        from hearing_asr.finetune import finetune  # slow: not before the settings are known good

        finetune(settings, options.processes)


@contextmanager
def _log(path: str) -> Iterator[None]:
    """The log of the first process; the others say only what nobody expects."""
    if os.environ.get("RANK", "0") == "0":
        with job_log(path):
            yield
        return
    logging.basicConfig(level=logging.WARNING)
    try:
        yield
    except InputError:
        sys.exit(1)


if __name__ == "__main__":
    main()
