"""Draw which sounds of speech are lost."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plots.phonemes import plot_phonemes

    plot_phonemes(
        snakemake.input.classes,
        snakemake.input.phonemes,
        classes=snakemake.output.classes,
        phonemes=snakemake.output.phonemes,
        reference=snakemake.params.reference,
        dpi=snakemake.params.dpi,
        figsize=snakemake.params.figsize,
    )
