"""Write the report: one HTML file with everything."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.report.page import Sources, write_report

    files, params, output = snakemake.input, snakemake.params, snakemake.output
    cells = [tuple(cell[:2]) for cell in params.cells]
    shards = iter(files.shards)
    write_report(
        Sources(
            template=files.template,
            captions=dict(zip(params.captions, files.captions, strict=True)),
            tables=dict(zip(params.tables, files.tables, strict=True)),
            figures=dict(zip(params.figures, files.figures, strict=True)),
            card=files.card,
            predictions=dict(zip(cells, files.predictions, strict=True)),
            audio={name: [next(shards) for _ in range(params.shards)] for name in params.sounds},
        ),
        config=params.config,
        reference=params.reference,
        page=output.page,
        markdown=output.markdown,
        latex=output.latex,
    )
