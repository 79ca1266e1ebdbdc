# From raw Common Voice to word error rates under simulated hearing losses.
# The configuration is checked here, before any job; the rules lie in workflow/rules, in the order
# in which the data flow.

from snakemake.utils import min_version

min_version("9.0")


configfile: f"{workflow.basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/resources.smk"
include: "workflow/rules/selection.smk"
include: "workflow/rules/start.smk"
include: "workflow/rules/sources.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/masking.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/analysis.smk"
include: "workflow/rules/plots.smk"
include: "workflow/rules/analysis_plots.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/plan.smk"


rule all:
    default_target: True
    input:
        [f"{DATA}/{folder}/dataset_dict.json" for folder in BUILT],
        stage_targets("training"),
        stage_targets("evaluation"),
        stage_targets("plots"),
        f"{RESULTS}/report.html",


for stage in STAGES:

    rule:
        name:
            stage
        input:
            stage_targets(stage),


for variant in VARIANTS:

    rule:
        name:
            variant
        input:
            variant_targets(variant),


# What matches nothing else: `snakemake hfoss` is told the targets that there are.
rule unknown_target:
    input:
        refuse_target,
    output:
        "{target}",
    wildcard_constraints:
        target=r"[\w-]+",
