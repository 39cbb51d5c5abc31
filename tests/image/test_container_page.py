"""Every command of docs/container.md, in its order, with podman in place of Docker."""

import pytest
from containers import ROOT, page_commands

pytestmark = pytest.mark.image


def test_commands_of_the_page(bash, again):
    commands = page_commands("container.md")
    assert [command.split()[1] for command in commands].count("build") == 1
    said = [bash(command, ROOT if "build" in command else again) for command in commands]
    assert len(said) >= 8
    assert sum("results/smoke/figures/loss_by_optimizer.png" in text for text in said) >= 3
    assert sum("Nothing to be done" in text for text in said) == 1
    assert any("every file is as it was made" in text for text in said)
    assert any(text.startswith("9.") for text in said)
    assert (again / "report.zip").stat().st_size > 100_000
