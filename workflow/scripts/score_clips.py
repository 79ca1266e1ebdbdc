"""Score the transcripts of one model on one variant, clip by clip."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.predictions import write_predictions

    write_predictions(
        snakemake.input.transcripts,
        snakemake.output[0],
        normalizer=snakemake.params.normalizer,
    )
