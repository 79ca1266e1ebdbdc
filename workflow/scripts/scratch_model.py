"""Build the demo's Whisper: a tokenizer trained on the sentences, random weights."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from pathlib import Path

    import pyarrow.parquet as pq

    from hearing_asr.scratch import build_scratch

    sentences = pq.read_table(snakemake.input.clip_table, columns=["sentence"])["sentence"]
    build_scratch(
        sentences.to_pylist(), Path(snakemake.output.config).parent, **dict(snakemake.params)
    )
