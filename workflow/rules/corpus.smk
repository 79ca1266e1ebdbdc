# Corpus: the clips of each split chosen, decoded once, and stored in shards of 16 kHz FLAC.
#
# in   the release's tables, its clips as files or as a stream
# out  data/{run}/clips: which clips, and how many were left out for what reason
#      data/{run}/corpus: a Hugging Face dataset, rejected.tsv beside each split


rule clip_table:
    input:
        code=code(
            "clip_table", "clip_table", "quarantine", "release", "selection", "subsets"
        ),
        table=released_table,
        held_out=held_out,
        durations=durations(),
        clip_list=(
            [config["corpus"]["clip_list"]] if config["corpus"]["clip_list"] else []
        ),
    output:
        table=f"{DATA}/clips/{{split}}.parquet",
        excluded=f"{DATA}/clips/{{split}}.excluded.tsv",
        counts=f"{DATA}/clips/{{split}}.json",
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
        split="{split}",
        selection=selection,
        max_damaged=max_rejected,
    script:
        "../scripts/clip_table.py"


rule check_splits:
    input:
        code=code("check_splits", "overlap"),
        tables=expand(f"{DATA}/clips/{{split}}.parquet", split=SPLITS),
    output:
        f"{DATA}/clips/overlap.json",
    log:
        f"{LOGS}/corpus/check_splits.log",
    benchmark:
        f"{BENCHMARKS}/check_splits/check_splits.jsonl"
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=per_attempt(SMALL),
        runtime=per_attempt(SHORT),
    params:
        splits=SPLITS,
        allowed=config["corpus"]["allow_overlap"],
    script:
        "../scripts/check_splits.py"


if STREAMED:
    STREAM = "archive_shards" if ARCHIVE else "hub_shards"
    STREAM_CODE = (
        code(
            "archive_shards",
            "archive",
            "audio",
            "clip_table",
            "corpus",
            "ingest",
            "ingest_workers",
            "mp3",
            "parts",
            "quarantine",
            "shards",
        )
        if ARCHIVE
        else code(
            "hub_shards",
            "audio",
            "clip_table",
            "corpus",
            "hub",
            "hub_access",
            "hub_columns",
            "hub_files",
            "ingest",
            "ingest_workers",
            "mp3",
            "parts",
            "quarantine",
            "shards",
        )
    )

    # All shards in one job: the clips of all of them come mixed. What it has not completed lies in
    # a folder that is no output, so that it goes on from there when it was interrupted.
    rule corpus_stream:
        input:
            code=STREAM_CODE,
            clip_tables=expand(f"{DATA}/clips/{{split}}.parquet", split=SPLITS),
            checked=ancient(f"{DATA}/clips/overlap.json"),
            release=f"{RELEASE}/release.json",
        output:
            shards=[
                file
                for split in SPLITS
                for file in shard_files(
                    f"{DATA}/corpus/{{split}}/data-{{shard}}.arrow", split
                )
            ],
            rejected=[
                file
                for split in SPLITS
                for file in shard_files(
                    f"{DATA}/corpus/{{split}}/rejected-{{shard}}.tsv", split
                )
            ],
        log:
            f"{LOGS}/corpus/corpus_stream.log",
        benchmark:
            f"{BENCHMARKS}/corpus_stream/corpus_stream.jsonl"
        conda:
            "../../envs/audio.yaml"
        threads: config["corpus"]["num_cpus"]
        resources:
            mem_mb=stream_memory,
            runtime=per_attempt(STREAM_RUNTIME),
        params:
            archive=ARCHIVE_FILE,
            source=HUB_DATASET,
            shards={
                split: config["corpus"]["splits"][split]["shards"] for split in SPLITS
            },
            folder=f"{DATA}/corpus/.stream",
            min_duration=config["corpus"]["min_duration"],
            max_duration=config["corpus"]["max_duration"],
        script:
            f"../scripts/{STREAM}.py"

else:

    rule corpus_shard:
        input:
            code=code(
                "corpus_shard",
                "audio",
                "clip_table",
                "corpus",
                "mp3",
                "quarantine",
                "shards",
            ),
            clip_table=f"{DATA}/clips/{{split}}.parquet",
            checked=ancient(f"{DATA}/clips/overlap.json"),
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
        code=code(
            "gather", "audio", "clip_table", "corpus", "mp3", "quarantine", "shards"
        ),
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
