"""Make a dataset of the shards that lie in its folder, and judge what was rejected."""

from pathlib import Path

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.corpus import gather_dataset

    def by_split(files):
        return {
            split: [file for file in files if Path(file).parent.name == split]
            for split in snakemake.params.splits
        }

    rejected = snakemake.input.get("rejected")
    gather_dataset(
        Path(snakemake.output.dataset).parent,
        by_split(snakemake.input.shards),
        by_split(rejected) if rejected else {},
        snakemake.params.get("max_rejected"),
    )
