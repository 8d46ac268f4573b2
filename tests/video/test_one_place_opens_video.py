"""PyAV stays inside `dataset_upload/video`: whoever else wants pictures asks that package for them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import PROJECT

PACKAGES = [PROJECT / name for name in ("dataset_upload", "reward_model")]
PROGRAMS = [PROJECT / name for name in ("train.py", "eval.py", "score.py", "egodex_loader.py")]


def imported(node: ast.AST) -> Iterator[str]:
    """The modules that a program imports when it runs, in functions as well; those of type checkers are left out."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield node.module or ""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        children: Iterator[ast.AST] = iter(node.orelse)
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from imported(child)


def opens_video(program: str) -> bool:
    return any(module.split(".")[0] == "av" for module in imported(ast.parse(program)))


def test_only_the_video_package_imports_pyav() -> None:
    files = [
        *PROGRAMS,
        *(file for name in ("dataset_upload", "reward_model") for file in (PROJECT / name).rglob("*.py")),
    ]
    assert len(files) > 100
    opening = {file.relative_to(PROJECT) for file in files if opens_video(file.read_text(encoding="utf-8"))}
    assert {path.parent for path in opening} == {Path("dataset_upload/video")}


@pytest.mark.parametrize(
    "program, opens",
    [
        ("import av", True),
        ("from av.container import InputContainer", True),
        ("def read():\n    if True:\n        import av.logging", True),
        ("if TYPE_CHECKING:\n    import av", False),
        ("if TYPE_CHECKING:\n    import av\nelse:\n    import av", True),
        ("import average", False),
    ],
)
def test_an_import_is_found_wherever_it_stands(program: str, opens: bool) -> None:
    assert opens_video(program) is opens
