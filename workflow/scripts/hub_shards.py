"""Decode the clips of a dataset of the Hub into all shards, in one pass."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.corpus import Limits
    from hearing_asr.hub import HubDataset, stream_clips
    from hearing_asr.ingest import identity_of, ingest, shard_outputs

    source = HubDataset(**snakemake.params.source)
    limits = Limits(snakemake.params.min_duration, snakemake.params.max_duration)
    ingest(
        lambda skip: stream_clips(source, snakemake.input.release, skip),
        shard_outputs(
            snakemake.params.shards,
            snakemake.input.clip_tables,
            snakemake.output.shards,
            snakemake.output.rejected,
        ),
        snakemake.params.folder,
        limits,
        workers=snakemake.threads,
        identity=identity_of(snakemake.input, limits),
    )
