"""Describe the clips of the test split."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.clip_facts import write_clip_facts

    write_clip_facts(snakemake.input.shards, snakemake.output[0])
