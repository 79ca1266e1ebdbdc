# Plots of the analyses: for whom, how surely, in which sounds, with what left to hear.
#
# in   results/{run}/metrics/*.csv
# out  results/{run}/plots


rule plot_groups:
    input:
        code=code(
            "plot_groups",
            "names",
            "plots/__init__",
            "plots/groups",
            "plots/style",
            "plots/tables",
        ),
        groups=f"{RESULTS}/metrics/groups.csv",
    output:
        **{
            name: figure(
                f"{RESULTS}/plots/groups/{name}",
                "groups_plot",
                "Groups",
                f"WER by group, {name}",
            )
            for name in VARIANTS
        },
    log:
        f"{LOGS}/plots/groups.log",
    benchmark:
        f"{BENCHMARKS}/plot_groups/groups.jsonl"
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
        variants=VARIANTS,
    script:
        "../scripts/plot_groups.py"


rule plot_calibration:
    input:
        code=code(
            "plot_calibration",
            "names",
            "plots/__init__",
            "plots/calibration",
            "plots/style",
            "plots/tables",
        ),
        bins=f"{RESULTS}/metrics/calibration.csv",
    output:
        figure=figure(
            f"{RESULTS}/plots/calibration",
            "calibration_plot",
            "Confidence",
            "WER by confidence",
        ),
    log:
        f"{LOGS}/plots/calibration.log",
    benchmark:
        f"{BENCHMARKS}/plot_calibration/calibration.jsonl"
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
    script:
        "../scripts/plot_calibration.py"


if ENGLISH:

    rule plot_phonemes:
        input:
            code=code(
                "plot_phonemes",
                "names",
                "plots/__init__",
                "plots/phonemes",
                "plots/scores",
                "plots/style",
                "plots/tables",
            ),
            classes=f"{RESULTS}/metrics/phoneme_classes.csv",
            phonemes=f"{RESULTS}/metrics/phonemes.csv",
        output:
            classes=figure(
                f"{RESULTS}/plots/phoneme_classes",
                "phoneme_classes_plot",
                "Misheard",
                "errors by class of phonemes",
            ),
            phonemes=figure(
                f"{RESULTS}/plots/phonemes",
                "phonemes_plot",
                "Misheard",
                "phonemes that are lost",
            ),
        log:
            f"{LOGS}/plots/phonemes.log",
        benchmark:
            f"{BENCHMARKS}/plot_phonemes/phonemes.jsonl"
        conda:
            "../../envs/plot.yaml"
        resources:
            mem_mb=per_attempt(SMALL),
            runtime=per_attempt(SHORT),
        params:
            **PLOT_STYLE,
            reference=REFERENCE,
        script:
            "../scripts/plot_phonemes.py"


rule plot_information:
    input:
        code=code(
            "plot_information",
            "names",
            "plots/__init__",
            "plots/information",
            "plots/style",
            "plots/tables",
        ),
        floor=f"{RESULTS}/metrics/floor.csv",
        spectrum=f"{RESULTS}/metrics/spectrum.csv",
        sii=f"{RESULTS}/metrics/sii.csv",
        intervals=f"{RESULTS}/metrics/intervals.csv",
    output:
        floor=figure(
            f"{RESULTS}/plots/floor",
            "floor_plot",
            "Hearing losses",
            "mel cells at the floor",
        ),
        spectrum=figure(
            f"{RESULTS}/plots/spectrum",
            "spectrum_plot",
            "Hearing losses",
            "long-term spectrum",
        ),
        sii=figure(
            f"{RESULTS}/plots/sii",
            "sii_plot",
            "Hearing losses",
            "Speech Intelligibility Index and WER",
        ),
    log:
        f"{LOGS}/plots/information.log",
    benchmark:
        f"{BENCHMARKS}/plot_information/information.jsonl"
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
    script:
        "../scripts/plot_information.py"
