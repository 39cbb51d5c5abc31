"""The files that other people's CI reads: right by actionlint, and their commands run."""

import re

import pytest
import yaml
from containers import IMAGE, ROOT, run

pytestmark = pytest.mark.image

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGE = (ROOT / "docs" / "ci.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
GITHUB, GITLAB_STUDY, GITLAB_OWN = EXAMPLES


def actionlint(*paths):
    return run("node", ROOT / "tests" / "image" / "actionlint" / "check.mjs", *paths)


def targets_of_ci() -> list[str]:
    commands = re.findall(r"^make (.+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    return [word for command in commands for word in command.split() if not word.startswith("-")]


def test_actionlint_finds_nothing(tmp_path):
    (tmp_path / "example.yml").write_text(GITHUB)
    assert len(WORKFLOWS) == 2
    result = actionlint(*WORKFLOWS, tmp_path / "example.yml")
    assert (result.returncode, result.stdout) == (0, "")


FAULTS = {
    "runs-on: ubuntu-latest": "runs-on: ubuntu-oldest",
    "make ${{ matrix.target }}": "make ${{ matrix.goal }}",
    "timeout-minutes: 30": "time-limit: 30",
}


@pytest.mark.parametrize("right", FAULTS)
def test_actionlint_would_find_a_fault(tmp_path, right):
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert right in text
    (tmp_path / "ci.yml").write_text(text.replace(right, FAULTS[right]))
    result = actionlint(tmp_path / "ci.yml")
    assert result.returncode == 1
    assert re.search(r"ubuntu-oldest|\bgoal\b|time-limit", result.stdout)


def test_actions_are_pinned_by_commit():
    used = [line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text())]
    assert len(used) >= 6
    assert all(re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each) for each in used)


def jobs_of(path):
    return yaml.safe_load(path.read_text())["jobs"]


def test_only_what_has_been_tested_is_published():
    jobs = jobs_of(ROOT / ".github" / "workflows" / "ci.yml")
    (publishing,) = [name for name, job in jobs.items() if "packages" in job.get("permissions", {})]
    assert set(jobs[publishing]["needs"]) == jobs.keys() - {publishing}
    assert jobs[publishing]["if"] == "startsWith(github.ref, 'refs/tags/v')"
    pushing = [name for name, job in jobs.items() if "docker push" in yaml.safe_dump(job)]
    assert pushing == [publishing]


def test_credentials_are_where_they_are_needed():
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
        for job in jobs_of(path).values():
            assert "secrets." not in yaml.safe_dump({key: value for key, value in job.items() if key != "steps"})
            for step in job["steps"]:
                if step.get("uses", "").startswith("actions/checkout"):
                    assert step["with"]["persist-credentials"] is False


def test_ci_runs_what_the_projects_own_ci_runs():
    targets = targets_of_ci()
    assert len(targets) == 7
    github = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["make"]
    gitlab = yaml.safe_load(GITLAB_OWN)["make"]
    assert set(github["strategy"]["matrix"]["target"]) == set(targets)
    assert github["steps"][-1] == {"run": "make ${{ matrix.target }}"}
    assert set(gitlab["parallel"]["matrix"][0]["TARGET"]) == set(targets)
    assert gitlab["script"] == ["make $TARGET"]
    for target in targets:
        assert run("make", "-n", target, cwd=ROOT).returncode == 0, target


def test_examples_call_what_there_is():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "study.yml").read_text())
    inputs = workflow[True]["workflow_call"]["inputs"]  # YAML reads the key `on` as true
    job = yaml.safe_load(GITHUB)["jobs"]["study"]
    assert job["uses"].split("@")[0] == "OWNER/quasarcurves/.github/workflows/study.yml"
    assert job["with"].keys() <= inputs.keys()
    assert {name for name, each in inputs.items() if each.get("required")} <= job["with"].keys()
    rows = dict(re.findall(r"^\| `([a-z-]+)` \|.*\| (.*?) \|$", PAGE, re.MULTILINE))
    assert rows.keys() == inputs.keys()
    for name, default in rows.items():
        assert default.strip("`") == str(inputs[name].get("default", "none, must be given")), name


def image_steps(name: str) -> list[str]:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "docker run" in step.get("run", "")]


def test_commands_given_to_the_image(bash, again):
    """What is run in the image: on a study that is finished already, so that its names and options are what counts."""
    said = [bash(step, again, CONFIG="config.yaml", CORES="all", IMAGE=IMAGE) for step in image_steps("study.yml")]
    assert len(said) == 2
    assert "all that was asked for is in results/smoke" in said[0]
    assert (again / "report.zip").stat().st_size > 100_000


def test_both_files_give_the_image_the_same_commands():
    """But for what is a name in one of them."""
    names = {
        "$PWD/study:": "$PWD:",
        "quasarcurves --": '"$IMAGE" --',
        "$STUDY": "$CONFIG",
        "--cores 2": '--cores "$CORES"',
    }
    steps = "\n".join(image_steps("ci.yml")).replace("mkdir -p study\n", "")
    for here, there in names.items():
        assert here in steps
        steps = steps.replace(here, there)
    assert steps == "\n".join(image_steps("study.yml"))


def test_gitlab_job_runs_in_the_image(image, again):
    job = yaml.safe_load(GITLAB_STUDY)["study"]
    assert job["image"]["entrypoint"] == [""]
    at = ("run", "--rm", "--no-healthcheck", "--network", "none", "--user", "0", "--entrypoint", "")
    study, report = job["script"]
    script = f"cd /work; {study} -n"
    result = image.containers.podman(*at, "--volume", f"{again}:/work", IMAGE, "sh", "-ec", script)
    assert result.returncode == 0, result.stdout
    assert "Nothing to be done" in result.stdout
    assert report.split("--configfile")[0] == study.split("--configfile")[0]
    assert set(job["artifacts"]["paths"]) == {report.split()[-1], "results"}
