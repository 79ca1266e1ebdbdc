# What a run will take, before it is started: `snakemake plan --cores 1`, and the check at its start
# that the disks hold it.
#
# in   the configuration; tables and counts where they are there
# out  nothing but a log: it prints

from hearing_asr.plan import study
from hearing_asr.preflight import check_disk


def check_space():
    """Called once, before the first job. Jobs on a cluster start this workflow too, without it."""
    if not config["check_disk"]:
        return
    needed = list(workflow.dag.needrun_jobs())
    jobs = [(job.rule.name, job.wildcards_dict.get("split")) for job in needed]
    trainings = [
        os.path.dirname(job.output[0])
        for job in needed
        if job.rule.name in ("finetune", "pretrain")
    ]
    left = {
        "download": [ARCHIVE_FILE, f"{ARCHIVE_FILE}.part"] if MDC else [],
        "corpus": [f"{DATA}/corpus/.stream"],
        "models and checkpoints": trainings,
    }
    try:
        check_disk(study(config, DATA, CLIPS), jobs, left)
    except InputError as error:
        raise WorkflowError(str(error))


localrules:
    plan,


rule plan:
    log:
        f"{LOGS}/plan.log",
    conda:
        "../../envs/audio.yaml"
    params:
        data=DATA,
        guess=CLIPS,
    script:
        "../scripts/plan.py"
