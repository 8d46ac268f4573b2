"""Checkpoints stay whole wherever the process is killed, are the same for any number of processes, and run no code."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import re
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from safetensors.torch import load_file, save_file
from torch.distributed.checkpoint.state_dict_saver import save as save_as_torch_does

from dataset_upload.errors import UsageError
from reward_model import checkpoints, model
from reward_model.checkpoints import State, load_checkpoint, load_weights, read_seen_rows, read_state, save_checkpoint
from reward_model.config import TrainConfig
from reward_model.model import RewardModel
from reward_model.ranks import Ranks, join_ranks
from reward_model.report import write_report
from reward_model.splits import SeenRows
from reward_model.training import find_checkpoint, make_optimizer

ALONE = Ranks(rank=0, size=1, device=torch.device("cpu"), bf16=False)
CONFIG = TrainConfig()
ROWS = np.arange(3, dtype=np.uint64)
SEEN = SeenRows(ROWS, ROWS + 3, ROWS + 6, np.array([0, 1, 2], np.uint8))


@pytest.fixture(autouse=True)
def tiny_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model.SIZES, "small", (8, 1, 2))


def state(step: int, best: float = 0.1) -> State:
    return State(step, best, "pixels16", {"encoder": "1", "dataset": "2"}, CONFIG)


def learned(seed: int, ranks: Ranks = ALONE) -> tuple[RewardModel, torch.optim.AdamW]:
    """A model, and its optimizer after a step."""
    torch.manual_seed(seed)
    reward_model = RewardModel("small", feature_dim=4, progress_bins=5)
    texts, frames = torch.randn(2, 384), torch.randn(2, 3, 4)
    reward_model = ranks.shard(reward_model)
    optimizer = make_optimizer(reward_model, CONFIG)
    judgement = reward_model(texts, frames, torch.tensor([3, 2]))
    (judgement.progress.sum() + judgement.success_logits.sum() + judgement.preference.sum()).backward()
    optimizer.step()
    return reward_model, optimizer


def save(folder: Path, step: int, *, best: float = 0.1, is_best: bool = False) -> Path:
    """A checkpoint of `learned(step)`; returns `last`."""
    save_checkpoint(folder, *learned(step), state(step, best), SEEN, ALONE, is_best=is_best)
    return folder / "last"


# Whole -----------------------------------------------------------------------------------------------------


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    last = save(tmp_path, 7, is_best=True)
    saved_model, saved_optimizer = learned(7)
    reward_model, optimizer = learned(8)

    load_checkpoint(last, reward_model, optimizer)

    for name, tensor in saved_model.state_dict().items():
        assert torch.equal(reward_model.state_dict()[name], tensor)
    for before, after in zip(saved_model.parameters(), reward_model.parameters(), strict=True):
        expected, found = saved_optimizer.state[before], optimizer.state[after]
        assert expected.keys() == found.keys() == {"step", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert read_state(last) == read_state(tmp_path / "best") == state(7)
    assert all(np.array_equal(getattr(read_seen_rows(last), name), column) for name, column in vars(SEEN).items())


def test_nothing_but_tensors_and_json_is_written(tmp_path: Path) -> None:
    last = save(tmp_path, 7)

    assert sorted(path.name for path in last.iterdir()) == [
        "model.safetensors",
        "optimizer.safetensors",
        "rows.safetensors",
        "state.json",
    ]


def test_others_may_read_a_checkpoint_as_any_file(tmp_path: Path) -> None:
    last = save(tmp_path, 7)
    (tmp_path / "any file").touch()

    assert {path.stat().st_mode for path in last.iterdir()} == {(tmp_path / "any file").stat().st_mode}


def at_line(number: int) -> Callable[[FrameType, str, Any], Any]:
    """A trace function that kills at the n-th line of checkpoints.py that is run."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if frame.f_code.co_filename != checkpoints.__file__:
            return None
        if event == "line":
            lines += 1
            if lines == number:
                raise KeyboardInterrupt
        return trace

    return trace


