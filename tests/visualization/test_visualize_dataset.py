"""What `visualize_dataset` draws: skeletons on the hands, sheets, plots, videos, recordings, the report's numbers."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("matplotlib", reason="needs the extra viz")
pytest.importorskip("rerun", reason="needs the extra rerun")

from archives import pack
from conversions import convert
from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex
from PIL import Image
from range_server import serving
from rerun.chunk import RrdReader

from dataset_upload.formats.finished_dataset import FinishedDataset, open_dataset
from dataset_upload.formats.rfm.finished_dataset import RfmTrajectory
from dataset_upload.ledger import Entry
from dataset_upload.mini_egodex.part import (
    FINGERTIP_RGB,
    EpisodeRecord,
    make_mini_egodex,
    read_frame_number,
    write_episode,
)
from dataset_upload.quality.clip import measure, speeds
from dataset_upload.stored_trajectory import Array
from dataset_upload.video.projection import hand_pixels, project, true_aspect
from dataset_upload.visualization import report as report_module
from dataset_upload.visualization.overlay import draw_hands, overlays
from dataset_upload.visualization.report import build_report, write_page
from dataset_upload.visualization.report_columns import Columns
from dataset_upload.visualization.report_overview import histogram
from dataset_upload.visualization.skeleton import FINGERS, FINGERTIPS, LEFT_RGB, RIGHT_RGB
from dataset_upload.visualize_dataset import main


@pytest.fixture(scope="module")
def dataset(converted: Dataset) -> FinishedDataset:
    return open_dataset(str(converted.output_dir))


@pytest.fixture(scope="module")
def trajectory(dataset: FinishedDataset) -> RfmTrajectory:
    (first,) = dataset.trajectories([0])
    assert isinstance(first, RfmTrajectory)
    return first


# The skeleton on the hands


@pytest.mark.parametrize("resize", ["stretch", "center_crop", "pad"])
def test_fingertips_of_the_skeleton_lie_on_fingertips_of_the_picture(resize: str, tmp_path: Path) -> None:
    """Mini episodes paint each fingertip, where it is, in a colour of its own."""
    make_mini_egodex(tmp_path / "test", episodes=2, size=(960, 540), frames=12, frame_number=False)
    convert(tmp_path / "test", tmp_path / "out", f"--output.resize={resize}", "--output.crf=1")
    for trajectory in open_dataset(str(tmp_path / "out")).trajectories():
        pixels = hand_pixels(trajectory)
        frames = np.stack(list(trajectory.frames()))
        assert share_of_right_colours(frames, pixels) > 0.9
        assert share_of_right_colours(frames, pixels + 8) < 0.5  # so the test can tell


def share_of_right_colours(frames: np.ndarray[Any, np.dtype[np.uint8]], pixels: Array) -> float:
    """How many fingertips that are in the picture have, of all fingers' colours, most of their own."""
    colours = np.array(list(FINGERTIP_RGB.values()), np.float64)
    right = []
    for hand in pixels:
        for frame, joints in zip(frames, hand, strict=True):
            for finger, (u, v) in enumerate(joints[list(FINGERTIPS)]):
                if 1 <= u < frame.shape[1] - 1 and 1 <= v < frame.shape[0] - 1:
                    distances = np.linalg.norm(colours - frame[int(v), int(u)], axis=1)
                    right.append(distances.argmin() == finger and distances.min() < 110)
    return float(np.mean(right))


def test_hands_are_drawn_at_their_pixels_in_their_colours(trajectory: RfmTrajectory) -> None:
    black = np.zeros((256, 256, 3), np.uint8)
    joints = hand_pixels(trajectory)[:, 0]
    picture = np.asarray(draw_hands(black, joints, trajectory.intrinsics, 512))
    assert picture.shape == (512, 910, 3)  # 16:9, as it was before the converter made it square
    for points, rgb in zip(joints * [910 / 256, 2], (LEFT_RGB, RIGHT_RGB), strict=True):
        for u, v in points[list(FINGERTIPS)]:
            nearby = picture[int(v) - 3 : int(v) + 4, int(u) - 3 : int(u) + 4].reshape(-1, 3).astype(int)
            assert np.abs(nearby - rgb).sum(axis=1).min() < 60


