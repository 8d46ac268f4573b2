"""Lets lerobot 0.6, which is written for Python 3.12, run with 3.11, and torchvision beside a torch without CUDA.

Torch's CPU build is not to be had for every Python, and only syntax stands in between: aliases by `type X = …`, and
classes and functions with their type parameters in brackets. Files are replaced, never changed in place: installers
link one file into many environments.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

ALIAS = re.compile(r"^type (\w+) =", re.MULTILINE)
CLASS = re.compile(r"^class (\w+)\[([\w, ]+)\](?:\((.*)\))?:", re.MULTILINE)
FUNCTION = re.compile(r"^def (\w+)\[(\w+)(?:: \w+)?\]\(", re.MULTILINE)
FIRST_IMPORT = re.compile(r"^(?:import|from) (?!__future__)", re.MULTILINE)

# torchvision describes its operators nms and qnms to torch, which knows them only once their library is loaded; the
# one from PyPI wants CUDA. No dataset needs either, so it is enough that they have a signature.
DECLARED_OPERATORS = """
if not _has_ops():
    _signatures = torch.library.Library("torchvision", "DEF")
    for _operator in ("nms", "qnms"):
        _signatures.define(_operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def without_type_parameters(source: str) -> str:
    """The same module without the syntax of PEP 695."""
    parameters: set[str] = set()

    def generic_class(found: re.Match[str]) -> str:
        name, given, bases = found.groups()
        parameters.update(given.split(", "))
        return f"class {name}({bases + ', ' if bases else ''}_typing.Generic[{given}]):"

    def function(found: re.Match[str]) -> str:
        parameters.add(found[2])
        return f"def {found[1]}("

    source = FUNCTION.sub(function, CLASS.sub(generic_class, ALIAS.sub(r"\1 =", source)))
    if not parameters:
        return source
    declared = "".join(f'{name} = _typing.TypeVar("{name}")\n' for name in sorted(parameters))
    return FIRST_IMPORT.sub(lambda found: f"import typing as _typing\n{declared}\n{found[0]}", source, count=1)


def patch(site_packages: Path) -> None:
    """Make lerobot and torchvision in this folder importable."""
    for path in (site_packages / "lerobot").rglob("*.py"):
        source = path.read_text()
        changed = without_type_parameters(source)
        if changed != source:
            _replace(path, changed)
    extension = site_packages / "torchvision" / "extension.py"
    _replace(extension, extension.read_text() + DECLARED_OPERATORS)


def _replace(path: Path, content: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(content)
    os.replace(new, path)
