# Before the first job: what would spoil a run is refused. Too little room on the disks; and where
# jobs go through Slurm (profiles/slurm), jobs of a Snakemake that died, and arrays that fail unseen.

from hearing_asr.plan import study
from hearing_asr.preflight import check_disk
from hearing_asr.slurm import check_arrays, check_queue


def check_cluster():
    """Called once, before the first job. Jobs on a cluster start this workflow too, without it."""
    settings = workflow.executor_settings
    if not hasattr(settings, "array_jobs"):  # another executor than Slurm's
        return
    from snakemake_executor_plugin_slurm.job_status_query import get_min_job_age

    try:
        check_queue(os.getcwd())
        check_arrays(
            settings.array_jobs,
            workflow.resource_settings.nodes,
            settings.status_command,
            get_min_job_age(),
            settings.init_seconds_before_status_checks,
        )
    except InputError as error:
        raise WorkflowError(str(error))


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


onstart:  # Snakemake keeps one of these only
    check_cluster()
    check_space()
