"""Download the checkpoint that training starts from."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from hearing_asr.models import download

    download(
        snakemake.params.checkpoint,
        snakemake.params.revision,
        Path(snakemake.output.config).parent,
    )
