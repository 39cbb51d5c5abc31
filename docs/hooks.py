"""What MkDocs adds to the pages of docs/ (see mkdocs.yml): README and its like, files they link to, the reference.

Every page is written once, for GitHub, with links between files of the repository. On the site README is the first
page, and a linked file that is no page lies under `repository/`. The reference has a page per room of the library.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "workflow" / "quasarcurves"
BESIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "tests/README.md": "tests.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages outside of docs/, and their names on the site."""

_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://|#)([^)#\s]+)(#[^)\s]*)?\)")
"""A link to another file: text, path, heading."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages beside README, the reference, and the files that pages link to."""
    contents = {name: (ROOT / path).read_text() for path, name in BESIDE.items()} | reference()
    for name, content in contents.items():
        files.append(File.generated(config, name, content=content))
    targets = {
        _target(path, file.src_uri) for file in files.documentation_pages() for path in _linked(file.content_string)
    }
    for target in sorted(targets):
        name = site_name(target)
        if (ROOT / target).is_file() and files.get_file_from_path(name) is None:
            files.append(File.generated(config, name, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Point the links of a page to where their targets lie on the site; of a link to a folder the text alone stays."""
    name = page.file.src_uri

    def moved(link: re.Match) -> str:
        text, path, heading = link.groups(default="")
        target = _target(path, name)
        if (ROOT / target).is_dir():
            return text
        return f"[{text}]({posixpath.relpath(site_name(target), posixpath.dirname(name) or '.')}{heading})"

    return _LINK.sub(moved, markdown)


def reference() -> dict[str, str]:
    """Pages of the reference: one per room, made from its docstrings, and one for the modules outside of all rooms."""
    rooms = sorted(path.parent.name for path in LIBRARY.glob("*/__init__.py"))
    loose = sorted(path.stem for path in LIBRARY.glob("*.py") if path.stem != "__init__")
    links = "".join(f"- [{room}]({room}.md)\n" for room in rooms)
    modules = "".join(f"\n::: quasarcurves.{name}\n" for name in loose)
    first = "# The library\n\n::: quasarcurves\n    options:\n      show_submodules: false\n      members: false\n"
    pages = {"reference/index.md": f"{first}\nIts rooms:\n\n{links}{modules}"}
    return pages | {f"reference/{room}.md": f"# {room}\n\n::: quasarcurves.{room}\n" for room in rooms}


def site_name(path: str) -> str:
    """Name on the site of a file of the repository; MkDocs leaves out what begins with a dot."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return BESIDE.get(path) or f"repository/{path.removeprefix('.')}"


def _target(link: str, name: str) -> str:
    """File of the repository that a page of the site links to; each page is named as in docs/ or beside README."""
    page = next((path for path, beside in BESIDE.items() if beside == name), f"docs/{name}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _linked(markdown: str) -> list[str]:
    return [path for _, path, _ in _LINK.findall(markdown)]
