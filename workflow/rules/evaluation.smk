# Evaluation: every model transcribes the test split of every variant; scores of all.
#
# in   the models, data/{run}/{variant}/logmel/test
# out  results/{run}/predictions/{model}/{variant}.parquet, results/{run}/metrics/*.csv

CELLS = [(model, variant) for model in MODELS for variant in VARIANTS]


rule transcribe:
    input:
        code=code(
            "transcribe",
            "audio",
            "mp3",
            "features",
            "models",
            "normalizers",
            "scoring",
            "transcribe",
        ),
        model=model_weights,
        logmel=f"{DATA}/{{variant}}/logmel/test/state.json",
    output:
        f"{RESULTS}/predictions/{{model}}/{{variant}}.parquet",
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
        normalizer=config["evaluation"]["normalizer"],
        batch_size=config["evaluation"]["batch_size"],
        language=config["model"]["language"],
        task=config["model"]["task"],
        generation_max_length=config["evaluation"]["generation_max_length"],
        num_beams=config["evaluation"]["num_beams"],
    script:
        "../scripts/transcribe.py"


rule score:
    input:
        code=code("score", "normalizers", "scoring"),
        predictions=[
            f"{RESULTS}/predictions/{model}/{variant}.parquet"
            for model, variant in CELLS
        ],
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