def test_joints_behind_the_camera_are_left_out() -> None:
    points = np.array([[[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]]])
    intrinsics = np.array([[100.0, 0, 128], [0, 100, 128], [0, 0, 1]])
    pixels = project(points, np.eye(4)[None], intrinsics)
    assert pixels[0, 0].tolist() == [128, 128]
    assert np.isnan(pixels[0, 1]).all()
    hand = np.full((2, 25, 2), np.nan)
    assert not np.asarray(draw_hands(np.zeros((256, 256, 3), np.uint8), hand, intrinsics, 128)).any()


def test_each_finger_starts_at_the_wrist_and_all_joints_are_drawn() -> None:
    assert {joint for finger in FINGERS for joint in finger} == set(range(25))
    assert {finger[0] for finger in FINGERS} == {0}


def test_the_true_aspect_is_that_of_the_source(trajectory: RfmTrajectory) -> None:
    assert true_aspect(256, 256, trajectory.intrinsics) == pytest.approx(16 / 9, rel=1e-3)


def test_frames_asked_for_are_drawn_and_no_others(trajectory: RfmTrajectory) -> None:
    """Mini episodes show each frame's number in the source."""
    drawn = [read_frame_number(np.asarray(picture)) for picture in overlays(trajectory, 256, only={0, 5, 19})]
    assert drawn == [trajectory.row["frame_indices"][number] for number in (0, 5, 19)]


# Sheets, plots, videos


@pytest.fixture(scope="module")
def drawn(converted: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drawn")
    assert main([str(converted.output_dir), "--max_samples", "2", "--out", str(out)]) == 0
    return out


def test_each_sample_has_a_sheet_a_plot_and_a_video(drawn: Path) -> None:
    names = sorted(path.name for path in drawn.iterdir())
    assert len(names) == 6
    assert {re.sub(r".*_\d+_", "", name) for name in names} == {"sheet.png", "plot.png", "overlay.mp4"}


def test_a_sheet_shows_twelve_frames_with_skeletons(drawn: Path) -> None:
    sheet = np.asarray(Image.open(next(drawn.glob("*_sheet.png"))))
    assert sheet.shape[1] == 8 + 4 * (480 + 8)
    cells = [
        sheet[-(3 - row) * 278 : -(3 - row) * 278 + 270, 8 + column * 488 : 488 + column * 488]
        for row in range(3)
        for column in range(4)
    ]
    for cell in cells:
        assert (np.abs(cell.astype(int) - LEFT_RGB).sum(axis=2) < 30).sum() > 50
        assert (np.abs(cell.astype(int) - RIGHT_RGB).sum(axis=2) < 30).sum() > 50
    assert not np.array_equal(cells[0], cells[-1])


def test_a_video_plays_in_browsers_and_takes_as_long_as_what_it_shows(drawn: Path, trajectory: RfmTrajectory) -> None:
    video = drawn / f"{trajectory.source.replace('/', '_')}_overlay.mp4"
    content = video.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height) == (640, 360)
        assert len(list(container.decode(video=0))) == len(trajectory.times)
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(trajectory.times[-1], abs=0.25)


def test_drawing_twice_gives_the_same_bytes(converted: Dataset, drawn: Path, tmp_path: Path) -> None:
    source = next(drawn.glob("*_plot.png")).name.removesuffix("_plot.png")
    task, number = source.rsplit("_", 1)
    assert main([str(converted.output_dir), "--source", f"{task}/{number}", "--out", str(tmp_path)]) == 0
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (drawn / path.name).read_bytes()


