# What matters where jobs go through Slurm (profiles/slurm): what would spoil a run is refused
# before the first job.

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


onstart:  # Snakemake keeps one of these only
    check_cluster()
    check_space()
