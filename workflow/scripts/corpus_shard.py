"""Decode the clips of one shard."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.corpus import Limits, ingest_shard

    ingest_shard(
        snakemake.input.clip_table,
        snakemake.input.clips,
        snakemake.params.number,
        Limits(snakemake.params.min_duration, snakemake.params.max_duration),
        snakemake.output.shard,
        snakemake.output.rejected,
    )
