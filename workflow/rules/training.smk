# Training: the model to start from, and one fine-tuned model per variant.
#
# in   data/{run}/{dataset}/logmel, the base model
# out  results/{run}/whisper_base (when made from scratch) and whisper_finetuned_{variant}

if SCRATCH:

    rule scratch_model:
        input:
            code=code("scratch_model", "models", "release"),
            clip_table=f"{DATA}/clips/train.parquet",
        output:
            config=f"{MODEL}/config.json",
            weights=f"{MODEL}/model.safetensors",
        params:
            settings=config["model"]["scratch"],
        log:
            f"{LOGS}/training/scratch_model.log",
        conda:
            "../../envs/train.yaml"
        resources:
            mem_mb=2_000,
            runtime=20,
        script:
            "../scripts/scratch_model.py"
