"""Synthesize the demo corpus as a release of Common Voice."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from hearing_asr.demo_corpus import write_release

    write_release(
        folder=Path(snakemake.output.clips).parent,
        clips=snakemake.params.clips,
        sample_rate=snakemake.params.sample_rate,
        seed=snakemake.params.seed,
        workers=snakemake.threads,
    )
