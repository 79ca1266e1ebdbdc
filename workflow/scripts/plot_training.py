"""Draw the learning curves of one training run."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plots.training import METRICS, plot_training

    output, params = snakemake.output, snakemake.params
    plot_training(
        params.runs,
        figures={name: output[name] for name in METRICS},
        overview=output.training_overview,
        summary=output.summary,
        csv=output.csv,
        title=params.title,
        dpi=params.dpi,
        figsize=params.figsize,
        smooth=params.smooth,
    )
