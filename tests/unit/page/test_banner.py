"""A banner goes in and out of pages and texts, and leaves them byte for byte as they were."""

import pytest

from quasarcurves.page import banner
from support.made_up_results import CONTENT

BOTH = pytest.mark.parametrize("content", CONTENT.values(), ids=CONTENT)


@BOTH
def test_in_and_out_again_is_the_same(content):
    marked = banner.put(content, "It has <changed>\nsince.")
    assert marked != content
    assert banner.without(marked) == banner.put(marked, "") == content
    assert banner.without(content) == content


@BOTH
def test_a_second_banner_takes_the_place_of_the_first(content):
    assert banner.put(banner.put(content, "first"), "second") == banner.put(content, "second")


def test_in_a_page_it_is_shown_escaped_in_a_line_of_its_own():
    lines = banner.put(CONTENT["index.html"], "a < b\nand more").splitlines()
    assert lines[2].startswith(
        '<div id="banner" role="status"><strong>These results are not current.</strong> a &lt; b and'
    )
    assert "hidden" not in lines[2]


def test_an_answer_begins_with_it():
    text = banner.put(CONTENT["answer.md"], "why")
    assert text == f"> **These results are not current.** why\n\n{CONTENT['answer.md']}"


def test_a_page_without_a_place_for_it_is_left_alone():
    page = "<!DOCTYPE html>\n<p>x</p>\n"
    assert banner.put(page, "why") == page == banner.without(page)
