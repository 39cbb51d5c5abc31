"""Print what OSV, the open database of advisories, knows against the packages of the locks: `make audit`.

It never fails for what it finds: an advisory that came out since must not break the build of code that has not changed.
It is there to be read; `make lock` takes newer versions. Where there is no network it says so, loudly, and passes.
"""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

LOCKS = Path(__file__).parents[1] / "requirements"
DATABASE = os.environ.get("OSV_ADDRESS", "https://api.osv.dev")
MOST_AT_ONCE = 1000
"""Packages that the database takes in one request."""

Pin = tuple[str, str]
"""Name and version."""


def pins(folder: Path) -> dict[Pin, list[str]]:
    """Return the packages of all locks of a folder, with the locks that each stands in."""
    found: dict[Pin, list[str]] = {}
    for lock in sorted(folder.glob("*.txt")):
        for pin in re.findall(r"^([A-Za-z0-9_.-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE):
            found.setdefault(pin, []).append(lock.stem)
    return found


def advisories(packages: Sequence[Pin]) -> Iterator[tuple[Pin, list[str]]]:
    """Yield the packages that there are advisories against, with the names of these.

    Raises
    ------
    OSError, ValueError
        If the database cannot be asked, or answers something else.
    """
    for start in range(0, len(packages), MOST_AT_ONCE):
        part = packages[start : start + MOST_AT_ONCE]
        queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in part]
        request = urllib.request.Request(
            f"{DATABASE}/v1/querybatch",
            data=json.dumps({"queries": queries}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            results = json.load(answer)["results"]
        if len(results) != len(part):
            raise ValueError(f"{len(part)} packages asked for, {len(results)} answered")
        for pin, result in zip(part, results):  # noqa: B905  (of one length, and any Python 3 may run this)
            if result.get("vulns"):
                yield pin, [each["id"] for each in result["vulns"]]


def main() -> None:
    """Scan, and print what was found."""
    known = pins(LOCKS)
    # GitHub shows such a line beside the result
    loud = "::warning::" if os.environ.get("GITHUB_ACTIONS") else "*** "
    try:
        found = list(advisories(list(known)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{loud}NOT SCANNED for known vulnerabilities: {DATABASE} cannot be asked ({error})")
        return
    for (name, version), names in found:
        print(f"{loud}{name} {version} ({', '.join(known[name, version])}): {', '.join(names)}")
    told = f"{sum(len(names) for _, names in found)} advisories against {len(found)} of {len(known)} packages"
    print(f"{told}; https://osv.dev/vulnerability/NAME says what each is")


if __name__ == "__main__":
    main()
