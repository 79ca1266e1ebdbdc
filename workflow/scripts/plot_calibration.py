"""Draw errors over confidence."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plots.calibration import plot_calibration

    plot_calibration(
        snakemake.input.bins,
        snakemake.output.figure,
        dpi=snakemake.params.dpi,
        figsize=snakemake.params.figsize,
    )
