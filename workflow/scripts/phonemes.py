"""Count which sounds of speech are lost."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.phonemes import write_phonemes

    params, output = snakemake.params, snakemake.output
    cells = [tuple(cell[:2]) for cell in params.cells]
    write_phonemes(
        dict(zip(cells, snakemake.input.predictions, strict=True)),
        output.phonemes,
        output.classes,
        output.losses,
        reference=params.reference,
        replicates=params.replicates,
        seed=params.seed,
    )
