# The report: one HTML file that holds everything.
#
# in   tables, figures, predictions, the test split's audio for a few examples
# out  results/{run}/report.html, the main table in Markdown and LaTeX

REPORT_TABLES = {
    **{name.removesuffix(".csv"): f"{RESULTS}/metrics/{name}" for name in METRICS},
    "audiograms": f"{RESULTS}/plots/audiograms.csv",
    "clip": f"{RESULTS}/plots/clip.csv",
    "corpus": f"{RESULTS}/corpus/corpus.csv",
    "demographics": f"{RESULTS}/corpus/demographics.csv",
    "excluded": f"{RESULTS}/corpus/excluded.csv",
    "usage": f"{RESULTS}/metrics/usage.csv",
    **({"training": f"{RESULTS}/plots/training/metrics.csv"} if LOGGED else {}),
}
REPORT_FIGURES = {
    **{
        name: f"{RESULTS}/plots/{name}.{PLOT}"
        for name in FIGURES
        if name != "wer_matrix"
    },
    "corpus": f"{RESULTS}/corpus/corpus.{PLOT}",
    "usage": f"{RESULTS}/plots/usage.{PLOT}",
    **(
        {"training_overview": f"{RESULTS}/plots/training/overview.{PLOT}"}
        if LOGGED
        else {}
    ),
}
REPORT_CAPTIONS = [
    "audiograms",
    "calibration_plot",
    "clip",
    "comparison_overview",
    "corpus",
    "failures",
    "floor_plot",
    "groups_plot",
    "phoneme_classes_plot",
    "phonemes_plot",
    "sii_plot",
    "spectrum_plot",
    "usage",
    "wer_bars",
]
SOUNDS = {
    UNMASKED: f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow",
    **{
        name: f"{DATA}/{name}/audio/{{split}}/data-{{shard}}.arrow" for name in VARIANTS
    },
}


rule write_report:
    input:
        code=code(
            "write_report",
            "audio",
            "mp3",
            "cells",
            "names",
            "report/__init__",
            "report/examples",
            "report/methods",
            "report/numbers",
            "report/page",
            "report/rows",
            "report/story",
            "shards",
            "uncertainty",
            *SCORED,
        ),
        template=f"{WORKFLOW}/report/page.html",
        captions=expand(f"{WORKFLOW}/report/{{name}}.rst", name=REPORT_CAPTIONS),
        tables=list(REPORT_TABLES.values()),
        figures=list(REPORT_FIGURES.values()),
        card=f"{RESULTS}/corpus/card.json",
        predictions=FIRST_PREDICTIONS,
        shards=[
            file
            for pattern in SOUNDS.values()
            for file in shard_files(pattern, "test")
        ],
    output:
        page=f"{RESULTS}/report.html",
        markdown=f"{RESULTS}/metrics/main_table.md",
        latex=f"{RESULTS}/metrics/main_table.tex",
    log:
        f"{LOGS}/plots/report.log",
    benchmark:
        f"{BENCHMARKS}/write_report/report.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        captions=REPORT_CAPTIONS,
        tables=list(REPORT_TABLES),
        figures=list(REPORT_FIGURES),
        cells=FIRST_CELLS,
        sounds=list(SOUNDS),
        shards=config["corpus"]["splits"]["test"]["shards"],
        reference=REFERENCE,
        config=config,
    script:
        "../scripts/write_report.py"
