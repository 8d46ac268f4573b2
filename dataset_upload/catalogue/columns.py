"""The catalogue's columns, each with its type and what it means."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from dataset_upload.about import About
from dataset_upload.formats.declared_columns import DECLARED_TYPES
from dataset_upload.quality.measure import Kind
from dataset_upload.quality.table import MEASURES

DUPLICATES = "duplicates"

_TYPES: Mapping[Kind, pa.DataType] = {
    "float": pa.float32(),
    "int": pa.int32(),
    "bool": pa.bool_(),
    "text": pa.string(),
}


def catalogue_schema(about: About) -> pa.Schema:
    """The schema of a catalogue of this source; each field's metadata says what it means and in which unit."""
    fields = [
        _field("key", pa.string(), "names the episode in every copy of the data: <task>/<n>"),
        _field("task_name", pa.string(), "the task's folder"),
        _field("task", pa.string(), "the description that applies; null: none that says something"),
        _field("reason", pa.string(), "why it cannot be converted, as far as that is seen without video; null: it can"),
        _field("is_drawn", pa.bool_(), "not filmed"),
        *(_field(each.name, DECLARED_TYPES[each.type], each.meaning) for each in about.columns),
    ]
    for each in MEASURES:
        fields += [_field(column, _TYPES[each.kind], each.definition, each.unit) for column in each.columns]
    meaning = "how many other episodes of the session have the same task text but for case and spaces"
    fields.append(_field(DUPLICATES, pa.int32(), meaning, "episodes"))
    return pa.schema(fields)


def _field(name: str, type: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    return pa.field(name, type, metadata={"meaning": meaning, "unit": unit})
