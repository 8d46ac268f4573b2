"""LeRobot datasets, others' and our own: each row with its picture, and a name for whatever is broken."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import video_streams
from conversions import convert, fork_convert
from drawn_egodex import MiniEgoDex
from made_lerobot import CAMERAS, FRAMES, STEP, TASKS, drawn, episode_table, write_lerobot, write_table

from dataset_upload.config import GenerateConfig
from dataset_upload.dataset_loaders import make_loader
from dataset_upload.dataset_loaders.lerobot.about import is_robot
from dataset_upload.dataset_loaders.lerobot.loader import LerobotLoader, LerobotTrajectory
from dataset_upload.errors import EpisodeError, Reason, UsageError
from dataset_upload.mini_egodex.frame_code import read_frame_number
from dataset_upload.video.frames import VideoFrames
from dataset_upload.video.video_part import VideoPart

VERSIONS = pytest.mark.parametrize("version", ["v3.0", "v2.1"])
LEROBOT = ("--dataset.loader=lerobot",)


def loader_of(root: Path, cameras: list[str] | str = "all") -> LerobotLoader:
    config = GenerateConfig()
    config.dataset.loader, config.dataset.dataset_path, config.dataset.cameras = "lerobot", str(root), cameras
    loader = make_loader(config)
    assert isinstance(loader, LerobotLoader)
    return loader


def load(root: Path, key: str) -> LerobotTrajectory:
    loader = loader_of(root)
    return loader.load(next(each for each in loader.list_episodes() if each.key == key))


def numbers_shown(trajectory: LerobotTrajectory) -> list[int]:
    with trajectory["frames"].open() as video:
        return [video_streams.read_number(picture) for picture in video.decode(np.arange(len(trajectory["frames"])))]


# Which frames there are ------------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("codec, b_frames", [("libx264", 0), ("libx264", 3), ("libx265", 3), ("libsvtav1", 0)])
@pytest.mark.parametrize("gop", [FRAMES, 7])
def test_each_row_has_its_own_picture(tmp_path: Path, version: str, codec: str, b_frames: int, gop: int) -> None:
    # With a keyframe every 7 frames most episodes of a packed file begin without one.
    write_lerobot(tmp_path, version, codec=codec, b_frames=b_frames, gop=gop)
    for episode in range(3):
        trajectory = load(tmp_path, f"{episode}/{CAMERAS[1]}")
        expected = [episode * STEP + frame for frame in range(FRAMES)]
        assert numbers_shown(trajectory) == expected == trajectory["actions"][:, 0].tolist()
        with trajectory["frames"].open() as video:
            some = [video_streams.read_number(picture) for picture in video.decode(np.array([3, 8]))]
        assert some == [expected[3], expected[8]]


@VERSIONS
def test_what_a_trajectory_says(tmp_path: Path, version: str) -> None:
    write_lerobot(tmp_path / "arm", version)
    trajectory = load(tmp_path / "arm", f"1/{CAMERAS[0]}")
    assert trajectory["task"] == trajectory["task_name"] == TASKS[1]
    assert trajectory["action_names"] == ("x", "y", "gripper")
    assert trajectory["state_names"] == ("shoulder", "elbow")
    assert trajectory["states"] is not None and (trajectory["states"] == trajectory["actions"][:, :2] / 2).all()
    assert trajectory["is_robot"] and trajectory["part"] == "arm"
    assert np.allclose(trajectory["frames"].timestamps, np.arange(FRAMES) / 30)
    assert trajectory["frames"].fps == 30


def test_of_a_packed_file_only_its_own_frames_are_read(tmp_path: Path) -> None:
    numbers = list(range(240))
    options = {"crf": "4"}
    content = video_streams.encode("libx264", len(numbers), gop=FRAMES, b_frames=2, size=(640, 480), options=options)
    sizes = [len(packet.data) for packet in video_streams.packets(content)]
    read: list[int] = []

    class Counting(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            read.append(len(data))
            return data

    def frames(first: int) -> VideoFrames:
        def open_part(file: Any, name: str) -> VideoPart:
            return VideoPart(file, name, start=first / 30, times=np.arange(12) / 30, fps=30, is_all=False)

        return VideoFrames(lambda: Counting(content), "some", read=open_part)

    last = frames(228)
    opening = sum(read)
    read.clear()
    with last.open() as video:
        assert [video_streams.read_number(picture) for picture in video.decode(range(12))] == numbers[-12:]
    assert sum(read) < opening + 1.5 * sum(sizes[-12:]) + 70_000 < sum(sizes)


# What is chosen, and what is said --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cameras, expected",
    [("all", CAMERAS), ("first", CAMERAS[:1]), (["wrist"], CAMERAS[1:]), (CAMERAS[1], CAMERAS[1:])],
)
def test_cameras_are_chosen(tmp_path: Path, cameras: list[str] | str, expected: tuple[str, ...]) -> None:
    write_lerobot(tmp_path, episodes=1)
    keys = [episode.key for episode in loader_of(tmp_path, cameras).list_episodes()]
    assert keys == [f"0/{camera}" for camera in expected]


def test_an_unknown_camera_is_refused(tmp_path: Path) -> None:
    write_lerobot(tmp_path, episodes=1)
    with pytest.raises(UsageError, match=r"cameras: left is none of observation.images.top, .*wrist"):
        loader_of(tmp_path, ["left"]).list_episodes()


def test_depth_is_passed_over(tmp_path: Path) -> None:
    write_lerobot(tmp_path, episodes=1)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    info["features"][CAMERAS[0]]["info"] = {"video.is_depth_map": True}
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    assert [episode.camera for episode in loader_of(tmp_path).list_episodes()] == [CAMERAS[1]]


@pytest.mark.parametrize(
    "robot_type, robot",
    [
        *((name, True) for name in ("so101", "", "shadow_hand")),
        *((name, False) for name in ("hand", "human hand", "ego_hand", "egocentric_human", "human_egodex_manip_head")),
        ("human_hands", False),
    ],
)
def test_who_acts_follows_from_robot_type(robot_type: str, robot: bool) -> None:
    assert is_robot(robot_type) is robot


@pytest.mark.parametrize("card", ["", "---\nlicense: [\n---\n", "---\n- a\n---\n", "no header"])
def test_without_a_licence_in_the_card_none_is_claimed(tmp_path: Path, card: str) -> None:
    write_lerobot(tmp_path / "arm", episodes=1)
    (tmp_path / "arm/README.md").write_text(card)
    about = loader_of(tmp_path / "arm").about
    assert (about.licence, about.citation, about.tags) == ("unknown", "", ("lerobot",))
    assert about.licence_note.startswith("arm's card names no licence") and about.publishing_forbidden is None


def test_the_card_says_the_licence(tmp_path: Path) -> None:
    write_lerobot(tmp_path / "arm", episodes=1)
    header = "---\nlicense: cc-by-nc-nd-4.0\ntags: [arm, LeRobot]\n---\n"
    (tmp_path / "arm/README.md").write_text(f"{header}# Arm\n\n```bibtex\n@misc{{arm,\n year={{2026}}\n}}\n```\n")
    about = loader_of(tmp_path / "arm").about
    assert about.licence == "cc-by-nc-nd-4.0" and about.tags == ("lerobot", "arm", "LeRobot")
    assert about.citation == "@misc{arm,\n year={2026}\n}"
    assert about.publishing_forbidden is not None and "EgoDex" not in str(about)


def with_column(name: str, change: Callable[[np.ndarray[Any, Any]], object]) -> Callable[[pa.Table], pa.Table]:
    """A change of a table's column."""

    def changed(table: pa.Table) -> pa.Table:
        values = np.array(table.column(name).to_pylist())
        change(values)
        field = table.schema.field(name)
        return table.set_column(table.schema.get_field_index(name), field, pa.array(values.tolist(), field.type))

    return changed


