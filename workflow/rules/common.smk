"""What all rules share: where results go, and how a rule calls its script."""

RESULTS = study.results
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"
SUBSET = RESULTS / "data" / "subsets" / "f{fraction}_r{replicate}.h5"
RUN = RESULTS / "runs" / "f{fraction}_r{replicate}" / "{optimizer}"
STATE = RESULTS / "state" / "f{fraction}_r{replicate}" / "{optimizer}"
SUBSETS = list(dict.fromkeys(run.subset for run in study.runs))


# Scripts are called as plain commands, not by `script:`, which reruns a step when its file is touched. `python` is the one
# that runs Snakemake, unless a conda environment or a container comes first.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    PYTHONPATH=str(Path(workflow.basedir, "workflow")),
)


wildcard_constraints:
    fraction=r"[0-9.]+(e-[0-9]+)?",
    replicate=r"\d+",
    optimizer=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


def train_resources(wildcards, input, attempt):
    return study.train_resources(float(wildcards.fraction), input.size_mb, attempt)
