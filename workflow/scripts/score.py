"""Score the predictions of all models on all variants."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.score_tables import write_scores

    cells = [tuple(cell) for cell in snakemake.params.cells]
    output = snakemake.output
    write_scores(
        dict(zip(cells, snakemake.input.predictions, strict=True)),
        output.scores,
        output.matrix,
        output.failures,
    )
