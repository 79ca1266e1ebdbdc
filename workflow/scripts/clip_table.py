"""Choose the clips of a split and the shard of each."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.selection import Selection, write_clip_table

    write_clip_table(
        snakemake.input.table,
        snakemake.output.table,
        snakemake.output.excluded,
        snakemake.output.counts,
        split=snakemake.params.split,
        selection=Selection(**snakemake.params.selection),
        max_damaged=snakemake.params.max_damaged,
        durations=next(iter(snakemake.input.get("durations", [])), None),
        held_out=snakemake.input.get("held_out", []),
    )
