"""Draw what the jobs of every rule used of the memory, time and cores that they had requested."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plots.usage import plot_usage

    params = snakemake.params
    plot_usage(
        params.benchmarks,
        path=snakemake.output.figure,
        csv=snakemake.output.csv,
        rules=params.rules,
        dpi=params.dpi,
        figsize=params.figsize,
    )
