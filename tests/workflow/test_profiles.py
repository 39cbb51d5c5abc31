"""The profiles: each key is an option of Snakemake, and studies are a dry run away on Kubernetes and AWS Batch.

Neither service is here. Object storage is a stand-in on this machine; what plans the jobs, and checks what they ask
for, is the executors' own code.
"""

import logging
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from bucket import serve
from snakemake.cli import get_argument_parser, parse_args
from snakemake_executor_plugin_aws_batch.batch_job_builder import BatchJobBuilder
from snakemake_executor_plugin_kubernetes import parse_persistent_volumes

from quasarcurves.study.steps import LIGHT

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "workflow" / "studies" / "smoke.yaml"
PROFILES = {path.parent.name: path for path in sorted((ROOT / "profiles").glob("*/config.yaml"))}
EXECUTORS = ["kubernetes", "aws-batch", "slurm"]
ELSEWHERE = ["kubernetes", "aws-batch"]


def unknown_keys(profile: dict) -> list[str]:
    """Name the keys of a profile that Snakemake does not know, or that another executor's plugin reads."""
    options = {text.removeprefix("--") for action in get_argument_parser()._actions for text in action.option_strings}
    others = tuple(f"{name}-" for name in EXECUTORS if name != profile.get("executor"))
    return [key for key in profile if key not in options or key.startswith(others)]


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_is_an_option_of_snakemake_with_that_executor(name):
    assert unknown_keys(yaml.safe_load(PROFILES[name].read_text())) == []


@pytest.mark.parametrize(
    "key", ["job", "kubernetes-namespaces", "slurm-requeue", "aws-batch-region", "default_storage"]
)
def test_wrong_key_is_found(key):
    profile = yaml.safe_load(PROFILES["kubernetes"].read_text())
    assert unknown_keys({**profile, key: 1}) == [key]


def test_keys_to_be_uncommented_are_options_as_well():
    path = PROFILES["kubernetes"]
    profile = yaml.safe_load(re.sub(r"^# ([a-z0-9]+-[a-z0-9-]+: )", r"\1", path.read_text(), flags=re.MULTILINE))
    assert {"storage-s3-endpoint-url", "kubernetes-persistent-volumes"} <= profile.keys()
    assert unknown_keys(profile) == []
    # where the workflow keeps its states in a pod: Kubernetes' plugin starts jobs in /workdir
    (volume,) = parse_persistent_volumes(profile["kubernetes-persistent-volumes"])
    assert str(volume.path) == "/workdir/results"


@pytest.mark.parametrize("name", ELSEWHERE)
def test_snakemake_reads_the_profile_as_it_is_meant(name):
    arguments = ["--snakefile", str(ROOT / "Snakefile"), "--workflow-profile", str(PROFILES[name].parent)]
    _, read = parse_args(arguments)
    retries = {"kubernetes": 3, "aws-batch": 2}[name]
    assert (read.executor, read.default_storage_provider, read.retries) == (name, "s3", retries)
    assert read.precommand == "pip() { :; }"
    for sh in ("sh", "bash"):
        assert (
            subprocess.run([sh, "-c", f"{read.precommand} && pip install none && exit 7"], check=False).returncode == 7
        )


@pytest.mark.parametrize("name", PROFILES)
def test_every_key_has_its_reason(name):
    """As a comment on its line or right above it."""
    before = ""
    for line in PROFILES[name].read_text().splitlines():
        if re.match(r"[a-z-]+: +[^ #]|  +[a-z_]+: +[^ #{]", line):
            assert "#" in line or before.lstrip().startswith("#"), f"{name}: {line}"
        before = line


@pytest.mark.parametrize("name", [*ELSEWHERE, "slurm"])
def test_profile_keeps_what_the_default_one_says(name):
    profile, default = (yaml.safe_load(PROFILES[each].read_text()) for each in (name, "default"))
    assert {key: profile[key] for key in default if key != "cores"} == {
        k: v for k, v in default.items() if k != "cores"
    }


