"""Compare all models on all variants: intervals, differences, losses and recoveries."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.comparisons import write_comparisons
    from hearing_asr.uncertainty import Draws

    params, output = snakemake.params, snakemake.output
    cells = [tuple(cell) for cell in params.cells]
    write_comparisons(
        dict(zip(cells, snakemake.input.predictions, strict=True)),
        params.reference,
        Draws(params.replicates, params.seed),
        output.intervals,
        output.comparisons,
        output.effects,
    )
