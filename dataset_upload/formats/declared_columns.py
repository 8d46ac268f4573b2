"""How columns that a loader declares are stored, in whatever table a format has for them."""

from __future__ import annotations

import pyarrow as pa

DECLARED_TYPES = {
    "bool": pa.bool_(),
    "int32": pa.int32(),
    "float64": pa.float64(),
    "string": pa.string(),
    "list<string>": pa.list_(pa.string()),
}
