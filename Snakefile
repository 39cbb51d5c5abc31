"""The workflow is workflow/Snakefile; Snakemake looks for a file of this name first."""


include: "workflow/Snakefile"


# the rules of an included file are no default target: without this line Snakemake runs nothing and exits with 0
workflow.default_target = workflow.modifier.modify_rulename("all")
