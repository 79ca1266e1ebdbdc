# Corpus: a release of Common Voice, synthesised or given, decoded once into shards of 16 kHz FLAC.
#
# in   the release's tables ({split}.tsv) and clips/
# out  data/{run}/corpus: a Hugging Face dataset, rejected.tsv beside each split

DEMO = config["corpus"]["source"] == "demo"
RELEASE = f"{DATA}/release" if DEMO else config["corpus"]["release"]
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
        conda:
            "../../envs/audio.yaml"
        threads: 4
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 2_000,
            runtime=lambda wildcards, attempt: attempt * 60,
        params:
            clips=config["corpus"]["demo"]["clips"],
            sample_rate=config["corpus"]["demo"]["sample_rate"],
            seed=config["corpus"]["demo"]["seed"],
        script:
            "../scripts/demo_release.py"


if not DEMO and not Path(RELEASE).exists():

    localrules:
        release,

    # Stands for what the user has yet to bring, so that a dry run shows the DAG without it; says
    # what is missing when it is run.
    rule release:
        input:
            code=code("release", "release"),
        output:
            tables=expand(f"{RELEASE}/{{split}}.tsv", split=SPLITS),
            clips=directory(f"{RELEASE}/clips"),
        log:
            f"{LOGS}/corpus/release.log",
        conda:
            "../../envs/audio.yaml"
        params:
            release=RELEASE,
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
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * (1_000 + clips_of(wildcards.split) // 400),
        runtime=lambda wildcards, attempt: attempt * 20,
    params:
        shards=lambda wildcards: config["corpus"]["splits"][wildcards.split]["shards"],
        max_clips=lambda wildcards: config["corpus"]["splits"][wildcards.split][
            "max_clips"
        ],
    script:
        "../scripts/clip_table.py"


rule corpus_shard:
    input:
        code=code("corpus_shard", "audio", "corpus", "release", "shards"),
        clip_table=f"{DATA}/clips/{{split}}.parquet",
        clips=ancient(f"{RELEASE}/clips"),
    output:
        shard=f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow",
        rejected=f"{DATA}/corpus/{{split}}/rejected-{{shard}}.tsv",
    log:
        f"{LOGS}/corpus/{{split}}-{{shard}}.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1_000,
        runtime=shard_runtime,
    params:
        number=shard_number,
        min_duration=config["corpus"]["min_duration"],
        max_duration=config["corpus"]["max_duration"],
    script:
        "../scripts/corpus_shard.py"


rule corpus_gather:
    input:
        code=code("gather", "audio", "corpus", "release", "shards"),
        shards=shard_files(f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow"),
        rejected=shard_files(f"{DATA}/corpus/{{split}}/rejected-{{shard}}.tsv"),
    output:
        dataset=f"{DATA}/corpus/dataset_dict.json",
        rejected=expand(f"{DATA}/corpus/{{split}}/rejected.tsv", split=SPLITS),
    log:
        f"{LOGS}/corpus/gather.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 1_000,
        runtime=lambda wildcards, attempt: attempt * 20,
    params:
        splits=SPLITS,
        max_rejected=config["corpus"]["max_rejected"],
    script:
        "../scripts/gather.py"
