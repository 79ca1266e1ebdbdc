# Corpus: a release of Common Voice, synthesised or given, decoded once into shards of 16 kHz FLAC.
#
# in   the release's tables ({split}.tsv) and clips/
# out  data/{run}/corpus: a Hugging Face dataset, rejected.tsv beside each split

DEMO = config["corpus"]["source"] == "demo"
MISSING = not DEMO and not Path(config["corpus"]["release"]).exists()
RELEASE = f"{DATA}/release" if DEMO or MISSING else config["corpus"]["release"]
RELEASE_TABLES = [
    *SPLITS,
    "validated",
    "invalidated",
    "other",
    "reported",
    "clip_durations",
]


if DEMO:

    rule demo_release:
        input:
            code=code("demo_release", "demo_corpus", "espeak", "matrix_sentences"),
        output:
            tables=expand(f"{RELEASE}/{{table}}.tsv", table=RELEASE_TABLES),
            clips=directory(f"{RELEASE}/clips"),
        log:
            f"{LOGS}/corpus/demo_release.log",
        benchmark:
            f"{BENCHMARKS}/demo_release/demo_release.jsonl"
        conda:
            "../../envs/audio.yaml"
        threads: 4
        resources:
            mem_mb=per_attempt(2_000),
            runtime=per_attempt(60),
        params:
            clips=config["corpus"]["demo"]["clips"],
            sample_rate=config["corpus"]["demo"]["sample_rate"],
            seed=config["corpus"]["demo"]["seed"],
        script:
            "../scripts/demo_release.py"


if MISSING:

    localrules:
        release,

    # Stands for what the user has yet to bring, so that a dry run shows the DAG without it; says
    # what is missing when it is run. Its outputs lie in the run's own folder, for Snakemake
    # removes the outputs of a job that fails.
    rule release:
        input:
            code=code("release", "release"),
        output:
            tables=expand(f"{RELEASE}/{{split}}.tsv", split=SPLITS),
            clips=directory(f"{RELEASE}/clips"),
        log:
            f"{LOGS}/corpus/release.log",
        priority: 100
        conda:
            "../../envs/audio.yaml"
        params:
            release=config["corpus"]["release"],
            splits=SPLITS,
        script:
            "../scripts/release.py"


rule clip_table:
    input:
        code=code("clip_table", "release"),
        table=f"{RELEASE}/{{split}}.tsv",
    output:
        f"{DATA}/clips/{{split}}.parquet",
    log:
        f"{LOGS}/corpus/clip_table_{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/clip_table/clip_table_{{split}}.jsonl"
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=per_clip(300),
        runtime=per_attempt(SHORT),
    params:
        shards=lambda wildcards: config["corpus"]["splits"][wildcards.split]["shards"],
        max_clips=lambda wildcards: config["corpus"]["splits"][wildcards.split][
            "max_clips"
        ],
    script:
        "../scripts/clip_table.py"


rule corpus_shard:
    input:
        code=code("corpus_shard", "audio", "mp3", "corpus", "quarantine", "release", "shards"),
        clip_table=f"{DATA}/clips/{{split}}.parquet",
        clips=f"{RELEASE}/clips" if DEMO else ancient(f"{RELEASE}/clips"),
    output:
        shard=f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow",
        rejected=f"{DATA}/corpus/{{split}}/rejected-{{shard}}.tsv",
    log:
        f"{LOGS}/corpus/{{split}}-{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/corpus_shard/{{split}}-{{shard}}.jsonl"
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHARD_RUNTIME),
    params:
        number=shard_number,
        min_duration=config["corpus"]["min_duration"],
        max_duration=config["corpus"]["max_duration"],
    script:
        "../scripts/corpus_shard.py"


rule corpus_gather:
    input:
        code=code("gather", "audio", "mp3", "corpus", "quarantine", "release", "shards"),
        shards=shards_of(f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow"),
        rejected=shards_of(f"{DATA}/corpus/{{split}}/rejected-{{shard}}.tsv"),
    output:
        state=f"{DATA}/corpus/{{split}}/state.json",
        info=f"{DATA}/corpus/{{split}}/dataset_info.json",
        rejected=f"{DATA}/corpus/{{split}}/rejected.tsv",
    log:
        f"{LOGS}/corpus/gather-{{split}}.log",
    benchmark:
        f"{BENCHMARKS}/corpus_gather/gather-{{split}}.jsonl"
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=per_clip(500),
        runtime=per_attempt(SHORT),
    params:
        max_rejected=max_rejected,
    script:
        "../scripts/gather.py"


localrules:
    dataset_dict,


# The last file of every dataset: corpus, {variant}/audio, {dataset}/logmel. A few hundred bytes,
# not worth a job on a cluster.
rule dataset_dict:
    input:
        code=code("dataset_dict", "shards"),
        splits=[f"{DATA}/{{folder}}/{split}/state.json" for split in SPLITS],
    output:
        f"{DATA}/{{folder}}/dataset_dict.json",
    log:
        f"{LOGS}/dataset_dict/{{folder}}.log",
    benchmark:
        f"{BENCHMARKS}/dataset_dict/{{folder}}.jsonl"
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        splits=SPLITS,
    script:
        "../scripts/dataset_dict.py"
