"""Draw which information each variant leaves."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plots.information import plot_information

    tables, output = snakemake.input, snakemake.output
    plot_information(
        tables.floor,
        tables.spectrum,
        tables.sii,
        tables.intervals,
        floor=output.floor,
        spectrum=output.spectrum,
        sii=output.sii,
        dpi=snakemake.params.dpi,
        figsize=snakemake.params.figsize,
    )
