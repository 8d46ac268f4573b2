"""No checkpoint, dataset or archive runs code when it is read: the sources call nothing that could."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from project import PROJECT

SOURCES = sorted(
    path
    for pattern in ("*.py", "dataset_upload/**/*.py", "reward_model/**/*.py", "benchmarks/**/*.py")
    for path in PROJECT.glob(pattern)
)
UNPICKLING_MODULES = {"cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve"}
DANGEROUS_CALLS = {
    "eval",
    "exec",
    "pandas.read_pickle",
    "pd.read_pickle",
    "yaml.full_load",
    "yaml.load",
    "yaml.unsafe_load",
}
# Calls that are safe with an argument, and what that must say.
SAFE_WITH = {
    "AutoModel.from_pretrained": ("trust_remote_code", False),
    "np.lib.format.read_array": ("allow_pickle", False),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
}


def unsafe(source: str) -> Iterator[str]:
    """Each place of a source that might run code out of what it reads. Writing pickles is allowed."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), names=names):
                imported = [f"{module}.{alias.name}" for alias in names]
            case ast.Attribute(value=ast.Name(id="pickle"), attr=name) if name != "dumps":
                yield f"line {node.lineno}: pickle.{name}"
                continue
            case ast.Call(func=ast.Name(id="exec"), args=[ast.Constant()]):  # of what is written there, not read
                continue
            case ast.Call(func=function, keywords=keywords):
                called = ast.unparse(function)
                given = [(each.arg, each.value.value) for each in keywords if isinstance(each.value, ast.Constant)]
                if called in DANGEROUS_CALLS or (called in SAFE_WITH and SAFE_WITH[called] not in given):
                    yield f"line {node.lineno}: {called}"
                continue
            case _:
                continue
        for name in imported:
            # torch's distributed checkpoints have a pickle, .metadata; state_dict only gathers and scatters tensors.
            is_torchs = name.startswith("torch.distributed.checkpoint") and "checkpoint.state_dict." not in name
            if name.split(".")[0] in UNPICKLING_MODULES or name.startswith("pickle.") or is_torchs:
                yield f"line {node.lineno}: import of {name}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_source_runs_no_code_out_of_what_it_reads(path: Path) -> None:
    assert not list(unsafe(path.read_text()))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(file)",
        "import pickle\nread = pickle.loads",
        "from pickle import loads",
        "import joblib",
        "from shelve import open",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "yaml.load(text, Loader)",
        "eval(text)",
        "from torch.distributed.checkpoint import load",
        "import torch.distributed.checkpoint as dcp",
        "from torch.distributed.checkpoint.state_dict_loader import load",
        "AutoModel.from_pretrained(name)",
    ],
)
def test_the_search_finds_what_it_is_for(source: str) -> None:
    assert list(unsafe(source))
