"""Say what is missing of a release that is not where the configuration has it."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.release import check_release

    check_release(snakemake.params.release, snakemake.params.tables)
