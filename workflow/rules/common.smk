"""What all rules share: where results go, how a rule calls its script, and what makes it run again."""

RESULTS = study.results
LOGS = RESULTS / "logs"
BENCHMARKS = RESULTS / "benchmarks"
RECEIPTS = RESULTS / "receipts"
SUBSET_NAME = "f{fraction}_r{replicate}"
RUN_NAME = "f{fraction}_r{replicate}/{optimizer}"

# `ancient(rules.x.output)` would mark the output itself, so files that are read under that mark have a name here
SPECTRA = str(RESULTS / "data" / "spectra.h5")
SUBSET = str(RESULTS / "data" / "subsets" / f"{SUBSET_NAME}.h5")
HISTORY = str(RESULTS / "runs" / RUN_NAME / "history.h5")
MODEL = str(RESULTS / "runs" / RUN_NAME / "model.keras")
BEST = str(RESULTS / "runs" / RUN_NAME / "best.keras")
SNAPSHOTS = str(RESULTS / "runs" / RUN_NAME / "snapshots.h5")
PREDICTIONS = str(RESULTS / "runs" / RUN_NAME / "predictions.h5")
HISTORIES = str(RESULTS / "histories.h5")
EPOCHS = str(RESULTS / "epochs.csv")
SUMMARY = str(RESULTS / "runs.csv")
SPIKES = str(RESULTS / "spikes.csv")
SPIKE_STATISTICS = str(RESULTS / "spike_statistics.csv")
SPIKE_TRENDS = str(RESULTS / "spike_trends.csv")
ALIGNED = str(RESULTS / "aligned.csv")
TEST_LOSSES = str(RESULTS / "test_losses.csv")
METRICS = str(RESULTS / "metrics.csv")
TEST_METRICS = str(RESULTS / "test_metrics.csv")
TEST_SUMMARY = str(RESULTS / "test_summary.csv")
DV_HISTOGRAM = str(RESULTS / "dv_histogram.csv")
CONVERGENCE = str(RESULTS / "convergence.csv")
PREDICTORS = str(RESULTS / "predictors.csv")
HYPOTHESES = str(RESULTS / "hypotheses.csv")
SPIKE_COST = str(RESULTS / "spike_cost.csv")
SPIKE_COST_SUMMARY = str(RESULTS / "spike_cost_summary.csv")
VERDICT = str(RESULTS / "verdict.md")
CURES = str(RESULTS / "cures.csv")
LEARNING_CURVE = str(RESULTS / "learning_curve.csv")
LEARNING_CURVE_ERRORS = str(RESULTS / "learning_curve_errors.csv")
LEARNING_CURVE_BANDS = str(RESULTS / "learning_curve_bands.csv")
ENOUGH_DATA = str(RESULTS / "enough_data.md")


# Scripts are called as plain commands, not by `script:`, which reruns a step when its file is touched. `python` is the one
# that runs Snakemake, unless a conda environment or a container comes first.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]),
    PYTHONPATH=str(Path(workflow.basedir, "workflow")),
)


# A step runs again when its parameters change, the code fingerprint among them, or the receipt of what it reads. Receipts
# are small, so Snakemake compares them by content. The files themselves are `ancient`: their age says nothing.
# The code fingerprint is a function, so that a job on a cluster node, which reads all rules, works out its own alone.


wildcard_constraints:
    fraction=r"[0-9.]+(e-[0-9]+)?",
    replicate=r"\d+",
    optimizer=r"[A-Za-z0-9][A-Za-z0-9_.-]*",


# Under a default storage provider, results are on object storage, and a job has only the files that it names.
STORED = workflow.storage_settings.default_storage_provider is not None

if STORED:

    def ensure(file, **_):
        # Snakemake (9.27) would ask for the file's size in storage before it has sent it there, and fail the job
        return file


def every(files, *combine, **wildcards):
    """Give the files of a rule for all these wildcards; `expand` alone refuses files on object storage."""
    start = len(workflow.storage_settings.default_storage_prefix or "")
    stored = [(name, get_flag_value(name, "storage_object")) for name in files]
    return expand([at.query[start:].lstrip("/") if at else name for name, at in stored], *combine, **wildcards)


def run_of(wildcards):
    return Run(float(wildcards.fraction), int(wildcards.replicate), wildcards.optimizer)


def pack_of(wildcards):
    return study.pack(float(wildcards.fraction))


def request(wildcards, attempt, rulename):
    """Give what a job asks for; Snakemake asks again once the spectra are there."""
    run = None
    if rulename in ("train", "evaluate"):
        run = run_of(wildcards)
    elif rulename == "train_pack":
        run = pack_of(wildcards)[0]
    # GPUs are given out by a profile: `set-resources` with gpu or gres
    gpu = not {"gpu", "gres"}.isdisjoint(workflow.resource_settings.overwrite_resources.get(rulename, {}))
    return study.resources(rulename, study.n_spectra(Path(SPECTRA)), run, attempt, gpu)


def mem_mb(wildcards, attempt, rulename):
    return request(wildcards, attempt, rulename)["mem_mb"]


def runtime(wildcards, attempt, rulename):
    return request(wildcards, attempt, rulename)["runtime"]


def run_params(run):
    """Give what a run's result depends on, as a command line has it: what all of a pack share, and its own."""
    params = study.run_params(run)
    own = {name: params.pop(name) for name in ("replicate", "optimizer", "optimizer_spec")}
    return json.dumps(params), json.dumps(own)


def evaluation_params(wildcards):
    return json.dumps(study.evaluation_params(run_of(wildcards)))


def matched_history(wildcards):
    matched = study.matched_run(run_of(wildcards))
    return [RESULTS / "runs" / matched.name / "history.h5"] if matched else []


def train_receipts(wildcards):
    matched = study.matched_run(run_of(wildcards))
    of_data = [RECEIPTS / "prepare_spectra.json", RECEIPTS / "draw_subset" / f"{SUBSET_NAME.format(**wildcards)}.json"]
    return of_data + ([RECEIPTS / "train" / f"{matched.name}.json"] if matched else [])


def figure(name, shows, category, of="", optimizer="all", fraction="all"):
    """Give the files of a figure in every format; the report shows the PNG, which looks alike in every browser."""
    svg, pdf, png = multiext(str(RESULTS / "figures" / f"{name}{of}"), ".svg", ".pdf", ".png")
    labels = {"figure": shows, "optimizer": optimizer, "fraction": fraction}
    shown = report(png, caption=f"../report/{name}.rst", category=category, labels=labels)
    return ensure([svg, pdf, shown], non_empty=True)


def page(table):
    """Give the page of a table in the report."""
    name = Path(table).name
    return report(
        RESULTS / "report" / f"{name}.html", caption="../report/tables.rst", category="Tables", labels={"table": name}
    )