def put(row: Any, value: float) -> Callable[[np.ndarray[Any, Any]], object]:
    return lambda values: values.__setitem__(row, value)


SUCCESS = [([False] * FRAMES, "failure"), ([False] * 11 + [True], "successful")]


@pytest.mark.parametrize("values, label", SUCCESS)
def test_success_is_that_of_any_row(tmp_path: Path, values: list[bool], label: str) -> None:
    write_lerobot(tmp_path, episodes=1)
    table = episode_table(0).append_column("next.success", pa.array(values))
    write_table(tmp_path / "data/chunk-000/episode_000000.parquet", [table])
    assert load(tmp_path, f"0/{CAMERAS[0]}")["quality_label"] == label


def test_several_tasks_are_joined(tmp_path: Path) -> None:
    write_lerobot(tmp_path, episodes=1)
    table = with_column("task_index", put(slice(6, None), 1))(episode_table(0))
    write_table(tmp_path / "data/chunk-000/episode_000000.parquet", [table])
    assert load(tmp_path, f"0/{CAMERAS[0]}")["task"] == f"{TASKS[0]}; {TASKS[1]}"


# What is broken --------------------------------------------------------------------------------------------

ROWS = [
    ("NaN", with_column("action", put((3, 1), np.nan)), Reason.NAN_POSES, "action is not finite in 1 of 12 rows"),
    ("infinite", with_column("observation.state", put((3, 1), np.inf)), Reason.NAN_POSES, "observation.state is not"),
    ("too few", lambda table: table[:11], Reason.FRAME_COUNT_MISMATCH, "11 rows for the 12 frames"),
    ("none", lambda table: table[:0], Reason.FRAME_COUNT_MISMATCH, "0 rows"),
    ("out of order", lambda table: table.take([1, 0, *range(2, 12)]), Reason.UNREADABLE_SOURCE, "frame_index"),
    ("wrong time", with_column("timestamp", put(5, 0.2)), Reason.FRAME_RATE, "timestamps do not follow"),
    ("unlisted task", with_column("task_index", put(slice(None), 7)), Reason.UNREADABLE_SOURCE, "task 7"),
    ("other episode", with_column("episode_index", put(5, 2)), Reason.FRAME_COUNT_MISMATCH, "11 rows"),
    ("no action", lambda table: table.drop_columns(["action"]), Reason.UNREADABLE_SOURCE, "no column action"),
    (
        "narrow",
        lambda table: table.set_column(0, "action", pa.array([[1.0, 2.0]] * 12)),
        Reason.UNREADABLE_SOURCE,
        "action has not 3 numbers",
    ),
]


