"""Turn one shard of audio into log-Mel spectrograms and labels."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.logmel import feature_spec, logmel_shard
    from hearing_asr.models import load_tokenizer

    params = snakemake.params
    tokenizer = load_tokenizer(params.model, params.language, params.task)
    logmel_shard(
        snakemake.input.shard,
        snakemake.output.shard,
        snakemake.output.rejected,
        feature_spec(params.model, params.num_mel_bins, params.dtype),
        lambda sentence: tokenizer(sentence).input_ids,
        params.shuffle_seed,
    )
