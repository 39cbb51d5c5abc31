"""Every command of docs/container.md, in its order, with podman in place of Docker."""

import zipfile

import pytest
from containers import ROOT, page_commands

pytestmark = pytest.mark.image


def test_commands_of_the_page(bash, again):
    commands = page_commands("container.md")
    assert [command.split()[1] for command in commands].count("build") == 1
    said = [bash(command, ROOT if "build" in command else again) for command in commands]
    assert len(said) >= 8
    assert sum("all that was asked for is in results/smoke" in text for text in said) >= 3
    assert sum("Nothing to be done" in text for text in said) == 1
    assert any("every file is as it was made" in text for text in said)
    assert any(text.startswith("9.") for text in said)
    with zipfile.ZipFile(again / "report.zip") as report:
        assert "loss_by_optimizer.png" in report.read("report/report.html").decode()
        assert sum(name.endswith(".png") for name in report.namelist()) >= 12
