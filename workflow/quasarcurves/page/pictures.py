"""Figures as pictures of the page: small enough for a screen, and as sharp as all of them together may be."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from quasarcurves.figures import style
from quasarcurves.page import captions

_WIDTHS = (1800, 1400, 1000, 700)
"""Pixels: a figure is at most as wide as the first of these with which all figures fit."""

_SCALE = 900 / (style.PAGE_WIDTH * style.DOTS_PER_INCH)
"""CSS pixels per pixel of a file: a figure of two columns is 900 wide."""

_MOST_BYTES = 3_500_000
"""Of all pictures together."""


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Parameters
    ----------
    shows, category : str
        As the table of steps says of the figure.
    of : str
        What it is drawn for, an optimizer say; empty for the whole study.
    caption : str
    path : str
        Of the file, below the results.
    source : str
        The picture as a data URL.
    width, height : int
        On the page, in CSS pixels.
    """

    shows: str
    category: str
    of: str
    caption: str
    path: str
    source: str
    width: int
    height: int


def load(files: Mapping[str, Path], shown: Mapping[str, Mapping[str, Any]]) -> list[Picture]:
    """Return the figures of a study.

    Parameters
    ----------
    files : mapping of str to Path
        PNG files by their path below the results.
    shown : mapping of str to mapping
        What is known of each figure by the same path, in the order of the page: `shows`, `category`, `module` (that
        draws it), and what it is drawn for (`of`), as wildcards.
    """
    here = [path for path in shown if path in files]
    encoded = _encode([files[path] for path in here])
    return [_picture(path, shown[path], *picture) for path, picture in zip(here, encoded, strict=True)]


def _picture(path: str, known: Mapping[str, Any], data: bytes, size: tuple[int, int]) -> Picture:
    of = {name: str(value) for name, value in known["of"].items()}
    return Picture(
        shows=known["shows"],
        category=known["category"],
        of=", ".join(value if name == "optimizer" else f"{name} {value}" for name, value in of.items()),
        caption=captions.of_figure(known["module"], of),
        path=path,
        source=f"data:image/webp;base64,{base64.b64encode(data).decode()}",
        width=round(size[0] * _SCALE),
        height=round(size[1] * _SCALE),
    )


def _encode(paths: Sequence[Path]) -> list[tuple[bytes, tuple[int, int]]]:
    """Return all pictures as WebP, with the sizes of their files: as wide as they all fit, or the narrowest."""
    found: list[tuple[bytes, tuple[int, int]]] = []
    for width in _WIDTHS:
        found = [_webp(path, width) for path in paths]
        if sum(len(data) for data, _ in found) <= _MOST_BYTES:
            break
    return found


def _webp(path: Path, width: int) -> tuple[bytes, tuple[int, int]]:
    with Image.open(path) as image:
        picture = image.convert("RGB")
    size = picture.size
    if picture.width > width:
        picture = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # a more thorough method takes twice as long and saves 3 % of the bytes
    picture.save(buffer, "WEBP", quality=80, method=2)
    return buffer.getvalue(), size
