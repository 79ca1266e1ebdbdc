"""Score the predictions of all models on all variants."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.scoring import write_scores

    cells = [(model, variant) for model, variant in snakemake.params.cells]
    write_scores(
        dict(zip(cells, snakemake.input.predictions, strict=True)),
        snakemake.output.scores,
        snakemake.output.matrix,
    )
