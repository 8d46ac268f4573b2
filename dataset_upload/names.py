"""Tables of names: what an option calls a thing, and where that is, imported only when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from dataset_upload.errors import UsageError


def look_up(name: str, table: Mapping[str, str], option: str) -> Any:
    """What a table of "package.module:attribute" has under a name. Raises UsageError where it has nothing."""
    if name not in table:
        raise UsageError(f"{name} is none of {', '.join(table)}", option)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
