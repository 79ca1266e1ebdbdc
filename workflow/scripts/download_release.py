"""Download a release from Mozilla Data Collective."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.mdc import download

    download(
        snakemake.params.dataset,
        snakemake.params.archive,
        snakemake.output[0],
        sha256=snakemake.params.sha256,
    )