def test_killed_at_any_line_the_links_point_to_whole_checkpoints(tmp_path: Path) -> None:
    save(tmp_path, 1, best=0.1, is_best=True)
    arguments, before = (*learned(2), state(2, 0.2), SEEN, ALONE), sys.gettrace()
    links, lines = ("last", "best"), 0
    while {os.readlink(tmp_path / link) for link in links} == {"step_00000001"} or lines < 10:
        lines += 1
        sys.settrace(at_line(lines))
        try:
            save_checkpoint(tmp_path, *arguments, is_best=True)
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)

        for link in links:
            load_checkpoint(tmp_path / link, *learned(0))
            read_seen_rows(tmp_path / link)
        # What a run that resumes at `last` takes for the best so far, `best` must be.
        assert read_state(tmp_path / "last").best <= read_state(tmp_path / "best").best

    assert lines > 20
    save_checkpoint(tmp_path, *arguments, is_best=True)
    assert len([path for path in tmp_path.iterdir() if not path.is_symlink()]) == 1
    assert read_state(tmp_path / "last") == read_state(tmp_path / "best") == state(2, 0.2)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()

    with pytest.raises(UsageError, match=r"^--training\.output_dir: .*a_file/run cannot be written \(.*\)$"):
        save(tmp_path / "a_file/run", 1)


# Any number of processes -----------------------------------------------------------------------------------


def save_and_load_sharded(rank: int, port: int, folder: Path) -> None:
    """One of two processes: goes on from `one`, saves that as `two`, and saves a model of its own as `sharded`."""
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
    os.environ.update(address, CUDA_VISIBLE_DEVICES="")
    model.SIZES["small"] = (8, 1, 2)
    with join_ranks() as ranks:
        sharded = learned(1, ranks)
        save_checkpoint(folder / "sharded", *sharded, state(1), SEEN, ranks, is_best=False)
        load_checkpoint(folder / "one/last", *sharded)
        save_checkpoint(folder / "two", *sharded, state(1), SEEN, ranks, is_best=False)


