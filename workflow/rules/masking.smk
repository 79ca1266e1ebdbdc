# Masking: the corpus let through every variant's hearing loss.
#
# in   data/{run}/corpus
# out  data/{run}/{variant}/audio: same rows, same order, same columns


rule masking_shard:
    input:
        code=code("masking_shard", "audio", "mp3", "audiograms", "masking", "shards"),
        shard=f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow",
        checked=ancient(f"{DATA}/corpus/{{split}}/state.json"),
    output:
        f"{DATA}/{{variant}}/audio/{{split}}/data-{{shard}}.arrow",
    log:
        f"{LOGS}/masking/{{variant}}-{{split}}-{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/masking_shard/{{variant}}-{{split}}-{{shard}}.jsonl"
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHARD_RUNTIME),
    params:
        variant=lambda wildcards: config["variants"][wildcards.variant],
    script:
        "../scripts/masking_shard.py"


rule masking_gather:
    input:
        code=code(
            "gather", "audio", "clip_table", "corpus", "mp3", "quarantine", "shards"
        ),
        corpus=f"{DATA}/corpus/{{split}}/state.json",
        corpus_shards=shards_of(f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow"),
        shards=shards_of(f"{DATA}/{{variant}}/audio/{{split}}/data-{{shard}}.arrow"),
    output:
        state=f"{DATA}/{{variant}}/audio/{{split}}/state.json",
        info=f"{DATA}/{{variant}}/audio/{{split}}/dataset_info.json",
    log:
        f"{LOGS}/masking/{{variant}}-gather-{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/masking_gather/{{variant}}-gather-{{split}}.jsonl"
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=per_clip(500),
        runtime=per_attempt(SHORT),
    script:
        "../scripts/gather.py"
