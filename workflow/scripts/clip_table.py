"""Choose the clips of a split and the shard of each."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.release import write_clip_table

    write_clip_table(
        snakemake.input.table,
        snakemake.output[0],
        shards=snakemake.params.shards,
        max_clips=snakemake.params.max_clips,
    )
