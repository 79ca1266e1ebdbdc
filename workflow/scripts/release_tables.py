"""Verify a release's archive, and take its tables out of it."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from hearing_asr.archive import unpack_tables

    unpack_tables(
        snakemake.params.archive,
        Path(snakemake.output.release).parent,
        tables=snakemake.params.tables,
        optional=["clip_durations"],
        sha256=snakemake.params.sha256,
    )
