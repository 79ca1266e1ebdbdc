# Where the speech comes from: the tables of a release of Common Voice, and what is known of it.
#
# in   corpus.source: an archive, a folder, a dataset of the Hugging Face Hub, or what the demo says
# out  {RELEASE}/{table}.tsv (.parquet of the hub), release.json


if DEMO:

    rule demo_release:
        input:
            code=code("demo_release", "demo_corpus", "espeak", "matrix_sentences"),
        output:
            tables=expand(
                f"{RELEASE}/{{table}}.tsv",
                table=[
                    *SPLITS,
                    "validated",
                    "invalidated",
                    "other",
                    "reported",
                    "clip_durations",
                ],
            ),
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
            tables=expand(f"{RELEASE}/{{table}}.tsv", table=TABLES),
            clips=directory(f"{RELEASE}/clips"),
        log:
            f"{LOGS}/corpus/release.log",
        priority: 100
        conda:
            "../../envs/audio.yaml"
        params:
            release=config["corpus"]["release"],
            tables=TABLES,
        script:
            "../scripts/release.py"


if MDC:

    localrules:
        download_release,

    # On the machine where Snakemake runs: nodes of a cluster often see no network. The API key is
    # taken from the environment there.
    rule download_release:
        output:
            f"{DOWNLOAD}.json",
        log:
            f"{LOGS}/corpus/download_release.log",
        benchmark:
            f"{BENCHMARKS}/download_release/download_release.jsonl"
        priority: 100
        conda:
            "../../envs/audio.yaml"
        resources:
            mem_mb=per_attempt(SMALL),
            runtime=per_attempt(1_440),
        params:
            dataset=config["corpus"]["mdc"]["dataset"],
            archive=ARCHIVE_FILE,
            sha256=config["corpus"]["sha256"],
        script:
            "../scripts/download_release.py"


if ARCHIVE:

    rule release_tables:
        input:
            code=code("release_tables", "archive"),
            archive=archive_there(),
        output:
            tables=expand(f"{RELEASE}/{{table}}.tsv", table=TABLES),
            durations=f"{RELEASE}/clip_durations.tsv",
            release=f"{RELEASE}/release.json",
        log:
            f"{LOGS}/corpus/release_tables.log",
        benchmark:
            f"{BENCHMARKS}/release_tables/release_tables.jsonl"
        conda:
            "../../envs/audio.yaml"
        resources:
            mem_mb=per_attempt(SMALL),
            runtime=per_attempt(120),
        params:
            archive=ARCHIVE_FILE,
            sha256=config["corpus"]["sha256"],
            tables=TABLES,
        script:
            "../scripts/release_tables.py"


if HUB:

    localrules:
        hub_tables,

    # Where Snakemake runs, as `download_release`.
    rule hub_tables:
        input:
            code=code("hub_tables", "hub", "hub_access", "hub_columns", "hub_files"),
        output:
            tables=expand(f"{RELEASE}/{{table}}.parquet", table=TABLES),
            release=f"{RELEASE}/release.json",
        log:
            f"{LOGS}/corpus/hub_tables.log",
        benchmark:
            f"{BENCHMARKS}/hub_tables/hub_tables.jsonl"
        priority: 100
        conda:
            "../../envs/audio.yaml"
        resources:
            mem_mb=per_attempt(SMALL),
            runtime=per_attempt(1_440),
        params:
            source=HUB_DATASET,
        script:
            "../scripts/hub_tables.py"
