"""Who is blamed for what was given wrong: to a Python caller the argument, to a user of a command the option."""

from __future__ import annotations

import ast
import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from project import PROJECT

from dataset_upload import generate_hf_dataset
from dataset_upload.console.options import naming_options, option
from dataset_upload.errors import UsageError, naming_argument

# What knows no command, and so must not spell the options of one.
LOWER_FLOORS = (
    *("storage", "dataset_loaders", "video", "mini_egodex", "quality", "validation"),
    *("errors.py", "trajectory.py", "natural_order.py", "selection.py", "conversion.py", "ledger.py", "language.py"),
)
OPTION = re.compile(r"^--\w|--\w+\.\w")


def spelled_options(text: str) -> set[str]:
    """The string literals of a source text that spell an option; docstrings may."""
    tree = ast.parse(text)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    literals = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    return {node.value for node in literals if isinstance(node.value, str) and OPTION.search(node.value)}


@pytest.mark.parametrize("name", LOWER_FLOORS)
def test_lower_floors_know_no_options(name: str) -> None:
    place = PROJECT / "dataset_upload" / name
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files
    assert {file.name: found for file in files if (found := spelled_options(file.read_text()))} == {}


def test_the_test_above_finds_options() -> None:
    text = '"""--in.docstring"""\nraise UsageError(f"--dataset.tasks: {x}")\nprint("or give --a.b=1", "pip --no-deps")'
    assert spelled_options(text) == {"--dataset.tasks: ", "or give --a.b=1"}


@dataclass
class Section:
    """A section."""

    size: int = option(1, "how large")
    replace: bool = option(False, "whether to")


@dataclass
class Config:
    """A configuration."""

    output: Section = field(default_factory=Section)


@pytest.mark.parametrize(
    ("error", "for_a_caller", "for_a_user"),
    [
        (UsageError("3 is odd", "size"), "size: 3 is odd", "--output.size: 3 is odd"),
        (UsageError("3 is odd", "width"), "width: 3 is odd", "width: 3 is odd"),
        (UsageError("The size is odd"), "The size is odd", "The size is odd"),
        (
            UsageError("give `replace=true` or another `size`, or `hf auth login`"),
            "give `replace=true` or another `size`, or `hf auth login`",
            "give --output.replace=true or another --output.size, or `hf auth login`",
        ),
        (
            UsageError('`output.size="a b"` there, `output.gone=1` now'),
            '`output.size="a b"` there, `output.gone=1` now',
            '--output.size="a b" there, `output.gone=1` now',
        ),
    ],
)
def test_a_command_puts_its_options_in_place_of_arguments(
    error: UsageError, for_a_caller: str, for_a_user: str
) -> None:
    assert str(error) == for_a_caller
    with pytest.raises(UsageError) as caught, naming_options(Config):
        raise error
    assert str(caught.value) == for_a_user


def test_the_innermost_name_counts() -> None:
    with pytest.raises(UsageError, match=r"^inner: wrong$"), naming_argument("outer"), naming_argument("inner"):
        raise UsageError("wrong")


def test_the_argument_s_name_survives_the_way_between_processes() -> None:
    assert str(pickle.loads(pickle.dumps(UsageError("wrong", "size")))) == "size: wrong"


def test_the_converter_names_the_option_of_a_wrong_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = tmp_path / "nowhere"
    options = [f"--dataset.dataset_path={nowhere}", f"--output.output_dir={tmp_path / 'out'}"]
    assert generate_hf_dataset.main(options) == 2
    cure = "give the folder or the zip of an EgoDex part"
    assert capsys.readouterr().err == f"Error: --dataset.dataset_path: {nowhere} does not exist; {cure}\n"
