"""The corpus card: tables, the list of clips, and a figure."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    from hearing_asr.corpus_card import SplitFiles, write_card
    from hearing_asr.plots.corpus import plot_corpus

    splits, files, output = snakemake.params.splits, snakemake.input, snakemake.output
    write_card(
        {
            split: SplitFiles(
                Path(counts), Path(rejected), sorted(Path(rejected).parent.glob(pattern))
            )
            for (split, pattern), counts, rejected in zip(
                splits.items(), files.counts, files.rejected, strict=True
            )
        },
        files.overlap,
        next(iter(files.get("release", [])), None),
        snakemake.params.corpus,
        card=output.card,
        table=output.table,
        excluded=output.excluded,
        demographics=output.demographics,
        clips=output.clips,
    )
    plot_corpus(
        output.card,
        output.excluded,
        output.demographics,
        output.figure,
        dpi=snakemake.params.dpi,
        figsize=snakemake.params.figsize,
    )
