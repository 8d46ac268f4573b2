"""The reference of columns in docs/egodex.md is that of the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
from project import PROJECT

from dataset_upload.dataset_loaders.egodex.about import EGODEX
from dataset_upload.formats.rfm.schema import FRAMES_VIDEO, main_fields


def reference() -> Iterator[tuple[str, str]]:
    """Every column of the table with its type as it is written there."""
    text = (PROJECT / "docs" / "egodex.md").read_text()
    table = text.split("## Column reference")[1].split("\n## ")[0]
    for names, types in re.findall(r"^\| (`.*?) \| (.*?) \|", table, re.MULTILINE):
        columns = re.findall(r"`(\w+)`", names)
        each = types.split(", ") if len(columns) > 1 and ", " in types else [types] * len(columns)
        yield from zip(columns, each, strict=True)


def as_written(kind: pa.DataType) -> tuple[str, int]:
    """A type's scalar by its name in the docs, and its number of dimensions."""
    dimensions = 0
    while pa.types.is_list(kind):
        kind, dimensions = kind.value_type, dimensions + 1
    return {"float": "float32", "double": "float64"}.get(str(kind), str(kind)), dimensions


def test_the_columns_are_those_of_the_schema_in_their_order_with_their_types() -> None:
    stated = {name: kind for name, kind in reference() if name != FRAMES_VIDEO.name}
    fields = main_fields(EGODEX.columns)
    assert list(stated) == [field.name for field in fields]
    for field in fields:
        scalar, dimensions = as_written(field.type)
        assert scalar in stated[field.name], field.name
        shape = re.search(r"\((.*?)\)", stated[field.name])
        is_list = int(stated[field.name].startswith("list"))
        assert dimensions == (len([size for size in shape[1].split(",") if size]) if shape else is_list), field.name
