"""The banner of results that are not current: a line in the page, and one above the answer.

A file without it is byte for byte what its step made, so that receipts can tell.
"""

from __future__ import annotations

import html
import re

_EMPTY_IN_PAGE = '<div id="banner" hidden></div>'
_IN_PAGE = re.compile(r'^<div id="banner" role="status">.*</div>$', re.MULTILINE)
_IN_TEXT = "> **These results are not current.** "


def put(content: str, text: str) -> str:
    """Return a page or a Markdown text with a banner, in place of any that it has; without one if `text` is empty.

    A page has a line of its own for it, `<div id="banner" hidden></div>`, and is returned as it is if it has not.
    """
    bare = without(content)
    line = " ".join(text.split())
    if not line:
        return bare
    if _EMPTY_IN_PAGE in bare:
        shown = (
            f'<div id="banner" role="status"><strong>These results are not current.</strong> {html.escape(line)}</div>'
        )
        return bare.replace(_EMPTY_IN_PAGE, shown, 1)
    return bare if _is_page(bare) else f"{_IN_TEXT}{line}\n\n{bare}"


def without(content: str) -> str:
    """Return a page or a Markdown text as its step made it."""
    if content.startswith(_IN_TEXT):
        return content.partition("\n\n")[2]
    return _IN_PAGE.sub(_EMPTY_IN_PAGE, content, count=1) if _is_page(content) else content


def _is_page(content: str) -> bool:
    return content.lstrip()[:9].lower() == "<!doctype"
