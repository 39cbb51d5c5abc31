"""Rules that others inherit from; never jobs themselves."""


rule step:
    """What every rule has in common; never a job itself."""
    log:
        at("logs/step.log"),
    conda:
        "../../envs/quasarcurves.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    shell:
        COMMAND


rule train_step:
    """What trainings have in common; never a job itself. The longest go first, so that no core waits for one at the end."""
    log:
        at("logs/train_step.log"),
    priority: lambda wildcards: float(wildcards.fraction)
    conda:
        "../../envs/quasarcurves.yaml"
    threads: study.config["training"]["threads"]
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
        gpu=0,
    shell:
        COMMAND
