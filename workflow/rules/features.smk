# Features: log-Mel spectrograms and labels as the model wants them.
#
# in   data/{run}/{variant}/audio, or data/{run}/corpus for the dataset `unmasked`;
#      the model's configuration and tokenizer
# out  data/{run}/{dataset}/logmel: a Hugging Face dataset, rejected.tsv beside each split


def audio_shard(wildcards):
    if wildcards.dataset == UNMASKED:
        return f"{DATA}/corpus/{wildcards.split}/data-{wildcards.shard}.arrow"
    return f"{DATA}/{wildcards.dataset}/audio/{wildcards.split}/data-{wildcards.shard}.arrow"


rule features_shard:
    input:
        code=code(
            "features_shard", "audio", "corpus", "features", "logmel", "models", "release", "shards"
        ),
        shard=audio_shard,
        model=f"{MODEL}/config.json",
    output:
        shard=f"{DATA}/{{dataset}}/logmel/{{split}}/data-{{shard}}.arrow",
        rejected=f"{DATA}/{{dataset}}/logmel/{{split}}/rejected-{{shard}}.tsv",
    params:
        model=MODEL,
        num_mel_bins=config["features"]["num_mel_bins"],
        dtype=config["features"]["dtype"],
        language=config["model"]["language"],
        task=config["model"]["task"],
        shuffle_seed=lambda wildcards: (
            config["features"]["shuffle_seed"] if wildcards.split == "train" else None
        ),
    log:
        f"{LOGS}/features/{{dataset}}-{{split}}-{{shard}}.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1_000,
        runtime=shard_runtime,
    script:
        "../scripts/features_shard.py"


rule features_gather:
    input:
        code=code("gather", "audio", "corpus", "release", "shards"),
        corpus=f"{DATA}/corpus/dataset_dict.json",
        shards=shard_files(f"{DATA}/{{dataset}}/logmel/{{split}}/data-{{shard}}.arrow"),
        rejected=shard_files(f"{DATA}/{{dataset}}/logmel/{{split}}/rejected-{{shard}}.tsv"),
    output:
        dataset=f"{DATA}/{{dataset}}/logmel/dataset_dict.json",
        rejected=[f"{DATA}/{{dataset}}/logmel/{split}/rejected.tsv" for split in SPLITS],
    params:
        splits=SPLITS,
        max_rejected=config["corpus"]["max_rejected"],
    log:
        f"{LOGS}/features/{{dataset}}-gather.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1_000,
        runtime=lambda wildcards, attempt: attempt * 20,
    script:
        "../scripts/gather.py"