@pytest.mark.slow
def test_two_processes_write_what_one_would_and_load_what_one_wrote(tmp_path: Path) -> None:
    one = save(tmp_path / "one", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=save_and_load_sharded, args=(rank, port, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)

    for name in ("model.safetensors", "optimizer.safetensors"):
        expected = load_file(one / name)
        loaded_by_two, learned_by_two = (
            load_file(tmp_path / "two/last" / name),
            load_file(tmp_path / "sharded/last" / name),
        )
        assert expected.keys() == loaded_by_two.keys() == learned_by_two.keys()
        assert all(torch.equal(tensor, loaded_by_two[key]) for key, tensor in expected.items())
        assert all(torch.allclose(tensor, learned_by_two[key], atol=1e-6) for key, tensor in expected.items())
    load_checkpoint(tmp_path / "sharded/last", *learned(0))


# Hostile ---------------------------------------------------------------------------------------------------


class Payload:
    """Whoever unpickles it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def resume(folder: Path) -> None:
    config = replace(CONFIG, training=replace(CONFIG.training, output_dir=str(folder.parent)))
    found = find_checkpoint(config)
    assert found is not None
    load_checkpoint(found, *learned(0))
    read_seen_rows(found)


def judge(folder: Path) -> None:
    write_report(folder / "best", "no dataset", folder / "report", all_rows=False, max_trajectories=1, pictures=0)


def load_what_was_learned(folder: Path) -> None:
    load_weights(folder / "best", learned(0)[0])


READERS = [resume, judge, load_what_was_learned]


def refusal(read: Callable[[Path], None], folder: Path) -> str:
    """Why a checkpoint is not read: in one line."""
    with pytest.raises(UsageError) as caught:
        read(folder)
    (line,) = str(caught.value).splitlines()
    return line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The checkpoints of a run."""
    save(tmp_path / "checkpoints", 3, is_best=True)
    return tmp_path / "checkpoints"


@pytest.mark.parametrize("read", [resume, judge])
def test_an_old_checkpoint_is_refused_and_its_pickle_not_run(tmp_path: Path, read: Callable[[Path], None]) -> None:
    made, old = tmp_path / "made by the pickle", tmp_path / "checkpoints/step_00000003"
    save_as_torch_does({"model": learned(0)[0].state_dict()}, checkpoint_id=old)
    (old / ".metadata").write_bytes(pickle.dumps(Payload(made)))
    (old / "state.json").write_text(json.dumps({"step": 3, "best": 0.1, "encoder": "pixels16"}))
    for link in ("last", "best"):
        (old.parent / link).symlink_to(old.name)

    line = refusal(read, old.parent)

    assert re.search(r"(last|best): a checkpoint of an earlier version, .* train anew, in another --training", line)
    assert not made.exists()
    pickle.loads(pickle.dumps(Payload(made)))
    assert made.exists(), "the pickle is none that would have been noticed"


@pytest.mark.parametrize("how", ["pickle", "torch"])
@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "rows.safetensors", "state.json"])
def test_a_pickle_in_place_of_a_file_is_not_run(folder: Path, name: str, how: str) -> None:
    made, path = folder / "made", folder / "last" / name
    if how == "pickle":
        path.write_bytes(pickle.dumps(Payload(made)))
    else:
        torch.save(Payload(made), path)

    for read in READERS:
        try:
            read(folder)
        except UsageError as error:
            assert len(str(error).splitlines()) == 1
    assert name in refusal(resume, folder)
    assert not made.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda saved: saved | {"step": "many"},
        lambda saved: saved | {"step": -1},
        lambda saved: saved | {"fingerprints": {"encoder": {"a": 1}}},
        lambda saved: saved | {"fingerprints": {}},
        lambda saved: saved | {"encoder": None},
        lambda saved: saved | {"more": 1},
        lambda saved: saved | {"config": []},
        lambda saved: saved | {"config": saved["config"] | {"model": {"size": "small", "progress_bins": 10**12}}},
        lambda saved: saved | {"config": saved["config"] | {"model": {"size": "immense"}}},
        lambda saved: {key: value for key, value in saved.items() if key != "config"},
        lambda saved: [],
        lambda saved: None,
    ],
)
def test_a_state_that_is_not_what_it_should_be_is_refused(folder: Path, damage: Callable[[Any], Any]) -> None:
    path = folder / "last/state.json"
    path.write_text(json.dumps(damage(json.loads(path.read_text()))))

    for read in (resume, judge):
        refusal(read, folder)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"format": 2}', "\x00"])
def test_a_state_that_is_no_json_is_refused(folder: Path, text: str) -> None:
    (folder / "last/state.json").write_text(text)

    for read in (resume, judge):
        assert "state.json is missing or damaged" in refusal(read, folder)


def bigger(tensors: dict[str, torch.Tensor]) -> None:
    name = max(tensors)
    tensors[name] = torch.zeros(*tensors[name].shape, 2)


def of_another_type(tensors: dict[str, torch.Tensor]) -> None:
    tensors[max(tensors)] = tensors[max(tensors)].to(torch.int8)


def fewer(tensors: dict[str, torch.Tensor]) -> None:
    tensors.popitem()


def more(tensors: dict[str, torch.Tensor]) -> None:
    tensors["more"] = torch.zeros(1)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "rows.safetensors"])
@pytest.mark.parametrize("change", [bigger, of_another_type, fewer, more])
def test_other_tensors_than_expected_are_refused(
    folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], None]
) -> None:
    path = folder / "last" / name
    tensors = dict(load_file(path))
    change(tensors)
    save_file(tensors, path)

    assert f"{name} is missing or damaged" in refusal(resume, folder)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "rows.safetensors"])
@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_or_cut_file_is_refused(folder: Path, name: str, missing: bool) -> None:
    path = folder / "last" / name
    os.truncate(path, path.stat().st_size // 2)
    if missing:
        path.unlink()

    assert f"{name} is missing or damaged" in refusal(resume, folder)


def test_no_checkpoint_is_refused(folder: Path) -> None:
    shutil.rmtree((folder / "best").resolve())

    assert "no checkpoint is here; name one" in refusal(judge, folder)
