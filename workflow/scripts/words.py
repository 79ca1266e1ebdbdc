"""Count which words are heard as which others."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.confusions import write_confusions

    cells = [tuple(cell[:2]) for cell in snakemake.params.cells]
    files = dict(zip(cells, snakemake.input.predictions, strict=True))
    write_confusions(files, snakemake.output[0])
