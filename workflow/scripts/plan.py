"""Print what a run will take."""

from hearing_asr.joblog import job_log

with job_log(snakemake.log[0]):
    from hearing_asr.plan import study
    from hearing_asr.plan_text import plan_text

    print(plan_text(study(snakemake.config, snakemake.params.data, snakemake.params.guess)))
