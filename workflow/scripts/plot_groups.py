"""Draw word error rates by group."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plots.groups import plot_groups

    params = snakemake.params
    plot_groups(
        snakemake.input.groups,
        figures={name: snakemake.output[name] for name in params.variants},
        dpi=params.dpi,
        figsize=params.figsize,
    )
