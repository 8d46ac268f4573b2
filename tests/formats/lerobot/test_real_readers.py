"""What the real LeRobot libraries read in a dataset is what the episodes hold, and judges find no fault with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import lerobot_readers
import numpy as np
import pyarrow.parquet as pq
import pytest
from conversions import convert, skip_without_sentence_model
from hub_client import REPO, Client
from hub_server import HubServer
from lerobot_on_python311 import without_type_parameters
from numpy.typing import NDArray
from project import PROJECT

from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
from dataset_upload.mini_egodex.part import make_mini_egodex
from dataset_upload.video.geometry import plan_resize
from dataset_upload.video.plain_decoding import decode_clip

SCRIPTS = PROJECT / "tests" / "harness"
CAMERA = "observation.images.ego"
SMALL = 64  # as wide and high as lerobot_read.py gives pictures
FPS, HORIZON = 30, 16
SUBSET = [1, 3]
VIEWS = {
    "workers": {"num_workers": 2},  # first: see lerobot_read.py
    "all": {},
    "subset": {"episodes": SUBSET},
    "windows": {
        "delta_timestamps": {CAMERA: [-1 / FPS, 0.0, 1 / FPS], "action": [step / FPS for step in range(HORIZON)]}
    },
    "streaming": {"streaming": True},
}

Arrays = dict[str, NDArray[Any]]  # by the key of an item

slow = pytest.mark.slow


# What is read -----------------------------------------------------------------------------------------------------


def read(root: Path | str, out: Path, views: dict[str, Any], version: str = "0.6.1", **variables: str) -> Any:
    """What a version of lerobot gives in these views: `Arrays` by name."""
    out.mkdir(exist_ok=True)
    environment = lerobot_readers.lerobot(version)
    ended = environment.run(SCRIPTS / "lerobot_read.py", REPO, root, out, json.dumps(views), timeout=600, **variables)
    assert ended.exit_code == 0, ended.stderr
    return {name: dict(np.load(out / f"{name}.npz")) for name in views}


def hub_settings(client: Client) -> dict[str, str]:
    """The variables that let lerobot read from the tests' Hub."""
    return {name: client.environment[name] for name in ("HF_ENDPOINT", "HF_TOKEN")}


class Source:
    """The episodes that a dataset was made of, in its order."""

    def __init__(self, path: Path, root: Path) -> None:
        loader = EgoDexLoader(str(path), "source")
        episodes = {episode.key: episode for episode in loader.list_episodes()}
        table = pq.read_table(root / "meta/episodes")
        trajectories = [loader.load(episodes[key]) for key in table.column("source").to_pylist()]
        self.lengths = [len(trajectory["frames"]) for trajectory in trajectories]
        self.tasks = [trajectory["task"] for trajectory in trajectories]
        self.states = [trajectory["actions"] for trajectory in trajectories]
        self.frames = [self._small(trajectory["frames"]) for trajectory in trajectories]

    def _small(self, frames: Any) -> NDArray[np.float32]:
        resize = plan_resize((frames.shape[2], frames.shape[1]), "stretch", SMALL)
        with frames.open() as video:
            pictures = [
                resize.apply(picture).to_ndarray(format="rgb24") for picture in video.decode(range(len(frames)))
            ]
        return np.stack(pictures).astype(np.float32)


def distances(read_frames: NDArray[Any], source_frames: NDArray[Any]) -> NDArray[Any]:
    """(T, T): mean squared differences of each frame read to each of the source."""
    ours, theirs = (frames.reshape(len(frames), -1).astype(np.float64) for frames in (read_frames, source_frames))
    squares: NDArray[Any] = (ours**2).sum(1)[:, None] - 2 * ours @ theirs.T + (theirs**2).sum(1)[None]
    return squares / ours.shape[1]


def assert_nearest_to_own(items: Arrays, source: Source, episodes: Sequence[int] | None = None) -> None:
    """Of all frames of an episode of the source, each frame read is nearest to its own; None: of all episodes."""
    episodes = range(len(source.lengths)) if episodes is None else episodes
    ends = np.cumsum([source.lengths[episode] for episode in episodes])
    for episode, frames in zip(episodes, np.split(items[CAMERA], ends[:-1]), strict=True):
        nearest = distances(frames, source.frames[episode]).argmin(axis=1)
        assert nearest.tolist() == list(range(source.lengths[episode])), f"episode {episode}"


def by_index(items: Arrays) -> Arrays:
    """In the order of the dataset, whatever the order in which they came."""
    order = np.argsort(items["index"])
    return {key: values[order] for key, values in items.items()}


