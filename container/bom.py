"""Print the bill of materials of the image, as CycloneDX: each package of Python and of Debian that is in it.

Called while the image is built; the same packages give the same bytes.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import distributions
from pathlib import Path

DEBIAN = Path("/var/lib/dpkg/status")


def component(kind: str, name: str, version: str, license_name: str | None) -> dict[str, object]:
    """Return a package as CycloneDX has it, with its package URL."""
    url = f"pkg:{kind}/{name}@{version.replace('+', '%2B').replace(':', '%3A')}"
    found = {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}
    return found | ({"licenses": [{"license": {"name": license_name}}]} if license_name else {})


def of_python() -> list[dict[str, object]]:
    """Return the packages that this Python can import."""
    found = {}
    for each in distributions():
        about = each.metadata
        # some have the whole text of their license there
        named = about["License-Expression"] or next(iter((about["License"] or "").strip().splitlines()), None)
        name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
        found[name] = component("pypi", name, each.version, named)
    return [found[name] for name in sorted(found)]


def of_debian(status: Path) -> list[dict[str, object]]:
    """Return the packages that Debian has installed; none on another system."""
    paragraphs = status.read_text().split("\n\n") if status.exists() else []
    fields = [dict(re.findall(r"^([A-Z][\w-]*): (.*)$", each, re.MULTILINE)) for each in paragraphs]
    installed = [each for each in fields if each.get("Status", "").endswith(" installed")]
    return [
        component("deb/debian", each["Package"], each["Version"], None)
        for each in sorted(installed, key=lambda each: each["Package"])
    ]


def main() -> None:
    """Print the bill."""
    about = {"component": {"type": "container", "name": "quasarcurves"}}
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": about}
    print(json.dumps({**bill, "components": of_python() + of_debian(DEBIAN)}, indent=1))


if __name__ == "__main__":
    main()
