"""Make one dataset of its splits."""

from pathlib import Path

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.shards import write_dataset_dict

    write_dataset_dict(Path(snakemake.output[0]).parent, snakemake.params.splits)
