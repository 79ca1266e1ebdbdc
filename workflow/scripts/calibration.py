"""Compare the confidence of the models with their errors."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.calibration import write_calibration

    cells = [tuple(cell[:2]) for cell in snakemake.params.cells]
    write_calibration(
        dict(zip(cells, snakemake.input.predictions, strict=True)),
        snakemake.output.bins,
        snakemake.output.summary,
    )
