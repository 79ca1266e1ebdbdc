# What a run will take, before it is started: `snakemake plan --cores 1`.
#
# in   the configuration; tables and counts where they are there
# out  nothing but a log: it prints


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
