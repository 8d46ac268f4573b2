"""The scripts of docs/clusters.md, run as they stand there, with what Slurm or Kubernetes would give them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from commands import environment
from conversions import NAME, fork_convert
from drawn_egodex import tiny_egodex
from output_folder import published
from project import PROJECT

pytestmark = pytest.mark.slow

DOC = (PROJECT / "docs" / "clusters.md").read_text()
NUM_SHARDS = 3


def script(after: str, language: str) -> str:
    """The first block of a language after some words, for three shards instead of 64."""
    found = re.search(rf"{re.escape(after)}.*?```{language}\n(.*?)```", DOC, re.S)
    assert found is not None, after
    return found[1].replace("64", str(NUM_SHARDS))


@pytest.fixture
def place(tmp_path: Path, sentence_model: None) -> Path:
    """A folder with a part of EgoDex, egodex.yaml, and the environment that the scripts expect."""
    tiny_egodex(tmp_path / "test", episodes=8)
    config = {
        "dataset": {"dataset_path": str(tmp_path / "test"), "dataset_name": NAME},
        "output": {"output_dir": str(tmp_path / "out"), "max_trajectories": -1, "frame_size": 64},
    }
    (tmp_path / "egodex.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return tmp_path


def start(command: list[str], place: Path, **variables: str) -> subprocess.Popen[str]:
    path = f"{place / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        command,
        cwd=place,
        env={**environment(PYTHONPATH=str(PROJECT)), "PATH": path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(*runs: subprocess.Popen[str]) -> list[str]:
    outputs = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), outputs
    return outputs


def assert_same_as_one_run(place: Path) -> None:
    assert fork_convert(place / "test", place / "whole").exit_code == 0
    assert published(place / "out") == published(place / "whole")


def test_a_slurm_array(place: Path) -> None:
    array, finish = script("`egodex.sh`", "bash"), script("`finish.sh`", "bash")
    assert "--array=0-63" in array
    (place / "egodex.sh").write_text(array)
    (place / "finish.sh").write_text(finish)
    first = start(["bash", "egodex.sh"], place, SLURM_ARRAY_TASK_ID="1")
    (output,) = end(first)
    assert "--array=0,2 of 3 shards have not ended here" in output
    missing = [start(["bash", "egodex.sh"], place, SLURM_ARRAY_TASK_ID=index) for index in ("0", "2")]
    assert any("all 3 shards have ended here" in output for output in end(*missing))
    (output,) = end(start(["bash", "finish.sh"], place))
    assert "8 done in an earlier run" in output
    assert_same_as_one_run(place)


def test_an_indexed_kubernetes_job(place: Path) -> None:
    job = yaml.safe_load(script("### Kubernetes", "yaml"))
    assert job["spec"]["completionMode"] == "Indexed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (line,) = container["args"]
    line = line.replace("/config/egodex.yaml", "egodex.yaml")
    indices = range(job["spec"]["completions"])
    end(*(start([*container["command"], line], place, JOB_COMPLETION_INDEX=str(index)) for index in indices))
    end(start([*container["command"], re.sub(r"--output\.shard=\S+", "", line)], place))
    assert_same_as_one_run(place)
