# Evaluation: every model transcribes the test split of every variant; scores and comparisons.
#
# in   the models, data/{run}/{variant}/logmel/test
# out  results/{run}/transcripts/{model}/{variant}.parquet: what was written, and how surely,
#      results/{run}/predictions/{model}/{variant}.parquet: that, scored clip by clip,
#      results/{run}/metrics/*.csv

# Of each prediction file: what its model was trained on, the variant it heard, the training's seed.
CELLS = [
    (
        (TRAINED[model][0], variant, TRAINED[model][1])
        if model in TRAINED
        else (model, variant, None)
    )
    for model in MODELS
    for variant in VARIANTS
]
PREDICTIONS = [
    f"{RESULTS}/predictions/{model}/{variant}.parquet"
    for model in MODELS
    for variant in VARIANTS
]
DRAWS = {
    "replicates": config["evaluation"]["replicates"],
    "seed": config["evaluation"]["seed"],
}
REFERENCE = config["evaluation"]["reference"] or VARIANTS[0]


rule transcribe:
    input:
        code=code(
            "transcribe",
            "audio",
            "mp3",
            "confidence",
            "features",
            "models",
            "transcribe",
            "transcripts",
        ),
        model=model_weights,
        logmel=f"{DATA}/{{variant}}/logmel/test/state.json",
    output:
        f"{RESULTS}/transcripts/{{model}}/{{variant}}.parquet",
    log:
        f"{LOGS}/evaluation/{{model}}-{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/transcribe/{{model}}-{{variant}}.jsonl"
    conda:
        "../../envs/train.yaml"
    threads: config["evaluation"]["num_cpus"]
    resources:
        gpu=min(config["training"]["num_gpus"], 1),
        mem_mb=per_attempt(SMALL if SCRATCH else 16_000),
        runtime=per_attempt(SHORT + CLIP_COUNTS["test"] // 100),
    params:
        model=folder_of("model"),
        logmel=folder_of("logmel"),
        batch_size=config["evaluation"]["batch_size"],
        language=config["model"]["language"],
        task=config["model"]["task"],
        generation_max_length=config["evaluation"]["generation_max_length"],
        num_beams=config["evaluation"]["num_beams"],
        temperature=config["evaluation"]["temperature"],
        # Nothing is drawn at temperature 0, so another seed is then no reason to do it again.
        seed=config["evaluation"]["seed"] if config["evaluation"]["temperature"] else 0,
    script:
        "../scripts/transcribe.py"


rule score_clips:
    input:
        code=code(
            "score_clips",
            "failures",
            "normalizers",
            "predictions",
            "scoring",
            "transcripts",
        ),
        transcripts=f"{RESULTS}/transcripts/{{model}}/{{variant}}.parquet",
    output:
        f"{RESULTS}/predictions/{{model}}/{{variant}}.parquet",
    log:
        f"{LOGS}/evaluation/score-{{model}}-{{variant}}.log",
    benchmark:
        f"{BENCHMARKS}/score_clips/{{model}}-{{variant}}.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        normalizer=config["evaluation"]["normalizer"],
    script:
        "../scripts/score_clips.py"


rule score:
    input:
        code=code(
            "score",
            "cells",
            "failures",
            "names",
            "normalizers",
            "predictions",
            "score_tables",
            "scoring",
            "transcripts",
            "uncertainty",
        ),
        predictions=PREDICTIONS,
    output:
        scores=report(
            f"{RESULTS}/metrics/scores.csv",
            caption="../report/scores.rst",
            category="Word error rates",
            labels={"result": "all scores (table)"},
        ),
        matrix=report(
            f"{RESULTS}/metrics/wer_matrix.csv",
            caption="../report/wer_matrix.rst",
            category="Word error rates",
            labels={"result": "WER, trained on x tested on (table)"},
        ),
        failures=report(
            f"{RESULTS}/metrics/failures.csv",
            caption="../report/failures.rst",
            category="Word error rates",
            labels={"result": "how models failed (table)"},
        ),
    log:
        f"{LOGS}/evaluation/score.log",
    benchmark:
        f"{BENCHMARKS}/score/score.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        cells=CELLS,
    script:
        "../scripts/score.py"


rule compare:
    input:
        code=code(
            "compare",
            "cells",
            "comparisons",
            "failures",
            "names",
            "normalizers",
            "predictions",
            "score_tables",
            "scoring",
            "significance",
            "transcripts",
            "uncertainty",
        ),
        predictions=PREDICTIONS,
    output:
        intervals=report(
            f"{RESULTS}/metrics/intervals.csv",
            caption="../report/intervals.rst",
            category="Word error rates",
            labels={"result": "with 95 % intervals (table)"},
        ),
        comparisons=report(
            f"{RESULTS}/metrics/comparisons.csv",
            caption="../report/comparisons.rst",
            category="Word error rates",
            labels={"result": "paired comparisons (table)"},
        ),
        effects=report(
            f"{RESULTS}/metrics/effects.csv",
            caption="../report/effects.rst",
            category="Word error rates",
            labels={"result": "loss and recovery (table)"},
        ),
    log:
        f"{LOGS}/evaluation/compare.log",
    benchmark:
        f"{BENCHMARKS}/compare/compare.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        **DRAWS,
        cells=CELLS,
        reference=REFERENCE,
    script:
        "../scripts/compare.py"
