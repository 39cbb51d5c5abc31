"""Receipts: for every job a small file that says what was made, from what, with which code.

Receipts serve three purposes. Snakemake compares small inputs by content: rules depend on the receipts of what they
read, so a touched or copied file reruns nothing. `quasarcurves why` shows them. `quasarcurves verify` compares files
with them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quasarcurves.files import whole_file
from quasarcurves.provenance import fingerprint

FOLDER = "receipts"


@dataclass(frozen=True)
class Receipt:
    """What one job made.

    Parameters
    ----------
    rule : str
    settings : mapping
        Arguments of the rule, apart from files.
    code : mapping of str to str
        Hash of every module of this project that the job imported, apart from those without effect on results.
    versions : mapping of str to str
        Versions of the packages that results may depend on.
    inputs, outputs : mapping of str to str
        SHA-256 of the files read (those that have receipts) and made, by path.
    """

    rule: str
    settings: Mapping[str, Any]
    code: Mapping[str, str]
    versions: Mapping[str, str]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    def save(self, path: Path) -> None:
        """Write as JSON; the same content gives the same bytes."""
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, path: Path) -> Receipt:
        """Read a receipt.

        Raises
        ------
        ValueError
            If the file is not a receipt.
        """
        try:
            return cls(**json.loads(path.read_text()))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a receipt ({error})") from error


def hashes(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of files by path."""
    return {str(path): fingerprint.file_hash(path) for path in paths}


def recorded(receipts: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of all files that the jobs of these receipts read or made, by path."""
    found = [Receipt.load(path) for path in receipts]
    read = {path: value for receipt in found for path, value in receipt.inputs.items()}
    return read | {path: value for receipt in found for path, value in receipt.outputs.items()}


@dataclass(frozen=True)
class Damage:
    """A file that differs from its receipt.

    Parameters
    ----------
    path : str
    receipt : Path
    what : str
        What is wrong with it.
    """

    path: str
    receipt: Path
    what: str


def verify(results: Path) -> list[Damage]:
    """Compare every file of a study's results with its receipt.

    Paths in receipts are relative: call this in the folder that the workflow runs in.

    Parameters
    ----------
    results : Path
        Folder of the results.

    Returns
    -------
    list of Damage
        One per file that is missing or has changed, and per receipt that cannot be read.

    Raises
    ------
    FileNotFoundError
        If there is no receipt: nothing was ever made.
    """
    damages = []
    found = sorted((results / FOLDER).rglob("*.json"))
    if not found:
        raise FileNotFoundError(
            f"{results}: nothing to verify, the study was never run here: {results / FOLDER} has no receipt"
        )
    for path in found:
        try:
            outputs = Receipt.load(path).outputs
        except ValueError as error:
            damages.append(Damage(str(path), path, f"damaged receipt: {error}"))
            continue
        for name, expected in outputs.items():
            what = _what_is_wrong(Path(name), expected)
            if what:
                damages.append(Damage(name, path, what))
    return damages


def _what_is_wrong(path: Path, expected: str) -> str | None:
    if not path.is_file():
        return "missing"
    if fingerprint.file_hash(path) == expected or _hash_without_banner(path) == expected:
        return None
    return "its content has changed since it was made"


def _hash_without_banner(path: Path) -> str:
    """Return the hash of a page or text as its step made it, before it was said to be out of date."""
    if path.suffix not in (".html", ".md"):
        return ""
    from quasarcurves.page import banner  # noqa: PLC0415  (steps import this module, and need none of it)

    return hashlib.sha256(banner.without(path.read_bytes().decode(errors="replace")).encode()).hexdigest()