@pytest.fixture(scope="module")
def plans(tmp_path_factory, snakemake) -> dict[tuple[str, int], str]:
    """Give what the smoke study would run with a profile, at some attempt of all jobs; at 0 packed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    packed = yaml.safe_load(STUDY.read_text())
    packed["training"] |= {"backend": "jax", "pack": True}
    (folder / "packed.yaml").write_text(yaml.safe_dump(packed))
    (folder / "buckets" / "bucket").mkdir(parents=True)
    with serve(folder / "buckets") as address, pytest.MonkeyPatch.context() as patch:
        for name, value in {"ENDPOINT_URL": address, "ACCESS_KEY": "key", "SECRET_KEY": "secret"}.items():
            patch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
        cases = [("kubernetes", 1), ("aws-batch", 1), ("aws-batch", 3), ("kubernetes", 0), ("aws-batch", 0)]
        return {(name, attempt): _dry_run(snakemake, folder, name, attempt) for name, attempt in cases}


def _dry_run(snakemake, folder: Path, name: str, attempt: int) -> str:
    study = STUDY if attempt else folder / "packed.yaml"
    arguments = ["--default-storage-prefix", "s3://bucket/quasarcurves", "--configfile", study]
    arguments += ["--attempt", max(attempt, 1)]
    result = snakemake(folder, "-n", *arguments, profile=PROFILES[name].parent)
    assert result.returncode == 0, result.stdout
    return result.stdout


def requests(plan: str, rule: str) -> dict[str, str]:
    """Give what the first job of a rule asks for."""
    text = re.search(rf"^rule {rule}:\n(?:    .*\n)*?    resources: (.*)$", plan, re.MULTILINE)[1]
    return dict(pair.split("=", 1) for pair in text.split(", "))


@pytest.mark.slow
def test_packed_trainings_are_a_job_per_fraction_with_a_gpu(plans):
    for name, gpus in (("kubernetes", "gpu"), ("aws-batch", "_gpus")):
        plan = plans[name, 0]
        assert re.search(r"^train_pack +2$", plan, re.MULTILINE)
        assert not re.search(r"^train +", plan, re.MULTILINE)
        assert requests(plan, "train_pack")[gpus] == "1"
        outputs = re.search(r"^rule train_pack:\n    input: .*\n    output: (.*)$", plan, re.MULTILINE)[1].split(", ")
        assert len(outputs) == 2 * 4
        assert all(file.startswith("s3://bucket/quasarcurves/results/smoke/") for file in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ELSEWHERE)
def test_study_is_a_dry_run_away(plans, name):
    plan = plans[name, 1]
    assert re.search(r"^train +4$", plan, re.MULTILINE)
    outputs = re.findall(r"^    output: (.*)$", plan, re.MULTILINE)
    files = [file for output in outputs for file in output.split(", ")]
    assert len(files) > 100
    assert all(re.fullmatch(r"s3://bucket/quasarcurves/results/smoke/\S+ \(send to storage\)", file) for file in files)
    # what reads the predictions of all runs has to have them brought
    reads = re.search(r"^rule compute_metrics:\n    input: (.*)$", plan, re.MULTILINE)[1]
    assert reads.count("predictions.h5 (retrieve from storage)") == 4


@pytest.mark.slow
def test_trainings_on_kubernetes_ask_for_one_gpu_within_limits(plans):
    train = requests(plans["kubernetes", 1], "train")
    assert (train["gpu"], train["gpu_manufacturer"], train["scale"]) == ("1", "nvidia", "0")
    assert "gpu" not in requests(plans["kubernetes", 1], "evaluate")


@pytest.mark.slow
@pytest.mark.parametrize("attempt", [1, 3])
def test_aws_batch_gives_no_less_memory_than_is_asked_for(plans, attempt):
    """The plugin changes what Amazon would not take, to the least that it would."""
    plan = plans["aws-batch", attempt]
    rules = set(re.findall(r"^rule ([a-z_]+):$", plan, re.MULTILINE)) - {"all", *LIGHT}
    assert {"train", "evaluate", "collect_histories", "compute_metrics"} <= rules
    for rule in rules:
        threads, asked = 4 if rule == "train" else 1, int(requests(plan, rule)["mem_mb"])
        assert given_memory(threads, asked) >= asked, rule
    assert requests(plan, "train")["_gpus"] == "1"


def given_memory(threads: int, asked: int) -> int:
    """Let the plugin say what it would ask Amazon for."""
    builder = BatchJobBuilder(logging.getLogger(), None, {}, "", None, "", None)
    return int(builder._validate_resources(str(threads), str(asked))[1])


def test_memory_would_be_cut_if_it_were_no_whole_gigabyte():
    assert given_memory(1, 2100) == 2048
