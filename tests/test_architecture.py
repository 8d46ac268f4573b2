"""The rules of ARCHITECTURE.md that reading the code can check: imports point down, short files, nothing twice."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from project import PROJECT

FILES = sorted([*(PROJECT / "dataset_upload").rglob("*.py"), *(PROJECT / "reward_model").rglob("*.py")])

GROUND = {
    "about",
    "errors",
    "jobs",
    "natural_order",
    "redaction",
    "stored_trajectory",
    "trajectory",
}
# What each room of the house may import beside itself and the ground floor.
MAY_IMPORT: dict[str, set[str]] = {
    "storage": set(),
    "console": set(),
    "video": {"storage", "console"},
    "actions": set(),
    "quality": {"video"},
    "config": {"console", "video", "actions"},
    "language": {"console"},
    "selection": set(),
    "ledger": {"console", "storage"},
    "dataset_folder": {"ledger", "storage"},
    "dataset_loaders": {"actions", "config", "console", "selection", "storage", "video"},
    "formats": {"config", "console", "dataset_folder", "language", "ledger", "quality", "storage", "video"},
    "engines": {"console"},
}


# Imports, docstrings' ends, comments; and signatures, which whatever has what a protocol asks for repeats.
NOT_COMPARED = re.compile(r'import |from |"""|#|def .*\($|\w+: .*,$|self,$')


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The modules of ours that a file imports, anywhere in it; and whether it does so as it is imported itself."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    at_once = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            module = name if name in MODULES else name.rpartition(".")[0]
            if module in MODULES:
                yield module, id(node) in at_once and id(node) not in for_types


def room(module: str) -> str:
    """The part of the package that a module belongs to: its folder, or itself."""
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_imports_point_down(path: Path) -> None:
    module = module_name(path)
    if not module.startswith("dataset_upload."):
        return  # reward_model stands on dataset_upload, which nothing there may know
    assert not [name for name, _ in imports(path) if name.startswith("reward_model")]
    its_room = room(module)
    if its_room in GROUND:
        allowed = GROUND | {"video"}  # a picture's type, for type checkers
    elif its_room in MAY_IMPORT:
        allowed = MAY_IMPORT[its_room] | GROUND | {its_room}
    else:
        return  # the run, the commands, and what they use to show datasets
    assert {room(name) for name, _ in imports(path)} - allowed - {""} == set()


@pytest.mark.parametrize("depth", [None, 2], ids=["files", "packages"])
def test_there_are_no_circles(depth: int | None) -> None:
    def unit(module: str) -> str:
        return ".".join(module.split(".")[:depth])

    graph: dict[str, set[str]] = defaultdict(set)
    for module, path in MODULES.items():
        if unit(module) != "dataset_upload":
            graph[unit(module)] |= {unit(name) for name, is_at_once in imports(path) if is_at_once} - {unit(module)}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names them


@pytest.mark.parametrize("kind", ["dataset_loaders", "formats"])
def test_implementations_do_not_know_each_other(kind: str) -> None:
    for module, path in MODULES.items():
        match module.split("."):
            case ["dataset_upload", its_kind, its_name, *_] if its_kind == kind:
                folder = PROJECT / "dataset_upload" / kind
                others = {each.name for each in folder.iterdir() if each.is_dir()} - {its_name, "__pycache__"}
                known = {name.split(".")[2] for name, _ in imports(path) if name.startswith(f"dataset_upload.{kind}.")}
                assert not known & others, path


def test_no_file_has_more_than_400_lines() -> None:
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 400]


def test_no_six_lines_are_written_twice() -> None:
    seen: dict[tuple[str, ...], str] = {}
    twice = []
    for path in FILES:
        lines = [line.strip() for line in path.read_text().splitlines()]
        lines = [
            line
            for line in lines
            if line and not re.match(r'import |from |"""|#|(async )?def .*\($|\w+: .*,$|self,$', line)
        ]
        for start in range(len(lines) - 5):
            window = tuple(lines[start : start + 6])
            place = f"{path.relative_to(PROJECT)}: {window[0]}"
            if window in seen and not all(len(line) < 20 for line in window):
                twice.append((seen[window], place))
            seen.setdefault(window, place)
    assert not twice