def test_an_episode_without_confidences_is_drawn(mini: MiniEgoDex, converted: Dataset, tmp_path: Path) -> None:
    source = mini.with_irregularity("missing_confidences").key
    assert main([str(converted.output_dir), "--source", source, "--out", str(tmp_path)]) == 0
    assert len(list(tmp_path.iterdir())) == 3


def test_a_clip_of_one_frame_and_clips_of_jpegs_are_drawn(mini: MiniEgoDex, tmp_path: Path) -> None:
    options = ["--output.max_frames=1", "--output.use_video=false", "--output.max_trajectories=2"]
    convert(mini.path, tmp_path / "out", *options)
    assert main([str(tmp_path / "out"), "--max_samples", "1", "--out", str(tmp_path / "drawn")]) == 0
    assert main([str(tmp_path / "out"), "--report", "--out", str(tmp_path / "drawn")]) == 0
    clips = files_of(tmp_path / "drawn" / "report", "clips")
    assert [clip["frames"] for clip in clips] == [1, 1]
    for clip in clips:
        with av.open(io.BytesIO(base64.b64decode(clip["video"])), "r") as container:
            assert len(list(container.decode(video=0))) == 1


# Measures


def moved(trajectory: RfmTrajectory, **columns: Any) -> RfmTrajectory:
    return RfmTrajectory(trajectory.number, {**trajectory.row, **columns}, trajectory.root)


def test_an_ordinary_trajectory_has_no_remarks(trajectory: RfmTrajectory) -> None:
    times = np.linspace(0, 10, len(trajectory.times)).tolist()
    assert measure(moved(trajectory, timestamps=times), (256, 256)).remarks == ()


def test_a_hand_that_jumps_is_remarked_on(trajectory: RfmTrajectory) -> None:
    hand = trajectory.hands[1].copy()
    hand[5:] += [0.0, 0.0, -0.9]
    slow = np.linspace(0, 5, len(hand)).tolist()
    found = measure(moved(trajectory, right_hand=hand.tolist(), timestamps=slow), (256, 256))
    assert "right hand jumps" in found.remarks
    assert "left hand jumps" not in found.remarks


def test_a_hand_that_stays_is_remarked_on(trajectory: RfmTrajectory) -> None:
    hand = np.broadcast_to(trajectory.hands[0, 0], trajectory.hands[0].shape)
    found = measure(moved(trajectory, left_hand=hand.tolist()), (256, 256))
    assert "left hand still" in found.remarks
    assert (found.paths[0], found.top_speeds[0], found.radii[0]) == pytest.approx((0, 0, 0))


def test_a_hand_outside_the_picture_is_remarked_on(trajectory: RfmTrajectory) -> None:
    behind = trajectory.hands[0] - 3 * trajectory.camera_to_world[:, None, :3, 2]
    found = measure(moved(trajectory, left_hand=behind.tolist()), (256, 256))
    assert "left hand out of frame" in found.remarks
    assert found.in_frame[0] == 0


def test_speeds_are_metres_a_second_of_real_time(trajectory: RfmTrajectory) -> None:
    hand = np.zeros_like(trajectory.hands[0])
    hand[:, :, 0] = trajectory.times[:, None] * 0.5
    assert speeds(moved(trajectory, left_hand=hand.tolist()))[0] == pytest.approx(0.5)


# The report


def data_of(page: Path) -> dict[str, Any]:
    """What the page shows at first."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def files_of(folder: Path, kind: str) -> list[Any]:
    """What a report's files of one kind hold, one after the other."""
    scripts = [path.read_text() for path in sorted((folder / "data").glob(f"{kind}_*.js"))]
    contents = [json.loads(text.removeprefix("receive(").removesuffix(");\n")) for text in scripts]
    return [item for content in contents for item in (content if isinstance(content, list) else [content])]


