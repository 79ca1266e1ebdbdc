# Plots: what people in this field look at first.
#
# in   TensorBoard logs, scores, audiograms, one test clip
# out  results/{run}/plots, results/{run}/whisper_finetuned_{model}/tensorboard

PLOT_STYLE = {key: config["plots"][key] for key in ("dpi", "figsize")}
# Rules with jobs in the order in which the data flow.
FLOW = [
    "demo_release",
    "download_release",
    "release_tables",
    "hub_tables",
    "clip_table",
    "check_splits",
    "corpus_stream",
    "corpus_shard",
    "corpus_gather",
    "masking_shard",
    "masking_gather",
    "scratch_model",
    "download_model",
    "features_shard",
    "features_gather",
    "dataset_dict",
    "pretrain",
    "finetune",
    "transcribe",
    "score_clips",
    "score",
    "compare",
    "clip_facts",
    "groups",
    "calibration",
    "words",
    "phonemes",
    "information",
]


rule plot_training:
    input:
        code=code(
            "plot_training",
            "plots/__init__",
            "plots/logs",
            "plots/style",
            "plots/training",
        ),
        model=f"{FINETUNED}_{{model}}/model.safetensors",
    output:
        loss_curves=curves("loss_curves", "loss"),
        learning_rate=curves("learning_rate", "learning rate"),
        gradient_norm=curves("gradient_norm", "gradient norm"),
        word_error_rate=curves("word_error_rate", "word error rate"),
        training_overview=curves("training_overview", "overview"),
        csv=report(
            f"{TENSORBOARD}/csv_data/all_metrics.csv",
            caption="../report/training_metrics.rst",
            category="Training",
            subcategory="{model}",
            labels={"result": "all metrics (table)"},
        ),
        summary=report(
            f"{TENSORBOARD}/training_summary.txt",
            caption="../report/training_summary.rst",
            category="Training",
            subcategory="{model}",
            labels={"result": "summary (text)"},
        ),
    log:
        f"{LOGS}/plots/training-{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/plot_training/training-{{model}}.jsonl"
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
        runs=f"{FINETUNED}_{{model}}/runs",
        title="{model}",
        smooth=config["plots"]["smooth"],
    script:
        "../scripts/plot_training.py"


rule plot_training_comparison:
    input:
        code=code(
            "plot_training_comparison",
            "plots/__init__",
            "plots/logs",
            "plots/style",
            "plots/training",
        ),
        models=expand(f"{FINETUNED}_{{m}}/model.safetensors", m=TRAINED),
    output:
        **{
            name: figure(
                f"{RESULTS}/plots/training/{name}",
                f"comparison_{name}",
                "Training",
                name.replace("_", " "),
                "all variants",
            )
            for name in COMPARED
        },
        csv=report(
            f"{RESULTS}/plots/training/metrics.csv",
            caption="../report/comparison_metrics.rst",
            category="Training",
            subcategory="all variants",
            labels={"result": "all metrics (table)"},
        ),
    log:
        f"{LOGS}/plots/training_comparison.log",
    benchmark:
        f"{BENCHMARKS}/plot_training_comparison/training_comparison.jsonl"
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
        runs={name: f"{FINETUNED}_{name}/runs" for name in TRAINED},
        smooth=config["plots"]["smooth"],
    script:
        "../scripts/plot_training_comparison.py"


rule plot_corpus:
    input:
        code=code(
            "plot_corpus",
            "corpus_card",
            "plots/__init__",
            "plots/corpus",
            "plots/style",
            "quarantine",
        ),
        counts=expand(f"{DATA}/clips/{{split}}.json", split=SPLITS),
        overlap=f"{DATA}/clips/overlap.json",
        rejected=expand(f"{DATA}/corpus/{{split}}/rejected.tsv", split=SPLITS),
        release=[f"{RELEASE}/release.json"] if STREAMED else [],
    output:
        figure=figure(f"{RESULTS}/corpus/corpus", "corpus", "Corpus", "corpus"),
        table=report(
            f"{RESULTS}/corpus/corpus.csv",
            caption="../report/corpus_table.rst",
            category="Corpus",
            labels={"result": "corpus (table)"},
        ),
        excluded=report(
            f"{RESULTS}/corpus/excluded.csv",
            caption="../report/corpus_excluded.rst",
            category="Corpus",
            labels={"result": "left out, by reason (table)"},
        ),
        demographics=report(
            f"{RESULTS}/corpus/demographics.csv",
            caption="../report/corpus_demographics.rst",
            category="Corpus",
            labels={"result": "demographics (table)"},
        ),
        card=f"{RESULTS}/corpus/card.json",
        clips=f"{RESULTS}/corpus/clips.tsv",
    log:
        f"{LOGS}/plots/corpus.log",
    benchmark:
        f"{BENCHMARKS}/plot_corpus/corpus.jsonl"
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_clip_of_all(300),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
        corpus=corpus_section,
        splits={
            split: f"data-*-of-{known['shards']:05d}.arrow"
            for split, known in config["corpus"]["splits"].items()
        },
    script:
        "../scripts/plot_corpus.py"


