"""Decode the clips of an archive into all shards, in one pass."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    import json
    from pathlib import Path

    from hearing_asr.archive import archive_clips
    from hearing_asr.corpus import Limits
    from hearing_asr.ingest import identity_of, ingest, shard_outputs

    release = json.loads(Path(snakemake.input.release).read_text())
    limits = Limits(snakemake.params.min_duration, snakemake.params.max_duration)
    ingest(
        lambda skip: archive_clips(snakemake.params.archive, release["name"], skip),
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
