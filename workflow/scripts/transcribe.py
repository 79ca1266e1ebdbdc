"""Transcribe the test split of one variant with one model."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.transcribe import transcribe

    transcribe(
        snakemake.params.model,
        snakemake.params.logmel,
        snakemake.output[0],
        batch_size=snakemake.params.batch_size,
        language=snakemake.params.language,
        task=snakemake.params.task,
        generation_max_length=snakemake.params.generation_max_length,
        num_beams=snakemake.params.num_beams,
        temperature=snakemake.params.temperature,
        seed=snakemake.params.seed,
        threads=snakemake.threads,
    )
