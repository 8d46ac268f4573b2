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
    "names",
    "natural_order",
    "redaction",
    "shard",
    "stored_trajectory",
    "trajectory",
}
# What each room of the house may import beside itself and the ground floor, from the bottom up.
MAY_IMPORT: dict[str, set[str]] = {
    "storage": set(),
    "console": set(),
    "actions": set(),
    "selection": set(),
    "video": {"console", "storage"},
    "quality": {"actions", "video"},
    "config": {"actions", "console", "quality", "video"},
    "language": {"console"},
    "ledger_header": set(),
    "ledger": {"console", "ledger_header", "storage"},
    "dataset_folder": {"ledger", "storage"},
    "shard_ledgers": {"console", "dataset_folder", "ledger", "ledger_header", "storage"},
    "summary": {"console", "ledger", "quality"},
    "engines": {"config", "console"},
    "dataset_loaders": {"actions", "config", "console", "selection", "storage", "video"},
    "formats": {
        *("actions", "config", "console", "dataset_folder", "engines", "language", "ledger", "quality"),
        *("storage", "video"),
    },
    "conversion": {"dataset_loaders", "formats"},
    "hub": {"config", "console", "dataset_folder", "formats", "storage"},
    "validation": {"console", "formats", "video"},
    "visualization": {"console", "formats", "ledger", "quality", "storage", "video"},
    "mini_egodex": {"console", "dataset_loaders", "video"},
    "catalogue": {"config", "console", "dataset_loaders", "engines", "formats", "quality", "storage"},
    "filtering": {"catalogue", "console", "dataset_loaders", "engines", "ledger", "quality"},
}
MAY_IMPORT["pipeline"] = {*MAY_IMPORT} - {"actions", "catalogue", "language", "validation", "visualization"}
COMMANDS = {"generate_hf_dataset", "make_mini_egodex", "validate_dataset", "visualize_dataset"}

# Not compared: imports, and ends of docstrings.
NOISE = re.compile(r'import |from |"""$')


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


# Loaders and formats: packages in the packages of their kind.
IMPLEMENTATIONS = sorted(
    name
    for name, path in MODULES.items()
    if path.name == "__init__.py" and re.fullmatch(r"dataset_upload\.(dataset_loaders|formats)\.\w+", name)
)


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
    its_room, known = room(module), {name for name, _ in imports(path)}
    assert not [name for name in known if name.startswith("reward_model")]
    if its_room == "trajectory":
        known.discard("dataset_upload.video.picture")  # a type, for type checkers
    allowed = {*MAY_IMPORT} if its_room in COMMANDS else MAY_IMPORT.get(its_room, set())
    assert {room(name) for name in known} - allowed - GROUND - {its_room, ""} == set()


def test_the_rooms_are_in_order() -> None:
    list(TopologicalSorter(MAY_IMPORT).static_order())  # raises CycleError, which names them
    assert {room(module) for module in MODULES if module.startswith("dataset_upload.")} == {
        *MAY_IMPORT,
        *GROUND,
        *COMMANDS,
    }


@pytest.mark.parametrize("depth", [None, 2], ids=["files", "packages"])
def test_there_are_no_circles(depth: int | None) -> None:
    def unit(module: str) -> str:
        return ".".join(module.split(".")[:depth])

    graph: dict[str, set[str]] = defaultdict(set)
    for module, path in MODULES.items():
        if unit(module) != "dataset_upload":
            graph[unit(module)] |= {unit(name) for name, is_at_once in imports(path) if is_at_once} - {unit(module)}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names them


@pytest.mark.parametrize("folder", IMPLEMENTATIONS)
def test_an_implementation_is_known_only_by_its_line_in_the_table_of_names(folder: str) -> None:
    for module, path in MODULES.items():
        is_excused = module.startswith("dataset_upload.mini_egodex.") and folder.endswith(".egodex")  # which it draws
        if module.startswith("dataset_upload.") and not f"{module}.".startswith(f"{folder}.") and not is_excused:
            assert not [name for name, _ in imports(path) if f"{name}.".startswith(f"{folder}.")], path


def test_no_file_has_more_than_400_lines() -> None:
    assert not [path for path in FILES if len(path.read_text().splitlines()) > 400]


def test_no_six_lines_are_written_twice() -> None:
    seen: dict[tuple[str, ...], str] = {}
    twice = []
    for path in FILES:
        stripped = [line.strip() for line in path.read_text().splitlines()]
        lines = [line for line in stripped if line and not NOISE.match(line)]
        for start in range(len(lines) - 5):
            window = tuple(lines[start : start + 6])
            place = f"{path.relative_to(PROJECT)}: {window[0]}"
            if window in seen and not all(len(line) < 20 for line in window):  # rows of a table of codes
                twice.append((seen[window], place))
            seen.setdefault(window, place)
    assert not twice
