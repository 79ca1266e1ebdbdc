"""Let one shard of the corpus through a variant."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.masking import mask_shard

    mask_shard(
        snakemake.input.shard,
        snakemake.output[0],
        snakemake.params.variant,
        snakemake.wildcards.variant,
    )