def sources_of(folder: Path) -> list[str]:
    """The sources that the page's columns tell."""
    prefixes: list[str] = []
    sources = []
    for content in files_of(folder, "columns"):
        prefixes += content["texts"]["prefix"]
        numbers = (np.frombuffer(base64.b64decode(content[name]), "<u4").tolist() for name in ("prefix", "suffix"))
        sources += [prefixes[prefix] + str(suffix) for prefix, suffix in zip(*numbers, strict=True)]
    return sources


@pytest.fixture(scope="module")
def report(dataset: FinishedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report's folder. Not to be changed."""
    return build_report(dataset, tmp_path_factory.mktemp("report")).page.parent


def test_the_report_has_every_trajectory_with_its_task(report: Path, converted: Dataset) -> None:
    (columns,) = files_of(report, "columns")
    tasks = np.frombuffer(base64.b64decode(columns["task"]), "<u4")
    told = list(zip(sources_of(report), (columns["texts"]["task"][task] for task in tasks), strict=True))
    assert told == [(row["source"], row["task"]) for row in converted.rows]


def test_the_report_holds_each_clip_as_it_is(report: Path, converted: Dataset) -> None:
    clips = [base64.b64decode(clip["video"]) for clip in files_of(report, "clips")]
    assert clips == [(converted.output_dir / row["frames"]).read_bytes() for row in converted.rows]


def test_the_report_has_a_picture_of_each_trajectory(report: Path, converted: Dataset) -> None:
    pictures = files_of(report, "pictures")
    assert len(pictures) == len(converted.rows)
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert (image.format, image.size) == ("JPEG", (256, 144))


def test_the_report_has_every_episode_that_was_not_converted(report: Path, mini: MiniEgoDex) -> None:
    told = {key: reason for key, _, reason, _ in files_of(report, "unconverted")}
    expected = {"missing_mp4": "missing mp4", "missing_hdf5": "missing hdf5", "no_description": "no description"}
    for irregularity, reason in expected.items():
        assert told[mini.with_irregularity(irregularity).key] == reason


def test_the_report_needs_nothing_from_elsewhere(report: Path) -> None:
    page = (report / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "http" not in re.sub(r"http://www.w3.org/2000/svg", "", page)


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_draw_the_same_bytes(num_workers: int, dataset: FinishedDataset, report: Path, tmp_path: Path) -> None:
    build_report(dataset, tmp_path, num_workers=num_workers)
    assert bytes_of(tmp_path) == bytes_of(report)


def test_files_of_an_earlier_report_go(dataset: FinishedDataset, report: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(report, tmp_path / "report")
    for name in ("data/clips_00007.js", "data/columns_00001.js", "media/batch_0000/trajectory_0000.jpg"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("old")
    build_report(dataset, copy)
    assert bytes_of(copy) == bytes_of(report)


def test_an_interrupted_report_has_no_page(
    dataset: FinishedDataset, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    copy = shutil.copytree(report, tmp_path / "report")
    monkeypatch.setattr(Columns, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_report(dataset, copy)
    assert not (copy / "index.html").exists()


def test_large_clips_have_files_of_their_own(dataset: FinishedDataset) -> None:
    def per_file(clip_bytes: int) -> int:
        return report_module.clips_per_file({"bytes": {"clips": 100 * clip_bytes}, "counts": {"done": 100}})

    assert [per_file(size) for size in (0, 37_000, 61_000, 400_000, 10**7)] == [50, 50, 25, 5, 1]
    assert report_module.clips_per_file({"bytes": {"clips": 0}, "counts": {"done": 0}}) == 50


def test_a_full_disk_stops_the_report(
    dataset: FinishedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert main([str(dataset.root), "--report", "--out", str(tmp_path)]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Stopped: Cannot write {tmp_path / 'report' / 'data'}/pictures_00000.js: No space left")


# Histograms


def test_a_histogram_counts_every_known_value_once() -> None:
    told = histogram(np.array([0.0, 1, 2, 3, 4, np.nan]))
    assert (told["unknown"], told["low"], told["high"], told["median"], told["end"]) == (1, 0, 4, 2, 4)
    assert told["counts"] == [1, 1, 1, 1, 1]


def test_far_off_values_do_not_squeeze_a_histogram() -> None:
    told = histogram(np.array([*range(99), 1000.0]))
    assert (told["high"], told["end"]) == (1000, 98)
    assert sum(told["counts"]) == 100


@pytest.mark.parametrize("values", [[], [np.nan], [3.0, 3.0]])
def test_a_histogram_of_nothing_or_one_value_has_no_bars(values: list[float]) -> None:
    assert "counts" not in histogram(np.array(values))


# Rerun


def recorded(path: Path) -> tuple[dict[str, list[Any]], Callable[[str, str], Array]]:
    """What a recording holds, by "entity component"; and how to get (T, 1 + values) of one in the order of time."""
    columns: dict[str, list[Any]] = {}
    for chunk in RrdReader(path).stream().to_chunks():
        batch = chunk.to_record_batch()
        for name in batch.schema.names:
            columns.setdefault(f"{chunk.entity_path} {name}", []).extend(batch.column(name).to_pylist())

    def in_order(entity: str, component: str) -> Array:
        times = [time.total_seconds() for time in columns[f"{entity} time"]]
        values = np.array(columns[f"{entity} {component}"])
        return np.concatenate([np.sort(times)[:, None], values[np.argsort(times)].reshape(len(times), -1)], axis=1)

    return columns, in_order


def test_a_recording_holds_the_trajectory(converted: Dataset, trajectory: RfmTrajectory, tmp_path: Path) -> None:
    path = tmp_path / "one.rrd"
    assert main([str(converted.output_dir), "--source", trajectory.source, "--rerun", str(path)]) == 0
    columns, in_order = recorded(path)
    left = in_order("/world/left_hand", "Points3D:positions")
    assert left[:, 0] == pytest.approx(trajectory.times)
    assert left[:, 1:] == pytest.approx(trajectory.hands[0].reshape(len(left), -1), abs=1e-6)
    camera = in_order("/world/camera", "Transform3D:translation")
    assert camera[:, 1:] == pytest.approx(trajectory.camera_to_world[:, :3, 3], abs=1e-6)
    confidence = in_order("/confidence/right", "Scalars:scalars")
    assert confidence[:, 1] == pytest.approx(trajectory.confidences[1])
    (pinhole,) = columns["/world/camera/image Pinhole:image_from_camera"]
    assert np.transpose(np.reshape(pinhole, (3, 3))) == pytest.approx(trajectory.intrinsics)
    assert len(columns["/world/camera/image EncodedImage:blob"]) == len(trajectory.times)
    ((task,),) = columns["/task TextDocument:text"]
    assert trajectory.task in task


@pytest.fixture(scope="module")
def from_source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EpisodeRecord]:
    """A part with one drawn episode, of more frames than a clip has."""
    source = tmp_path_factory.mktemp("source") / "test"
    return source, write_episode(source, "open_close_box", 3, frames=41, size=(320, 180), seed=5)


@pytest.mark.parametrize("kind", ["folder", "zip", "url"])
def test_a_recording_of_the_source_holds_every_frame(
    kind: str, from_source: tuple[Path, EpisodeRecord], tmp_path: Path
) -> None:
    source, record = from_source
    pack(source, tmp_path / "test.zip")
    path = tmp_path / "new" / "one.rrd"
    with serving(tmp_path) as server:
        place = {"folder": str(source), "zip": str(tmp_path / "test.zip"), "url": f"{server.url}/test.zip"}[kind]
        assert main([place, "--episode", record.key, "--rerun", str(path)]) == 0
    assert [each.name for each in path.parent.iterdir()] == ["one.rrd"]
    columns, in_order = recorded(path)

    with h5py.File(source / f"{record.key}.hdf5") as file:  # read without any code of ours
        poses = {name: pose[:] for name, pose in file["transforms"].items()}
        confidence = file["confidences/leftHand"][:]
        intrinsics = file["camera/intrinsic"][:]
        session = file.attrs["session_name"]
    for side in ("left", "right"):
        joints = in_order(f"/world/{side}_hand", "Points3D:positions")
        assert joints[:, 0] == pytest.approx(np.arange(41) / 30)
        joints = joints[:, 1:].reshape(41, 25, 3)
        assert joints[:, 0] == pytest.approx(poses[f"{side}Hand"][:, :3, 3], abs=1e-6)
        assert joints[:, 9] == pytest.approx(poses[f"{side}IndexFingerTip"][:, :3, 3], abs=1e-6)
        assert f"/world/{side}_hand/bones LineStrips3D:strips" in columns
    camera = in_order("/world/camera", "Transform3D:translation")[:, 1:]
    assert camera == pytest.approx(poses["camera"][:, :3, 3], abs=1e-6)
    ((head_path,),) = columns["/world/head_path LineStrips3D:strips"]
    assert np.array(head_path) == pytest.approx(camera)
    (pinhole,) = columns["/world/camera/image Pinhole:image_from_camera"]
    assert np.transpose(np.reshape(pinhole, (3, 3))) == pytest.approx(intrinsics)
    assert in_order("/confidence/left", "Scalars:scalars")[:, 1] == pytest.approx(confidence)

    pictures = dict(
        zip(columns["/world/camera/image time"], columns["/world/camera/image EncodedImage:blob"], strict=True)
    )
    shown = [np.asarray(Image.open(io.BytesIO(bytes(pictures[time][0])))) for time in sorted(pictures)]
    assert shown[0].shape == (180, 320, 3)
    assert [read_frame_number(picture) for picture in shown] == list(range(41))
    ((text,),) = columns["/task TextDocument:text"]
    assert record.description in text and f"- `session_name`: {session}" in text and "llm_verbs" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--episode", "open_close_box/3"], "--episode: give --rerun=OUT.rrd with it"),
        (["--episode", "open_close_box/3", "--report"], "--episode: give --rerun=OUT.rrd with it"),
        (
            ["--episode", "fold/7", "--rerun", "OUT"],
            "--episode: fold/7 is not in SOURCE; episodes look like open_close_box/3",
        ),
        (
            ["--episode", "open_close_box/3", "--rerun", "SOURCE/open_close_box/3.mp4"],
            "--rerun: SOURCE/open_close_box/3.mp4 lies in the source, where nothing is written; name a file elsewhere",
        ),
        (
            ["--episode", "open_close_box/3", "--rerun", "SOURCE"],
            "--rerun: SOURCE is not a file; name one that may be written",
        ),
        (["--episode", "open_close_box/3", "--source", "open_close_box/3"], "--source: give it or --episode, not both"),
    ],
)
def test_a_source_that_cannot_be_drawn_is_wrong_usage(
    options: list[str],
    says: str,
    from_source: tuple[Path, EpisodeRecord],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = str(from_source[0])
    given = [option.replace("SOURCE", source).replace("OUT", str(tmp_path / "x.rrd")) for option in options]
    assert main([source, *given]) == 2
    assert capsys.readouterr().err == f"Error: {says.replace('SOURCE', source)}\n"
    assert not list(tmp_path.iterdir())


def test_a_source_that_is_missing_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none"), "--episode", "a/0", "--rerun", str(tmp_path / "x.rrd")]) == 2
    line = capsys.readouterr().err
    assert line.startswith(f"Error: FOLDER: {tmp_path / 'none'} ") and line.count("\n") == 1


@pytest.mark.parametrize("damage", ["cut", "missing", "no folder"])
def test_an_episode_that_cannot_be_read_leaves_no_recording(
    damage: str, from_source: tuple[Path, EpisodeRecord], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, key = shutil.copytree(from_source[0], tmp_path / "test"), from_source[1].key
    video, out = source / f"{key}.mp4", tmp_path / "out"
    out.mkdir()
    if damage == "cut":
        content = bytearray(video.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 3000] = bytes(3000)
        video.write_bytes(content)
    elif damage == "missing":
        video.unlink()
    elif damage == "no folder":
        (tmp_path / "file").touch()
    path = (tmp_path / "file" if damage == "no folder" else out) / "one.rrd"
    assert main([str(source), "--episode", key, "--rerun", str(path)]) == 1
    line = capsys.readouterr().err
    assert line.startswith(f"Error: {key} cannot be drawn (") and line.count("\n") == 1
    assert not list(out.iterdir())


# The command


def test_a_source_that_is_not_there_is_wrong_usage(converted: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(converted.output_dir), "--source", "fold/7"]) == 2
    assert capsys.readouterr().err.startswith("Error: --source: fold/7 has no row in ")


@pytest.mark.parametrize("file", ["conversion.json", "train-00000-of-00001.parquet"])
@pytest.mark.parametrize("damage", ["missing", "garbage"])
def test_a_damaged_dataset_is_one_line(
    file: str, damage: str, converted: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(converted.output_dir, tmp_path / "copy")
    path = copy / "egodex_test" / file
    path.unlink() if damage == "missing" else path.write_bytes(b"garbage")
    assert main([str(copy), "--report", "--out", str(tmp_path / "drawn")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Error: {copy / 'egodex_test'} cannot be drawn (")


def test_odd_trajectories_are_named_and_all_others_drawn(
    converted: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(converted.output_dir, tmp_path / "copy") / "egodex_test"
    table = copy / "train-00000-of-00001.parquet"
    rows = pq.read_table(table).to_pylist()
    rows[0]["intrinsics"] = [[0.0] * 3] * 3
    (copy.parent / rows[1]["frames"]).unlink()
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(table)), table)

    assert main([str(copy), "--report", "--out", str(tmp_path / "drawn")]) == 1
    warnings = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Warning: ")]
    odd = [row["source"] for row in rows[:2]]
    assert [line.split(" cannot be drawn (")[0] for line in warnings] == [f"Warning: {source}" for source in odd]
    folder = tmp_path / "drawn" / "report"
    assert data_of(folder / "index.html")["rows"] == len(rows) - 2
    assert sources_of(folder) == [row["source"] for row in rows[2:]]
    assert [clip is None for clip in files_of(folder, "clips")] == [True, True, *[False] * (len(rows) - 2)]
    assert [key for key, status, *_ in files_of(folder, "unconverted") if status == "not drawn"] == odd


def test_a_name_that_is_no_text_does_not_end_the_report(converted: Dataset, tmp_path: Path) -> None:
    dataset = open_dataset(str(converted.output_dir), "egodex_test")
    lost = Entry("fold/\udcff", "failed", 99, 0, (), "unreadable source", "fold/\udcff: Its name is not UTF-8")
    dataset.__dict__["ledger"] = {lost.key: lost}
    (tmp_path / "data").mkdir()
    write_page(dataset, tmp_path, Columns(tmp_path / "data"))
    assert files_of(tmp_path, "unconverted")[0][0] == r"fold/\udcff"


@pytest.mark.parametrize(
    ("module", "options", "extra"),
    [
        ("PIL", [], "viz"),
        ("PIL", ["--report"], "viz"),
        ("matplotlib", [], "viz"),
        ("rerun", ["--rerun", "x.rrd"], "rerun"),
    ],
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    module: str,
    options: list[str],
    extra: str,
    converted: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == module or name.startswith("dataset_upload.visualization."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    assert main([str(converted.output_dir), "--out", str(tmp_path), *options]) == 2
    assert capsys.readouterr().err == (
        f"Error: {module} is not installed; start with uv run --extra {extra}, "
        f"or pip install '.[{extra}]' in the checkout, or 'FILE.whl[{extra}]'\n"
    )
