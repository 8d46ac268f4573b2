"""docs/quality.md says of each measure what the code does."""

from __future__ import annotations

import math

import pytest
from project import PROJECT

from dataset_upload.quality.measure import Measure
from dataset_upload.quality.table import FAMILIES, MEASURES

PAGE = (PROJECT / "docs" / "quality.md").read_text()


def possible_values(each: Measure) -> str:
    if each.kind == "bool":
        return "true, false"
    if each.kind == "text":
        return ", ".join(map(str, each.range))
    lowest, highest = each.range
    return f"from {lowest:g}" if highest == math.inf else f"{lowest:g} to {highest:g}"


def row_of(each: Measure) -> str:
    """A measure as a row of the page's tables."""
    name = f"`{'*_' * each.per_hand}{each.name}`"
    cells = (name, each.unit, possible_values(each), each.definition.rstrip("."), each.source)
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


@pytest.mark.parametrize("each", MEASURES, ids=lambda each: each.name)
def test_the_page_has_each_measure(each: Measure) -> None:
    assert row_of(each) in PAGE.splitlines()


def test_the_page_has_no_other_measure() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and line.count("|") == 6]
    assert rows == [row_of(each) for each in MEASURES]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.rpartition(".")[2])
def test_the_page_has_a_section_of_each_family(family: object) -> None:
    assert str(family.__doc__).splitlines()[0] in PAGE
