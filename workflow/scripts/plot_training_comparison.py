"""Overlay the learning curves of all variants."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plots.training import COMPARED, plot_training_comparison

    output, params = snakemake.output, snakemake.params
    plot_training_comparison(
        params.runs,
        figures={name: output[name] for name in COMPARED},
        overview=output.overview,
        csv=output.csv,
        dpi=params.dpi,
        figsize=params.figsize,
        smooth=params.smooth,
    )
