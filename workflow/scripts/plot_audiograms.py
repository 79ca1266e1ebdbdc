"""Draw the audiograms of all variants."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plots.audiograms import plot_audiograms

    params = snakemake.params
    plot_audiograms(
        params.audiograms,
        path=snakemake.output.figure,
        csv=snakemake.output.csv,
        dpi=params.dpi,
        figsize=params.figsize,
    )
