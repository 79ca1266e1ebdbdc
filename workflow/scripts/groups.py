"""Score groups of speakers and clips."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.groups import Least, write_groups
    from hearing_asr.uncertainty import Draws

    params = snakemake.params
    cells = [tuple(cell) for cell in params.cells]
    write_groups(
        dict(zip(cells, snakemake.input.predictions, strict=True)),
        snakemake.input.facts,
        snakemake.output[0],
        Draws(params.replicates, params.seed),
        Least(params.min_speakers, params.min_clips),
    )