@pytest.mark.parametrize("change, reason, message", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_broken_rows_are_a_failure_with_a_name(
    tmp_path: Path, change: Callable[[pa.Table], pa.Table], reason: Reason, message: str
) -> None:
    write_lerobot(tmp_path)
    write_table(tmp_path / "data/chunk-000/episode_000001.parquet", [change(episode_table(1))])
    with pytest.raises(EpisodeError, match=message) as caught:
        load(tmp_path, f"1/{CAMERAS[0]}")
    assert caught.value.reason == reason and "trajectory" in str(caught.value) and "1" in str(caught.value)
    assert numbers_shown(load(tmp_path, f"0/{CAMERAS[0]}"))[0] == 0


VIDEO = f"videos/{CAMERAS[0]}"
LISTED = [
    ({"dataset_from_index": 17}, Reason.UNREADABLE_SOURCE, "index does not count from 17 on"),
    ({"length": 11}, Reason.FRAME_COUNT_MISMATCH, "12 rows for the 11 frames"),
    ({"length": None}, Reason.FRAME_COUNT_MISMATCH, "12 rows for the 0 frames"),
    ({"data/file_index": None}, Reason.UNREADABLE_SOURCE, "no file of rows is listed"),
    ({"data/file_index": 3}, Reason.UNREADABLE_SOURCE, "its file of rows is missing"),
    ({f"{VIDEO}/file_index": None}, Reason.MISSING_MP4, "none is listed"),
    ({f"{VIDEO}/file_index": 3}, Reason.MISSING_MP4, "Missing MP4 file"),
    ({f"{VIDEO}/from_timestamp": np.nan}, Reason.UNREADABLE_SOURCE, "its video begins at nan s"),
    ({f"{VIDEO}/from_timestamp": -1.0}, Reason.UNREADABLE_SOURCE, "its video begins at -1 s"),
    ({f"{VIDEO}/to_timestamp": 0.7}, Reason.FRAME_COUNT_MISMATCH, "12 rows for 0.3 s"),
    ({f"{VIDEO}/to_timestamp": np.nan}, Reason.FRAME_COUNT_MISMATCH, "12 rows for nan s"),
    (
        {f"{VIDEO}/from_timestamp": 5.0, f"{VIDEO}/to_timestamp": 5.4},
        Reason.FRAME_COUNT_MISMATCH,
        "12 rows for 0 video frames",
    ),
]


@pytest.mark.parametrize("change, reason, message", LISTED, ids=[row[2] for row in LISTED])
def test_an_episode_that_is_listed_wrongly_is_a_failure_with_a_name(
    tmp_path: Path, change: dict[str, Any], reason: Reason, message: str
) -> None:
    write_lerobot(tmp_path, "v3.0")  # as sets often are after others were merged into them
    listed = next((tmp_path / "meta/episodes").rglob("*.parquet"))
    rows = pq.read_table(listed).to_pylist()
    rows[1] |= change
    write_table(listed, [pa.Table.from_pylist(rows)])
    with pytest.raises(EpisodeError, match=message) as caught:
        load(tmp_path, f"1/{CAMERAS[0]}")
    assert caught.value.reason == reason
    assert len(load(tmp_path, f"2/{CAMERAS[0]}")["frames"]) == FRAMES


VIDEOS = [
    ("missing", lambda path: path.unlink(), Reason.MISSING_MP4),
    ("cut", lambda path: path.write_bytes(path.read_bytes()[:-200]), Reason.TRUNCATED_VIDEO),
    ("no video", lambda path: path.write_bytes(b"no video, only text"), Reason.UNREADABLE_VIDEO),
    ("empty", lambda path: path.write_bytes(b""), Reason.UNREADABLE_VIDEO),
    ("short", lambda path: path.write_bytes(drawn("libx264", list(range(9)), 9, 0)), Reason.FRAME_COUNT_MISMATCH),
]


@VERSIONS
@pytest.mark.parametrize("change, reason", [row[1:] for row in VIDEOS], ids=[row[0] for row in VIDEOS])
def test_a_broken_video_is_a_failure_with_a_name(
    tmp_path: Path, version: str, change: Callable[[Path], object], reason: Reason
) -> None:
    write_lerobot(tmp_path, version, episodes=2)
    change(sorted(tmp_path.glob(f"videos/**/{CAMERAS[0]}/**/*.mp4"))[-1])
    with pytest.raises(EpisodeError) as caught:
        load(tmp_path, f"1/{CAMERAS[0]}")
    assert caught.value.reason == reason and CAMERAS[0] in str(caught.value) and "\n" not in str(caught.value)
    assert numbers_shown(load(tmp_path, f"1/{CAMERAS[1]}"))[0] == STEP


def test_a_video_with_too_many_frames_is_no_file_of_that_episode(tmp_path: Path) -> None:
    write_lerobot(tmp_path)
    video = tmp_path / "videos/chunk-000" / CAMERAS[0] / "episode_000001.mp4"
    video.write_bytes(drawn("libx264", list(range(13)), 13, 0))
    with pytest.raises(EpisodeError, match="12 rows for 13 video frames"):
        load(tmp_path, f"1/{CAMERAS[0]}")


def test_a_frame_at_another_time_is_not_taken_for_the_one_that_is_meant(tmp_path: Path) -> None:
    write_lerobot(tmp_path)
    times = [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]  # none in the sixth's place
    content = video_streams.encode("libx264", FRAMES, times=times, container_options={"movflags": "+faststart"})
    (tmp_path / "videos/chunk-000" / CAMERAS[0] / "episode_000001.mp4").write_bytes(content)
    with pytest.raises(EpisodeError, match=r"no frame at 0\.1667 s, where frame 5 should be"):
        numbers_shown(load(tmp_path, f"1/{CAMERAS[0]}"))


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("meta/info.json", "{", "info.json cannot be read"),
        ("meta/info.json", '{"codebase_version": "v1.6", "features": {}}', "none of v3.0, v2.1, v2.0"),
        ("meta/episodes.jsonl", "", "lists no episode"),
        ("meta/episodes.jsonl", "7", "cannot be read"),
        ("meta/episodes.jsonl", '{"episode_index": 0, "length": 12}\n' * 2, "twice"),
    ],
)
def test_metadata_without_sense_is_refused(tmp_path: Path, file: str, content: str, message: str) -> None:
    write_lerobot(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(UsageError, match=message):
        loader_of(tmp_path).list_episodes()


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("data_path", "../data/{episode_index}.parquet", "not below the dataset's folder"),
        ("video_path", "/videos/{video_key}/{episode_index}.mp4", "not below the dataset's folder"),
        ("data_path", "data/{episode_index:999999999999d}.parquet", "no pattern of paths"),
        ("data_path", "data/{episode_index.__class__}.parquet", "no pattern of paths"),
        ("features", {"observation.state": {"dtype": "float32", "shape": [10**12]}}, "has 1000000000000 numbers"),
    ],
)
def test_metadata_that_would_lead_astray_is_refused(tmp_path: Path, key: str, value: Any, message: str) -> None:
    write_lerobot(tmp_path)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    info[key] = info[key] | value if isinstance(value, dict) else value
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(UsageError, match=message):
        loader_of(tmp_path).list_episodes()


