"""What every loader promises, over EgoDex and over one that has little in common with it."""

from __future__ import annotations

import inspect
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from drawn_egodex import MiniEgoDex
from made_lerobot import CAMERAS, write_lerobot

from dataset_upload.about import ColumnType
from dataset_upload.config import GenerateConfig
from dataset_upload.dataset_loaders import LOADERS, DatasetLoader, make_loader
from dataset_upload.errors import EpisodeError, Reason, UsageError
from dataset_upload.formats.rfm.schema import HANDS_SCHEMA, main_fields, main_schema
from dataset_upload.trajectory import Trajectory


class Source(NamedTuple):
    """A loader with data that it reads.

    Attributes:
        name: what `dataset.loader` calls it.
        path: a copy that a test may damage.
        sound: the key of an episode with nothing odd about it.
        damage: makes another episode unreadable; returns its key.
        reason: that this has.
    """

    name: str
    path: Path
    sound: str
    damage: Callable[[Path], str]
    reason: Reason

    def loader(self, dataset_name: str = "some", path: Path | None = None) -> DatasetLoader:
        config = GenerateConfig()
        config.dataset.loader = self.name
        config.dataset.dataset_path = str(path or self.path)
        config.dataset.dataset_name = dataset_name
        return make_loader(config)

    def load(self, loader: DatasetLoader, key: str | None = None) -> Trajectory:
        return loader.load(next(each for each in loader.list_episodes() if each.key == (key or self.sound)))


def cut_hdf5(path: Path) -> str:
    file = path / "basic_pick_and_place" / "0.hdf5"
    file.write_bytes(file.read_bytes()[:1000])
    return "basic_pick_and_place/0"


def cut_mp4(path: Path) -> str:
    file = path / "press_key" / "0" / "video.mp4"
    file.write_bytes(file.read_bytes()[:-200])
    return "press_key/0"


def cut_lerobot_mp4(path: Path) -> str:
    file = path / "videos/chunk-000" / CAMERAS[0] / "episode_000000.mp4"
    file.write_bytes(file.read_bytes()[:-200])
    return f"0/{CAMERAS[0]}"


