"""A look at what was drawn."""

import pytest

from support.legible_figures import check_legible


@pytest.fixture
def legible():
    """Give the function that checks a figure's text and gives all of it."""
    return check_legible