def assert_same(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values, err_msg=key)


# On drawn episodes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("egodex") / "part"
    make_mini_egodex(path, episodes=5, size=(192, 128), frames=(20, 36))
    return path


def convert_to_lerobot(source: Path, output_dir: Path, *options: str) -> Path:
    """The root of the dataset."""
    skip_without_sentence_model()
    convert(source, output_dir, "--output.format=lerobot", "--output.max_trajectories=-1", *options, name="drawn")
    return output_dir / "drawn"


@pytest.fixture(scope="module")
def root(source_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_to_lerobot(source_path, tmp_path_factory.mktemp("v30"), "--output.frame_size=96")


@pytest.fixture(scope="module")
def source(source_path: Path, root: Path) -> Source:
    return Source(source_path, root)


@pytest.fixture(scope="module")
def views(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Arrays]:
    """What lerobot 0.6.1 gives, by the names of `VIEWS`."""
    found: dict[str, Arrays] = read(root, tmp_path_factory.mktemp("views"), VIEWS)
    return found


@slow
def test_each_frame_is_nearest_to_its_own_in_the_source(views: dict[str, Arrays], source: Source) -> None:
    assert_nearest_to_own(views["all"], source)


@slow
def test_so_is_each_frame_of_av1(source_path: Path, source: Source, tmp_path: Path) -> None:
    root = convert_to_lerobot(source_path, tmp_path / "output", "--output.frame_size=96", "--lerobot.codec=av1")
    assert_nearest_to_own(read(root, tmp_path / "out", {"all": {}})["all"], source)


@slow
def test_each_row_has_its_state_and_the_next_one_as_action(views: dict[str, Arrays], source: Source) -> None:
    actions = [np.concatenate([states[1:], states[-1:]]) for states in source.states]
    np.testing.assert_array_equal(views["all"]["observation.state"], np.concatenate(source.states))
    np.testing.assert_array_equal(views["all"]["action"], np.concatenate(actions))


@slow
def test_each_row_has_its_episode_and_its_task(views: dict[str, Arrays], source: Source) -> None:
    rows = views["all"]
    assert rows["task"].tolist() == np.repeat(source.tasks, source.lengths).tolist()
    assert rows["episode_index"].tolist() == np.repeat(range(len(source.lengths)), source.lengths).tolist()
    assert rows["frame_index"].tolist() == [step for length in source.lengths for step in range(length)]
    assert rows["index"].tolist() == list(range(sum(source.lengths)))


@slow
def test_windows_stay_within_their_episode_and_say_so(views: dict[str, Arrays], source: Source) -> None:
    whole, windows = views["all"], views["windows"]
    ends = np.repeat(np.cumsum(source.lengths), source.lengths)
    starts = ends - np.repeat(source.lengths, source.lengths)
    rows = np.arange(len(ends))[:, None]
    for key, offsets in ((CAMERA, np.arange(-1, 2)), ("action", np.arange(HORIZON))):
        wanted = rows + offsets
        within = np.clip(wanted, starts[:, None], ends[:, None] - 1)
        np.testing.assert_array_equal(windows[key], whole[key][within])
        np.testing.assert_array_equal(windows[f"{key}_is_pad"], wanted != within)


@slow
def test_chosen_episodes_are_those_of_the_whole(views: dict[str, Arrays]) -> None:
    rows = np.isin(views["all"]["episode_index"], SUBSET)
    assert_same(views["subset"], {key: values[rows] for key, values in views["all"].items()})


@slow
@pytest.mark.parametrize("view", ["workers", "streaming"])
def test_shuffled_items_are_those_of_the_whole(views: dict[str, Arrays], view: str) -> None:
    assert views[view]["index"].tolist() != views["all"]["index"].tolist()
    assert_same(by_index(views[view]), views["all"])


@slow
def test_an_older_library_reads_the_same(root: Path, views: dict[str, Arrays], tmp_path: Path) -> None:
    assert_same(read(root, tmp_path, {"all": {}}, "0.4.4")["all"], views["all"])


@slow
def test_from_the_hub_it_is_the_same(
    root: Path, views: dict[str, Arrays], hub: HubServer, client: Client, tmp_path: Path
) -> None:
    ended = client.push(root.parent)
    assert ended.exit_code == 0, ended.stderr
    wanted = {"all": {}, "streaming": {"streaming": True}}
    found = read("", tmp_path / "out", wanted, **hub_settings(client))
    assert_same(found["all"], views["all"])
    assert_same(by_index(found["streaming"]), views["all"])


# On real episodes -------------------------------------------------------------------------------------------------


@slow
def test_real_frames_are_nearest_to_their_own_in_the_source(
    real_sample: Path, hub: HubServer, client: Client, tmp_path: Path
) -> None:
    root = convert_to_lerobot(real_sample, tmp_path / "output")
    source = Source(real_sample, root)
    local = read(root, tmp_path / "local", {"all": {}})["all"]
    np.testing.assert_array_equal(local["observation.state"], np.concatenate(source.states))
    for ours, theirs in zip(np.split(local[CAMERA], np.cumsum(source.lengths)[:-1]), source.frames, strict=True):
        found, between = distances(ours, theirs), distances(theirs, theirs)
        own, nearest = np.diag(found), found.argmin(axis=1)
        # Where next to nothing moves, a neighbour may be nearer: one that differs far less than coding does.
        assert (between[np.arange(len(theirs)), nearest] < own / 3).all()
        assert (np.abs(nearest - np.arange(len(theirs))) <= 2).all()
        assert own.mean() < min(np.diag(found, 1).mean(), np.diag(found, -1).mean())
    ended = client.push(root.parent)
    assert ended.exit_code == 0, ended.stderr
    assert_same(read("", tmp_path / "pushed", {"all": {}}, **hub_settings(client))["all"], local)


@slow
@pytest.mark.parametrize("which", ["source_path", "real_sample"])
def test_copied_pictures_are_read_as_the_source_has_them(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = request.getfixturevalue(which)
    root = convert_to_lerobot(path, tmp_path / "output", "--lerobot.video=copy")
    # Not streamed: that holds 1000 frames to shuffle, 25 MB each.
    views = {decoder: {"video_backend": decoder} for decoder in ("torchcodec", "pyav")}
    found = read(root, tmp_path / "out", views)
    table = pq.read_table(root / "meta/episodes", columns=["source", "length"])
    starts = np.cumsum([0, *table["length"].to_pylist()])
    for source, start, end in zip(table["source"].to_pylist(), starts, starts[1:], strict=False):
        frames = decode_clip([(path / f"{source}.mp4").read_bytes()])
        expected = np.stack([averaged(averaged(frame, 0), 1) for frame in islice(frames, end - start)])
        for decoder in views:
            np.testing.assert_allclose(found[decoder][CAMERA][start:end], expected, atol=0.01, err_msg=source)


def averaged(frame: NDArray[Any], axis: int) -> NDArray[Any]:
    """An axis reduced to SMALL as lerobot_read.py does it: the mean of the pixels that each new one lies in."""
    length, places = frame.shape[axis], np.arange(SMALL)
    starts, ends = places * length // SMALL, -(-(places + 1) * length // SMALL)
    sums = np.cumsum(np.insert(frame.astype(np.float64), 0, 0, axis), axis)
    counts = (ends - starts).reshape([-1 if each == axis else 1 for each in range(3)])
    means: NDArray[Any] = (np.take(sums, ends, axis) - np.take(sums, starts, axis)) / counts
    return means


# Its own tools ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def edited(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("edited")
    ended = lerobot_readers.lerobot().run(SCRIPTS / "lerobot_edit.py", root, out)
    assert ended.exit_code == 0, ended.stderr
    return out


@slow
@pytest.mark.parametrize(
    ("name", "episodes"),
    [("merged", [*range(5), *range(5)]), ("first", [0]), ("rest", [1, 2, 3, 4]), ("deleted", [0, 2, 3, 4])],
)
def test_lerobots_tools_edit_it(
    edited: Path, views: dict[str, Arrays], source: Source, tmp_path: Path, name: str, episodes: list[int]
) -> None:
    whole = views["all"]
    rows = np.concatenate([np.flatnonzero(whole["episode_index"] == episode) for episode in episodes])
    found = read(edited / name, tmp_path, {"all": {}})["all"]
    for key in ("observation.state", "action", "camera.pose", "task", "frame_index", "timestamp"):
        np.testing.assert_array_equal(found[key], whole[key][rows], err_msg=key)
    assert_nearest_to_own(found, source, episodes)


@slow
def test_a_policy_trains_on_it(root: Path) -> None:
    ended = lerobot_readers.lerobot().run(SCRIPTS / "lerobot_train.py", root, timeout=600)
    assert ended.exit_code == 0, ended.stderr
    losses = json.loads(ended.stdout.splitlines()[-1])
    assert len(losses) == 20
    assert np.isfinite(losses).all()


# v2.1 -------------------------------------------------------------------------------------------------------------

COLUMNS = ("observation.state", "action", "camera.pose", "task", "episode_index", "frame_index", "index", "timestamp")


@pytest.fixture(scope="module")
def root21(source_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output_dir = tmp_path_factory.mktemp("v21")
    return convert_to_lerobot(source_path, output_dir, "--output.frame_size=96", "--lerobot.version=v2.1")


@slow
def test_v21_is_read_as_v30_is(root21: Path, views: dict[str, Arrays], tmp_path: Path) -> None:
    found = read(root21, tmp_path, {"all": {}}, "0.3.3")["all"]
    for key in (*COLUMNS, CAMERA):
        np.testing.assert_array_equal(found[key], views["all"][key], err_msg=key)


@slow
def test_lerobots_own_v30_of_v21_is_read_as_ours_is(root21: Path, views: dict[str, Arrays], tmp_path: Path) -> None:
    theirs = shutil.copytree(root21, tmp_path / "theirs")  # which is done in place
    module = "lerobot.scripts.convert_dataset_v21_to_v30"
    ended = lerobot_readers.lerobot().run("-m", module, "--repo-id", REPO, "--root", theirs, "--push-to-hub", "false")
    assert ended.exit_code == 0, ended.stderr
    found = read(theirs, tmp_path / "out", {"all": {}})["all"]
    for key in (*COLUMNS, CAMERA):
        np.testing.assert_array_equal(found[key], views["all"][key], err_msg=key)


# Judges -----------------------------------------------------------------------------------------------------------

# What they say of sound datasets; docs/lerobot.md explains each.
ROBOVET = {"DATA-108"}
DOCTOR = {
    "Action Quality",
    "Anomaly Detection",
    "Data Distribution",
    "Episode Health",
    "Per-Episode Summary",
    "Training Readiness",
}
LINT = {
    "ACTION_RANGE_MISMATCH",
    "ACTION_STATE_DIVERGENCE",
    "DEAD_JOINT",
    "DISCONTINUITY",
    "JITTER",
    "SATURATED_JOINT",
    "SHORT_EPISODE",
    "TOO_FEW_EPISODES",
    "UNITS_INFERRED",
}


@pytest.fixture(params=["v3.0", "v2.1"])
def judged(request: pytest.FixtureRequest) -> Path:
    root: Path = request.getfixturevalue({"v3.0": "root", "v2.1": "root21"}[request.param])
    return root


@slow
def test_robovet_warns_only_of_what_is_explained(judged: Path, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    ended = lerobot_readers.judges().run("doctor", judged, "--json", told, program="robovet")
    assert ended.exit_code == 0, ended.stdout
    results = json.loads(told.read_text())["results"]
    assert {each["check_id"] for each in results if each["severity"] != "PASS"} <= ROBOVET


@slow
def test_lerobot_doctor_warns_only_of_what_is_explained(judged: Path) -> None:
    ended = lerobot_readers.judges().run("check", judged, "--json", program="lerobot-doctor")
    told = json.loads(ended.stdout)
    assert told["summary"]["FAIL"] == 0, ended.stdout
    assert {each["name"] for each in told["checks"] if each["severity"] != "PASS"} <= DOCTOR


@slow
def test_lerobot_lint_loads_it_and_warns_only_of_what_is_explained(root: Path, tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    ended = lerobot_readers.lerobot().run("check", root, "--json", told, program="lelint")
    assert told.exists(), ended.stderr
    assert {each["check"] for each in json.loads(told.read_text())["findings"]} <= LINT


def test_what_is_explained_is_in_the_docs() -> None:
    text = (PROJECT / "docs" / "lerobot.md").read_text()
    assert [name for name in (*ROBOVET, *DOCTOR, *LINT) if name not in text] == []


# The harness ------------------------------------------------------------------------------------------------------


def test_python_3_11_understands_what_was_written_for_3_12() -> None:
    source = '''"""A module."""

from __future__ import annotations

from abc import ABC

type Number = int | float


class Box[T]:
    pass


class Pair[First, Second](ABC):
    pass


def same[T: Number](value: T) -> T:
    return value
'''
    module: dict[str, Any] = {"__name__": "module"}
    exec(compile(without_type_parameters(source), "module", "exec", dont_inherit=True), module)
    assert module["Box"][int] and module["Pair"][int, str]
    assert module["same"](3) == 3
