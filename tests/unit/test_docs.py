"""The pages: tables as in the files beside them, links, headings and commands that exist, and the site made of them."""

import argparse
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from quasarcurves.cli.commands import ENTRIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "findings_tables.md").read_text()
BESIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/README.md")
PAGES = [ROOT / name for name in BESIDE] + sorted(DOCS.glob("*.md"))
tables = runpy.run_path(str(DOCS / "tables.py"))

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def test_tables_are_those_of_the_files():
    assert tables["filled"](PAGE) == PAGE
    assert len(re.findall("<!-- cures:", PAGE)) >= 3


def test_a_changed_file_changes_its_table(tmp_path):
    block = re.search(r"<!-- cures: (\S+) (\S+) (\S+) -->.*?<!-- end -->", PAGE, re.DOTALL)
    study, fraction, reference = block.groups()
    cures = pd.read_csv(DOCS / "findings" / study / "cures.csv")
    rows = (cures["fraction"] == float(fraction)) & (cures["reference"] == reference)
    cures.loc[rows, "price_train"] = 0.123
    (tmp_path / study).mkdir()
    cures.to_csv(tmp_path / study / "cures.csv", index=False)
    assert tables["filled"](block[0], tmp_path).count("0.12 (") >= rows.sum() - 1


def prose(page: Path) -> str:
    """Text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    titles = [
        re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    ]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@by_page
def test_linked_files_and_headings_exist(page):
    for link in re.findall(r"\]\((?!https?://)([^)\s]+)\)", prose(page)):
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not heading or heading in anchors(target), link


def test_architecture_has_every_room_in_the_order_of_its_picture():
    page, picture = ((DOCS / name).read_text() for name in ("ARCHITECTURE.md", "architecture.svg"))
    floors = re.findall(r"^\| `([a-z.]+)` \|", page.split("## The floors")[1].split("\n## ")[0], re.MULTILINE)
    library = ROOT / "workflow" / "quasarcurves"
    assert sorted(floors) == sorted([*(path.parent.name for path in library.glob("*/__init__.py")), "files.py"])
    assert floors == [name for name in re.findall(r'font-weight="bold">([a-z.]+)</text>', picture) if name in floors]


def test_modules_that_architecture_names_exist():
    library = ROOT / "workflow" / "quasarcurves"
    named = re.findall(r"\b((?:[a-z_]+/)+[a-z_]+\.(?:py|smk|rst))\b", (DOCS / "ARCHITECTURE.md").read_text())
    assert len(named) > 20
    assert not [name for name in named if not any((at / name).is_file() for at in (ROOT, ROOT / "workflow", library))]


@by_page
def test_files_and_commands_named_in_passing_exist(page):
    words = re.findall(r"`([^`\n]+)`", prose(page))
    folders = r"(?:workflow|benchmarks|tests|docs|profiles|requirements|container|envs|\.github|\.ci)"
    for path in (word for word in words if re.fullmatch(rf"{folders}/[\w./-]+", word)):
        assert (ROOT / path).exists() or path.startswith("docs/reference"), path
    for command in (word for word in words if re.match(r"quasarcurves [a-z]", word)):
        assert command.split()[1] in SUBCOMMANDS, command
    for target in (word.split()[1] for word in words if re.match(r"make [a-z]", word)):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text(), target


SUBCOMMANDS = {name: entry.load() for name, entry in ENTRIES.items()}
ELSEWHERE = {"apptainer", "aws", "cp", "docker", "export", "pip", "sed", "snakemake", "squeue", "pre-commit"}
"""Programs that are not ours, or whose options are checked with the pages on where a study runs."""


def commands(page: Path) -> list[str]:
    """Commands of a page, those in indented blocks too."""
    blocks = re.findall(r"^```sh[a-z-]*\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    indented = re.findall(r"(?<=\n\n)(?:    (?:make|python|snakemake) .*\n)+", page.read_text())
    lines = "\n".join([*blocks, *indented]).replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@by_page
def test_commands_are_ones_that_there_are(page):
    for command in commands(page):
        program, *words = shlex.split(command.removeprefix(".venv/bin/"), comments=True)
        if program == "quasarcurves":
            parser = argparse.ArgumentParser()
            SUBCOMMANDS[words[0]].add_arguments(parser)
            _, rest = parser.parse_known_args(words[1:])
            assert SUBCOMMANDS[words[0]].takes_rest or not rest, command
        elif program == "make":
            assert f"\n{words[0]}:" in (ROOT / "Makefile").read_text(), command
        elif program == "python":
            assert (ROOT / words[0]).is_file(), command
        elif program == "sh":
            assert (words[0], (ROOT / "requirements" / f"{words[1]}.txt").exists()) == ("requirements/install.sh", True)
        else:
            assert program in ELSEWHERE, command
        for word in words:
            assert not word.startswith("workflow/studies/") or (ROOT / word).is_file(), command


def test_commands_are_found():
    assert {page.name for page in PAGES if commands(page)} >= {"README.md", "CONTRIBUTING.md", "speed.md", "scale.md"}


def test_checks_before_a_commit_are_those_of_make_lint():
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lint = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe.splitlines()]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert sorted({hook["entry"] for hook in repository["hooks"]}) == sorted(lint)
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in repository["hooks"])


def navigation(entries) -> list[str]:
    """Pages that stand in the navigation, or in a part of it."""
    return [
        name
        for entry in entries
        for value in (entry.values() if isinstance(entry, dict) else [entry])
        for name in ([value] if isinstance(value, str) else navigation(value))
    ]


def test_navigation_has_every_page_and_every_room():
    # the file has a tag that safe YAML does not know
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)
    hooks = runpy.run_path(str(DOCS / "hooks.py"))
    pages = {hooks["site_name"](str(page.relative_to(ROOT))) for page in PAGES}
    rooms = {f"reference/{path.parent.name}.md" for path in (ROOT / "workflow" / "quasarcurves").glob("*/__init__.py")}
    assert len(rooms) >= 10
    assert sorted(navigation(settings["nav"])) == sorted(pages | rooms | {"reference/index.md"})


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the site as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    (command,) = re.findall(r"\$\(BIN\)/(mkdocs build --strict.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    result = subprocess.run(
        [sys.executable, "-m", *command.split(), "--site-dir", folder],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert "WARNING" not in result.stdout
    return folder


@pytest.mark.slow
def test_site_has_pages_reference_and_files(site):
    assert "Does AMSGrad, or anything else, cure it?" in (site / "index.html").read_text()
    assert 'id="quasarcurves.training.history.History"' in (site / "reference/training/index.html").read_text()
    for file in ("config.yaml", "workflow/schemas/config.schema.yaml", "benchmarks/growth.png"):
        assert (site / "repository" / file).read_bytes() == (ROOT / file).read_bytes()


@pytest.mark.slow
def test_site_loads_nothing_from_elsewhere(site):
    loaded = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//|<link\b[^>]*\bhref=[\"']?(?:https?:)?//"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    assert [page for page in pages if loaded.search(page.read_text())] == []
    assert [page for page in site.rglob("*.css") if re.search(r"url\([\"']?(?:https?:)?//", page.read_text())] == []


@pytest.mark.slow
def test_site_has_each_linked_file_and_heading(site):
    ids = {page: set(re.findall(r"\bid=[\"']?([^\s\"'>]+)", page.read_text())) for page in site.rglob("*.html")}
    links = [
        (page, link) for page in ids for link in re.findall(r"<a\b[^>]*\bhref=[\"']?([^\s\"'>]+)", page.read_text())
    ]
    inside = [
        (page, link) for page, link in links if not re.match(r"https?:|mailto:", link) and page.name != "404.html"
    ]
    assert len(inside) > 1000
    for page, link in inside:
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        target = target / "index.html" if target.is_dir() else target
        assert target.is_file(), f"{page}: {link}"
        assert not heading or target.suffix != ".html" or heading in ids[target], f"{page}: {link}"