@pytest.fixture(params=["egodex", "toy", "lerobot"])
def source(
    request: pytest.FixtureRequest,
    mini: MiniEgoDex,
    toy_arm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Source:
    monkeypatch.setitem(LOADERS, "toy", "toy_loader:ToyLoader")
    if request.param == "lerobot":
        card = "---\nlicense: mit\n---\n```bibtex\n@misc{arm}\n```\n"
        path = write_lerobot(tmp_path / "arm")
        (path / "README.md").write_text(card)
        return Source("lerobot", path, f"1/{CAMERAS[1]}", cut_lerobot_mp4, Reason.TRUNCATED_VIDEO)
    original = {"egodex": mini.path, "toy": toy_arm}[request.param]
    path = tmp_path / original.name
    shutil.copytree(original, path)
    if request.param == "toy":
        return Source("toy", path, "stack_cups/1", cut_mp4, Reason.TRUNCATED_VIDEO)
    sound = next(key for key, record in mini.records.items() if record.irregularity is None and not key.endswith("/0"))
    return Source("egodex", path, sound, cut_hdf5, Reason.UNREADABLE_HDF5)


# Which episodes there are ----------------------------------------------------------------------------------


def test_episodes_are_listed_alike_each_time_and_each_has_a_key_of_its_own(source: Source) -> None:
    episodes = source.loader().list_episodes()
    keys = [episode.key for episode in episodes]
    assert keys == [episode.key for episode in source.loader().list_episodes()]
    assert len(set(keys)) == len(keys) > 5
    assert all(episode.task_name for episode in episodes)


def test_keys_are_the_same_wherever_the_data_lies(source: Source, tmp_path: Path) -> None:
    before = [episode.key for episode in source.loader().list_episodes()]
    elsewhere = tmp_path / "elsewhere" / source.path.name
    shutil.copytree(source.path, elsewhere)
    assert [episode.key for episode in source.loader(path=elsewhere).list_episodes()] == before


def test_a_source_without_episodes_is_refused(source: Source, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError):
        source.loader(path=tmp_path / "empty").list_episodes()


def test_the_source_lies_where_it_says(source: Source) -> None:
    assert source.loader().local_sources() == [source.path]


def test_an_episode_whose_files_change_has_another_state(source: Source) -> None:
    loader = source.loader()
    before = {episode.key: loader.source_state(episode) for episode in loader.list_episodes()}
    assert before == {episode.key: loader.source_state(episode) for episode in loader.list_episodes()}
    damaged = source.damage(source.path)
    after = {episode.key: loader.source_state(episode) for episode in loader.list_episodes()}
    assert [key for key in before if before[key] != after[key]] == [damaged]


# What an episode is ----------------------------------------------------------------------------------------


def test_a_row_of_actions_for_each_frame_and_a_name_for_each_column(source: Source) -> None:
    loader = source.loader()
    trajectory = source.load(loader)
    assert trajectory["actions"].dtype == np.float32
    assert trajectory["actions"].shape == (len(trajectory["frames"]), len(loader.action_names))
    assert trajectory["action_names"] == loader.action_names
    assert len(set(loader.action_names)) == len(loader.action_names)


def test_frames_are_a_lazy_read_only_sequence(source: Source) -> None:
    frames: Any = source.load(source.loader())["frames"]
    everything = np.asarray(frames)
    assert everything.shape == frames.shape and everything.dtype == np.uint8
    assert len(frames) == len(everything) == len(frames.timestamps)
    assert frames.timestamps[0] == 0 and (np.diff(frames.timestamps) > 0).all()
    assert np.array_equal(frames[3], everything[3]) and np.array_equal(frames[-1], everything[-1])
    assert np.array_equal(np.asarray(frames[1:5:2]), everything[1:5:2])
    assert all(np.array_equal(one, other) for one, other in zip(frames, everything, strict=True))
    with pytest.raises(IndexError):
        frames[len(frames)]
    with pytest.raises(TypeError):
        frames[0] = everything[0]


def test_loading_decodes_nothing(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(*args: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr("dataset_upload.video.decoding.Video.decode", decode)
    frames = source.load(source.loader())["frames"]
    assert len(frames) > 5 and len(frames[2:]) == len(frames) - 2


def test_the_frames_of_an_open_video_are_those_of_the_sequence(source: Source) -> None:
    frames: Any = source.load(source.loader())["frames"]
    for some in (frames, frames[2:]):
        with some.open() as video:
            assert (len(some), video.height, video.width, 3) == some.shape
            (picture,) = video.decode(np.array([4]))
            assert np.array_equal(picture.to_rgb(), some[4])


def test_an_id_depends_on_the_episode_and_the_dataset_alone(source: Source, tmp_path: Path) -> None:
    name = source.load(source.loader())["id"]
    elsewhere = tmp_path / "elsewhere" / source.path.name
    shutil.copytree(source.path, elsewhere)
    assert source.load(source.loader(path=elsewhere))["id"] == name
    assert source.load(source.loader("another"))["id"] != name
    assert "/" not in name


def test_a_trajectory_says_whose_it_is(source: Source) -> None:
    loader = source.loader()
    trajectory = source.load(loader)
    (episode,) = (each for each in loader.list_episodes() if each.key == source.sound)
    assert (trajectory["source"], trajectory["task_name"]) == (episode.key, episode.task_name)
    assert trajectory["data_source"] == "some" and trajectory["task"]


def test_a_loader_says_which_poses_there_may_be(source: Source) -> None:
    loader = source.loader()
    trajectory = source.load(loader)
    for poses, key in (("hands", "hands"), ("camera", "camera_to_world"), ("skeleton", "skeleton")):
        assert key not in trajectory or poses in loader.poses


def test_hands_have_the_joints_that_were_declared(source: Source) -> None:
    loader = source.loader()
    hands = source.load(loader).get("hands")
    assert (hands is None) == (not loader.about.hand_joints)
    if hands is not None:
        assert hands["left_hand"].shape[1:] == (len(loader.about.hand_joints), 3)


def test_one_bad_episode_is_a_failure_with_a_name_and_costs_no_other(source: Source) -> None:
    damaged = source.damage(source.path)
    loader = source.loader()
    with pytest.raises(EpisodeError) as caught:
        source.load(loader, damaged)
    assert caught.value.reason == source.reason
    assert damaged.rpartition("/")[2] in str(caught.value) and "\n" not in str(caught.value)
    assert len(source.load(loader)["frames"]) > 5


def test_a_loader_and_its_episodes_travel_between_processes(source: Source) -> None:
    loader = source.loader()
    there: DatasetLoader = pickle.loads(pickle.dumps(loader))
    episodes = pickle.loads(pickle.dumps(loader.list_episodes()))
    assert [episode.key for episode in episodes] == [episode.key for episode in loader.list_episodes()]
    assert source.load(there)["id"] == source.load(loader)["id"]
    assert there.about == loader.about


# What it says of the source --------------------------------------------------------------------------------


def test_the_card_can_tell_what_the_source_is(source: Source) -> None:
    about = source.loader().about
    assert about.name and about.summary and about.licence and about.licence_note and about.tags
    assert about.url.startswith("https://")
    assert about.citation.startswith("@")


def test_declared_columns_have_a_type_a_meaning_and_a_name_of_their_own(source: Source) -> None:
    columns = source.loader().about.columns
    names = [*(field.name for field in main_fields(columns)), *HANDS_SCHEMA.names[1:]]
    assert len(set(names)) == len(names)
    for column in columns:
        assert column.type in get_args(ColumnType) and column.meaning
        assert column.name in main_schema(columns, use_video=True).names


def test_a_trajectory_has_every_column_that_was_declared(source: Source) -> None:
    loader = source.loader()
    assert {column.name for column in loader.about.columns} <= source.load(loader).keys()


def test_every_loader_has_all_that_conversion_asks_for(source: Source) -> None:
    wanted = {name for name in vars(DatasetLoader) if not name.startswith("_")}
    assert wanted == {name for name in wanted if inspect.getattr_static(source.loader(), name, None) is not None}
