"""A look at the text of a figure: large enough, within the page, none over another."""

from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text


def texts_of(figure):
    """Texts that are really drawn, with their boxes in pixels: an axis keeps labels that it does not show."""
    renderer, found = FigureCanvasAgg(figure).get_renderer(), []
    draw = Text.draw

    def record(text, renderer, *arguments, **options):
        if text.get_visible() and text.get_text().strip():
            found.append((text, Text.get_window_extent(text, renderer)))
        draw(text, renderer, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.draw(renderer)
    return found


def check_legible(figure, smallest=7):
    """All text is large enough, inside the figure, and covers no other text; gives the text."""
    boxes = texts_of(figure)
    assert boxes
    page = figure.bbox.padded(1)
    for text, box in boxes:
        assert text.get_fontsize() >= smallest, text.get_text()
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, f"{text.get_text()!r} leaves the page"
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, f"{text.get_text()!r} leaves the page"
    for (one, box), (other, another) in combinations(boxes, 2):
        apart = box.x1 <= another.x0 or another.x1 <= box.x0 or box.y1 <= another.y0 or another.y1 <= box.y0
        assert apart, f"{one.get_text()!r} and {other.get_text()!r} overlap"
    return " ".join(text.get_text() for text, _ in boxes).replace("\n", " ")