rule plot_audiograms:
    input:
        code=code(
            "plot_audiograms",
            "audiograms",
            "plots/__init__",
            "plots/audiograms",
            "plots/style",
        ),
    output:
        figure=figure(
            f"{RESULTS}/plots/audiograms", "audiograms", "Hearing losses", "audiograms"
        ),
        csv=report(
            f"{RESULTS}/plots/audiograms.csv",
            caption="../report/audiogram_points.rst",
            category="Hearing losses",
            labels={"result": "audiograms (table)"},
        ),
    log:
        f"{LOGS}/plots/audiograms.log",
    benchmark:
        f"{BENCHMARKS}/plot_audiograms/audiograms.jsonl"
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
        audiograms={
            name: variant["audiogram"] for name, variant in config["variants"].items()
        },
    script:
        "../scripts/plot_audiograms.py"


rule plot_clip:
    input:
        code=code(
            "plot_clip",
            "audio",
            "mp3",
            "features",
            "models",
            "plots/__init__",
            "plots/clip",
            "plots/style",
        ),
        model=f"{MODEL}/config.json",
        corpus=f"{DATA}/corpus/test/state.json",
        variants=expand(f"{DATA}/{{v}}/audio/test/state.json", v=VARIANTS),
    output:
        figure=figure(
            f"{RESULTS}/plots/clip",
            "clip",
            "Hearing losses",
            "one clip, every variant",
        ),
        csv=report(
            f"{RESULTS}/plots/clip.csv",
            caption="../report/clip_floor.rst",
            category="Hearing losses",
            labels={"result": "one clip, every variant (table)"},
        ),
    log:
        f"{LOGS}/plots/clip.log",
    benchmark:
        f"{BENCHMARKS}/plot_clip/clip.jsonl"
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
        model=folder_of("model"),
        audio={UNMASKED: f"{DATA}/corpus/test"}
        | {name: f"{DATA}/{name}/audio/test" for name in VARIANTS},
        clip=config["plots"]["clip"],
    script:
        "../scripts/plot_clip.py"


rule plot_scores:
    input:
        code=code(
            "plot_scores",
            "names",
            "plots/__init__",
            "plots/scores",
            "plots/style",
            "plots/tables",
        ),
        intervals=f"{RESULTS}/metrics/intervals.csv",
    output:
        matrix=figure(
            f"{RESULTS}/plots/wer_matrix",
            "wer_matrix_plot",
            "Word error rates",
            "WER, trained on x tested on",
        ),
        bars=figure(
            f"{RESULTS}/plots/wer_bars",
            "wer_bars",
            "Word error rates",
            "WER by test variant",
        ),
    log:
        f"{LOGS}/plots/scores.log",
    benchmark:
        f"{BENCHMARKS}/plot_scores/scores.jsonl"
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
    script:
        "../scripts/plot_scores.py"


# What every other job has left in BENCHMARKS is summed up when the last of them is done.
rule plot_usage:
    input:
        code=code("plot_usage", "plots/__init__", "plots/style", "plots/usage", "usage"),
        datasets=[f"{DATA}/{folder}/dataset_dict.json" for folder in BUILT],
        finished=stage_targets("evaluation") + stage_targets("plots"),
    output:
        figure=figure(
            f"{RESULTS}/plots/usage", "usage", "Resources", "used of requested"
        ),
        csv=report(
            f"{RESULTS}/metrics/usage.csv",
            caption="../report/usage_table.rst",
            category="Resources",
            labels={"result": "used of requested (table)"},
        ),
    log:
        f"{LOGS}/plots/usage.log",
    conda:
        "../../envs/plot.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **PLOT_STYLE,
        benchmarks=BENCHMARKS,
        rules=FLOW,
    script:
        "../scripts/plot_usage.py"
