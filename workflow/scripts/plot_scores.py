"""Draw the word error rates of all models on all variants."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plots.scores import plot_scores

    params = snakemake.params
    plot_scores(
        snakemake.input.intervals,
        matrix=snakemake.output.matrix,
        bars=snakemake.output.bars,
        dpi=params.dpi,
        figsize=params.figsize,
    )