# The whole product on it -----------------------------------------------------------------------------------


@VERSIONS
def test_it_becomes_clips_for_reward_models(sentence_model: None, tmp_path: Path, version: str) -> None:
    write_lerobot(tmp_path / "arm", version)
    ended = fork_convert(tmp_path / "arm", tmp_path / "out", *LEROBOT, "--dataset.cameras=first", name="arm")
    assert ended.exit_code == 0, ended.stderr
    rows = pq.read_table(tmp_path / "out/arm/train-00000-of-00001.parquet").to_pylist()
    assert [row["source"] for row in rows] and {row["task"] for row in rows} == set(TASKS)
    assert all(row["is_robot"] and np.shape(row["actions"]) == (FRAMES, 3) for row in rows)
    card = (tmp_path / "out/README.md").read_text()
    assert "EgoDex" not in card and "license: unknown" in card


@pytest.mark.parametrize("version, video", [("v3.0", "encode"), ("v2.1", "encode"), ("v3.0", "copy")])
def test_our_own_output_read_back_has_what_was_written(
    mini: MiniEgoDex, sentence_model: None, tmp_path: Path, version: str, video: str
) -> None:
    options = ["--output.format=lerobot", f"--lerobot.version={version}", f"--lerobot.video={video}"]
    options += ["--output.frame_size=128"] if video == "encode" else []
    convert(mini.path, tmp_path / "lerobot", "--output.max_trajectories=-1", *options)
    directly = fork_convert(mini.path, tmp_path / "rfm")
    root = tmp_path / "lerobot/egodex_test"
    ended = fork_convert(root, tmp_path / "again", *LEROBOT)
    assert (directly.exit_code, ended.exit_code) == (0, 0), ended.stderr
    loader = loader_of(root)
    for episode in loader.list_episodes():
        trajectory = loader.load(episode)
        frames = np.asarray(trajectory["frames"])
        assert [read_frame_number(frame) for frame in frames] == list(range(len(frames)))

    def rows(folder: str) -> list[str]:
        table = pq.read_table(tmp_path / folder / "egodex_test/train-00000-of-00001.parquet").to_pylist()
        names = ("task", "is_robot", "quality_label", "frame_indices", "source_num_frames", "actions")
        return sorted(str([row[name] for name in names]) for row in table)

    def clips(folder: str) -> list[bytes]:
        return sorted(path.read_bytes() for path in (tmp_path / folder / "egodex_test").rglob("*.mp4"))

    assert len(rows("rfm")) > 5
    assert rows("again") == rows("rfm")
    if video == "copy":
        assert clips("again") == clips("rfm")
