"""Make sure that the splits have nothing in common that they should not."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.overlap import check_splits

    check_splits(
        dict(zip(snakemake.params.splits, snakemake.input.tables, strict=True)),
        snakemake.output[0],
        snakemake.params.allowed,
    )
