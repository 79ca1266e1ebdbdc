# Training: the model to start from, and one fine-tuned model per variant (and seed).
#
# in   data/{run}/{dataset}/logmel, the base model
# out  results/{run}/whisper_base (when made from scratch) and whisper_finetuned_{model}
#
# Only the final model's files are declared as output, never the folder: Snakemake deletes the
# outputs of a failed job, and the checkpoints in the folder are what its next attempt goes on from.
# `exec`: a shell that is told to stop would end at once, and the job with it, while training saves.

TRAINING_CODE = code(
    "finetune",
    "audio",
    "mp3",
    "checkpoints",
    "features",
    "finetune",
    "interruption",
    "launch",
    "model_card",
    "models",
    "normalizers",
    "scoring",
    "trainer",
    "training_data",
    "training_settings",
)

if SCRATCH:

    rule scratch_model:
        input:
            code=code("scratch_model", "models", "scratch"),
            clip_table=f"{DATA}/clips/train.parquet",
        output:
            config=f"{MODEL}/config.json",
            weights=f"{MODEL}/model.safetensors",
        log:
            f"{LOGS}/training/scratch_model.log",
        benchmark:
            f"{BENCHMARKS}/scratch_model/scratch_model.jsonl"
        conda:
            "../../envs/train.yaml"
        resources:
            mem_mb=per_attempt(SMALL),
            runtime=per_attempt(SHORT),
        params:
            **{key: config["model"]["scratch"][key] for key in ARCHITECTURE},
            num_mel_bins=config["features"]["num_mel_bins"],
            language=config["model"]["language"],
            task=config["model"]["task"],
        script:
            "../scripts/scratch_model.py"

    rule pretrain:
        input:
            code=TRAINING_CODE,
            model=f"{MODEL}/model.safetensors",
            train=[f"{DATA}/{UNMASKED}/logmel/train/state.json"],
            evaluation=[f"{DATA}/{UNMASKED}/logmel/{EVALUATION}/state.json"],
        output:
            f"{BASE}/model.safetensors",
            f"{BASE}/config.json",
            f"{BASE}/README.md",
        log:
            f"{LOGS}/training/base.log",
        benchmark:
            f"{BENCHMARKS}/pretrain/base.jsonl"
        conda:
            "../../envs/train.yaml"
        threads: config["model"]["scratch"]["num_cpus"]
        resources:
            gpu=config["training"]["num_gpus"],
            mem_mb=training_memory,
            runtime=TRAINING_RUNTIME,
        params:
            identity=training_identity(UNMASKED),
            settings=lambda wildcards, input, output: training_settings(
                UNMASKED, input, output
            ),
        shell:
            "exec python {input.code[0]:q} --threads {threads} --log-file {log:q} --settings {params.settings:q}"

elif not LOCAL_MODEL:

    localrules:
        download_model,

    rule download_model:
        input:
            code=code("download_model", "models"),
        output:
            config=f"{MODEL}/config.json",
            weights=f"{MODEL}/model.safetensors",
        log:
            f"{LOGS}/training/download_model.log",
        benchmark:
            f"{BENCHMARKS}/download_model/download_model.jsonl"
        conda:
            "../../envs/train.yaml"
        params:
            checkpoint=config["model"]["checkpoint"],
            revision=config["model"]["revision"],
        script:
            "../scripts/download_model.py"


rule finetune:
    input:
        code=TRAINING_CODE,
        model=f"{BASE}/model.safetensors",
        train=logmel_states("train"),
        evaluation=logmel_states(EVALUATION),
    output:
        f"{FINETUNED}_{{model}}/model.safetensors",
        f"{FINETUNED}_{{model}}/config.json",
        f"{FINETUNED}_{{model}}/README.md",
    log:
        f"{LOGS}/training/{{model}}.log",
    benchmark:
        f"{BENCHMARKS}/finetune/{{model}}.jsonl"
    conda:
        "../../envs/train.yaml"
    threads: config["training"]["num_cpus"]
    resources:
        gpu=config["training"]["num_gpus"],
        mem_mb=training_memory,
        runtime=TRAINING_RUNTIME,
    params:
        identity=lambda wildcards: training_identity(wildcards.model),
        settings=lambda wildcards, input, output: training_settings(
            wildcards.model, input, output
        ),
    shell:
        "exec python {input.code[0]:q} --threads {threads} --log-file {log:q} --settings {params.settings:q}"
