"""Make a dataset of the shards of one split, once they hold what they should."""

from pathlib import Path

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.corpus import gather_checked

    gather_checked(
        Path(snakemake.output.state).parent,
        snakemake.input.shards,
        rejected=snakemake.input.get("rejected", ()),
        max_rejected=snakemake.params.get("max_rejected", 0.0),
        corpus=snakemake.input.get("corpus_shards", ()),
    )
