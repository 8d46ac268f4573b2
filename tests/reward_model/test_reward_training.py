"""The commands as they are printed, killed runs that go on, and processes that share a model."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import commands
import pytest
from conversions import convert
from drawn_egodex import MiniEgoDex

pytest.importorskip("torch", reason="needs the extra train")

import torch
from project import PROJECT
from safetensors.torch import load_file
from tiny_dataset import write_datasets

from reward_model.checkpoints import read_state

pytestmark = pytest.mark.slow

LAUNCH = ["-m", "accelerate.commands.launch", "--config_file", f"{PROJECT}/configs/fsdp.yaml"]
TRAIN = [f"{PROJECT}/train.py", f"--config_path={PROJECT}/configs/config.yaml"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A machine without GPU, without network and without anything in its caches."""
    nowhere = "http://127.0.0.1:9"
    changed = {"HF_HOME": str(tmp_path_factory.mktemp("home")), "CUDA_VISIBLE_DEVICES": "", "HF_ENDPOINT": nowhere}
    return commands.environment(**changed)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_datasets(tmp_path_factory.mktemp("tiny") / "egodex_dataset", "egodex_a", "egodex_b")


def command(tiny: Path, run: Path, *options: str, processes: int = 1) -> list[str]:
    """A few steps of small batches, into the folder `run`: what follows "python"."""
    return [
        *([] if processes == 1 else [*LAUNCH, f"--num_processes={processes}"]),
        *TRAIN,
        f"--dataset.dataset_path={tiny}/egodex_a",
        "--dataset.encoder=pixels16",
        f"--dataset.feature_cache={tiny.parent}/features",
        f"--training.output_dir={run}",
        "--training.steps=12",
        "--training.batch_size=4",
        "--training.evaluate_every=6",
        "--training.checkpoint_every=2",
        "--training.log_every=1",
        "--evaluation.max_trajectories=4",
        *options,
    ]


def finish(arguments: list[str], environment: Mapping[str, str], cwd: Path = PROJECT) -> str:
    """Run to the end; returns what it said."""
    ended = commands.run(*arguments, cwd=cwd, env=environment)
    said = ended.stdout + ended.stderr
    assert ended.exit_code == 0, said
    return said


def weights(run: Path) -> dict[str, torch.Tensor]:
    """What the run's last checkpoint holds."""
    return dict(load_file(run / "checkpoints/last/model.safetensors"))


def start_and_kill(arguments: list[str], environment: Mapping[str, str], run: Path, *, after_step: int) -> None:
    """Kill a run of one process at some instant after its checkpoint of that step."""
    process = commands.start(*arguments, env=environment)
    last = run / "checkpoints/last"
    while not last.exists() or read_state(last).step < after_step:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    commands.end(process)


def losses(run: Path) -> dict[int, float]:
    """The loss of each step that metrics.jsonl tells."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


@pytest.fixture(scope="module")
def undisturbed(tiny: Path, environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one process that nothing happened to. Not to be changed."""
    run = tmp_path_factory.mktemp("undisturbed")
    finish(command(tiny, run), environment)
    return run


# As printed ------------------------------------------------------------------------------------------------


def test_the_printed_commands_train_and_judge_after_the_demo_conversion(
    mini: MiniEgoDex, environment: Mapping[str, str], tmp_path: Path
) -> None:
    convert(mini.path, tmp_path / "egodex_dataset")
    few_steps = ["--training.steps=2", "--training.batch_size=2", "--evaluation.max_trajectories=2"]

    said = finish(
        [*LAUNCH, *TRAIN, "--dataset.dataset_path=egodex_dataset/egodex", *few_steps],
        environment,
        cwd=tmp_path,
    )

    assert "egodex_dataset/egodex names a family: egodex_test" in said
    assert re.search(r"Dataset egodex_test: \d+ trajectories", said)
    assert "Encoder: effnet_lite0, for facebook/dinov2-small is neither in the cache nor available" in said
    assert re.search(r"Computing on 1 CPU process\(es\) of \d+ thread\(s\) in float32 \(bfloat16 is for GPUs\)", said)
    assert "one process, so nothing is sharded" in said

    evaluate = [f"{PROJECT}/eval.py", "runs/egodex/checkpoints/best", "egodex_dataset/egodex"]
    finish(evaluate, environment, cwd=tmp_path)

    report = {path.name for path in (tmp_path / "report").iterdir()}
    assert {"metrics.json", "metrics.png", "history.png", "held-out-episodes-0.png"} <= report


# Killed ----------------------------------------------------------------------------------------------------


def test_a_killed_run_goes_on_and_ends_with_identical_weights(
    tiny: Path, undisturbed: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    start_and_kill(command(tiny, tmp_path), environment, tmp_path, after_step=4)

    said = finish(command(tiny, tmp_path), environment)

    assert re.search(r"Resumed \S+ at step ([4-9]|1[01]) of 12", said)
    assert losses(tmp_path) == losses(undisturbed)
    resumed = weights(tmp_path)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in weights(undisturbed).items())


# Several processes -----------------------------------------------------------------------------------------


def test_two_processes_share_the_parameters_and_learn_what_one_learns(
    tiny: Path, undisturbed: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    said = finish(command(tiny, tmp_path, processes=2), environment)

    sharded = re.search(r"sharded by fully_shard over 2 processes \(.*gloo.*\), which hold (\d+)%, (\d+)%", said)
    assert sharded is not None, said
    assert all(int(share) < 60 for share in sharded.groups())
    assert losses(tmp_path) == pytest.approx(losses(undisturbed), rel=1e-3)
    shared = weights(tmp_path)
    assert all(torch.allclose(shared[name], tensor, atol=2e-4) for name, tensor in weights(undisturbed).items())


def test_a_clip_that_the_second_process_cannot_decode_is_named_by_all(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    root = write_datasets(tmp_path / "egodex_dataset", "egodex_a")
    (root / "egodex_a/batch_0000/trajectory_0001.mp4").write_bytes(b"no video")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}

    processes = [
        commands.start(*command(root, tmp_path / "run"), env={**environment, **address, "RANK": str(rank)})
        for rank in range(2)
    ]
    ended = [commands.end(process) for process in processes]
    said = [run.stderr.splitlines()[-1:] for run in ended]

    assert [run.exit_code for run in ended] == [2, 2]
    assert len(said[0]) == 1
    assert re.match(r"Error: .*trajectory_0001\.mp4 cannot be decoded", said[0][0])
    assert said[1] == []


def test_two_processes_go_on_where_one_was(tiny: Path, environment: Mapping[str, str], tmp_path: Path) -> None:
    start_and_kill(command(tiny, tmp_path), environment, tmp_path, after_step=4)

    said = finish(command(tiny, tmp_path, processes=2), environment)

    assert "Resumed" in said
    assert list(losses(tmp_path)) == list(range(1, 13))
