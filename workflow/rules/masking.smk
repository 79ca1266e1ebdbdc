# Masking: the corpus let through every variant's hearing loss.
#
# in   data/{run}/corpus
# out  data/{run}/{variant}/audio: same rows, same order, same columns


rule masking_shard:
    input:
        code=code("masking_shard", "audio", "audiograms", "masking", "shards"),
        shard=f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow",
    output:
        f"{DATA}/{{variant}}/audio/{{split}}/data-{{shard}}.arrow",
    log:
        f"{LOGS}/masking/{{variant}}-{{split}}-{{shard}}.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1_000,
        runtime=shard_runtime,
    params:
        variant=lambda wildcards: config["variants"][wildcards.variant],
    script:
        "../scripts/masking_shard.py"


rule masking_gather:
    input:
        code=code("gather", "audio", "corpus", "release", "shards"),
        corpus=f"{DATA}/corpus/dataset_dict.json",
        shards=shard_files(f"{DATA}/{{variant}}/audio/{{split}}/data-{{shard}}.arrow"),
    output:
        dataset=f"{DATA}/{{variant}}/audio/dataset_dict.json",
    log:
        f"{LOGS}/masking/{{variant}}-gather.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1_000,
        runtime=lambda wildcards, attempt: attempt * 20,
    params:
        splits=SPLITS,
    script:
        "../scripts/gather.py"
