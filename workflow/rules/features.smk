# Features: log-Mel spectrograms and labels as the model wants them.
#
# in   data/{run}/{variant}/audio, or data/{run}/corpus for the dataset `unmasked`;
#      the model's configuration and tokenizer
# out  data/{run}/{dataset}/logmel: a Hugging Face dataset, rejected.tsv beside each split


rule features_shard:
    input:
        code=code(
            "features_shard",
            "audio",
            "mp3",
            "clip_table",
            "corpus",
            "features",
            "logmel",
            "models",
            "quarantine",
            "shards",
        ),
        shard=audio_shard,
        checked=ancient(audio_state),
        model=f"{MODEL}/config.json",
    output:
        shard=f"{DATA}/{{dataset}}/logmel/{{split}}/data-{{shard}}.arrow",
        rejected=f"{DATA}/{{dataset}}/logmel/{{split}}/rejected-{{shard}}.tsv",
    log:
        f"{LOGS}/features/{{dataset}}-{{split}}-{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/features_shard/{{dataset}}-{{split}}-{{shard}}.jsonl"
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHARD_RUNTIME),
    params:
        model=folder_of("model"),
        num_mel_bins=config["features"]["num_mel_bins"],
        dtype=config["features"]["dtype"],
        language=config["model"]["language"],
        task=config["model"]["task"],
        shuffle_seed=lambda wildcards: (
            config["features"]["shuffle_seed"] if wildcards.split == "train" else None
        ),
    script:
        "../scripts/features_shard.py"


rule features_gather:
    input:
        code=code(
            "gather", "audio", "clip_table", "corpus", "mp3", "quarantine", "shards"
        ),
        checked=ancient(audio_state),
        shards=shards_of(f"{DATA}/{{dataset}}/logmel/{{split}}/data-{{shard}}.arrow"),
        rejected=shards_of(
            f"{DATA}/{{dataset}}/logmel/{{split}}/rejected-{{shard}}.tsv"
        ),
    output:
        state=f"{DATA}/{{dataset}}/logmel/{{split}}/state.json",
        info=f"{DATA}/{{dataset}}/logmel/{{split}}/dataset_info.json",
        rejected=f"{DATA}/{{dataset}}/logmel/{{split}}/rejected.tsv",
    log:
        f"{LOGS}/features/{{dataset}}-gather-{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/features_gather/{{dataset}}-gather-{{split}}.jsonl"
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=per_clip(500),
        runtime=per_attempt(SHORT),
    params:
        max_rejected=max_rejected,
    script:
        "../scripts/gather.py"
