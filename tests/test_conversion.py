"""The command, from a folder of episodes to a finished dataset: what the guide and the promises say, end to end."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import commands
import h5py
import numpy as np
import pytest
from commands import Run
from conversions import MODULE, arguments, convert
from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex
from numpy.typing import NDArray
from project import PROJECT

from dataset_upload.actions.arkit import HAND_JOINTS
from dataset_upload.mini_egodex.part import (
    FINGERTIP_RGB,
    project,
    read_frame_number,
    write_episode,
)
from egodex_loader import get_egodex_iterator

pytestmark = pytest.mark.slow

CONFIGS = PROJECT / "dataset_upload" / "configs" / "data_gen_configs"
SKIPPED = ("missing_mp4", "missing_hdf5", "description_unavailable", "no_description")  # of the mini EgoDex

Image = NDArray[np.uint8]


# The right frames ------------------------------------------------------------------------------------------


class Resized(NamedTuple):
    """The mini EgoDex, converted with another way to resize its 320x180 frames."""

    dataset: Dataset
    size: tuple[int, int]
    source_to_clip: NDArray[np.float64]  # (3, 3): what it does to pixel coordinates


RESIZES: dict[str, tuple[list[str], tuple[int, int], list[list[float]]]] = {
    "stretch": ([], (256, 256), [[256 / 320, 0, 0], [0, 256 / 180, 0], [0, 0, 1]]),
    "center_crop": (
        ["--output.center_crop=true"],
        (256, 256),
        [[256 / 180, 0, -70 * 256 / 180], [0, 256 / 180, 0], [0, 0, 1]],
    ),
    "pad": (["--output.resize=pad"], (256, 256), [[256 / 320, 0, 0], [0, 144 / 180, 56], [0, 0, 1]]),
    "keep the aspect ratio": (
        ["--output.shortest_edge_size=162"],
        (288, 162),
        [[288 / 320, 0, 0], [0, 162 / 180, 0], [0, 0, 1]],
    ),
    "jpeg": (
        ["--output.use_video=false", "--output.frame_size=320"],
        (320, 320),
        [[1, 0, 0], [0, 320 / 180, 0], [0, 0, 1]],
    ),
}


@pytest.fixture(scope="session", params=RESIZES)
def resized(request: pytest.FixtureRequest, mini: MiniEgoDex, tmp_path_factory: pytest.TempPathFactory) -> Resized:
    options, size, source_to_clip = RESIZES[request.param]
    if request.param == "stretch":
        dataset: Dataset = request.getfixturevalue("converted")
    else:
        output_dir = tmp_path_factory.mktemp("resized")
        convert(mini.path, output_dir, "--output.max_trajectories=8", *options)
        dataset = Dataset(output_dir)
    return Resized(dataset, size, np.array(source_to_clip))


def test_each_clip_frame_is_the_frame_of_its_index(resized: Resized) -> None:
    for row in resized.dataset.rows:
        numbers = [read_frame_number(frame) for frame in resized.dataset.clip(row)]
        assert numbers == row["frame_indices"]


def test_clip_frames_have_the_size_that_was_asked_for(resized: Resized) -> None:
    width, height = resized.size
    for row in resized.dataset.rows:
        assert {frame.shape for frame in resized.dataset.clip(row)} == {(height, width, 3)}


def test_frame_indices_are_evenly_spaced_from_the_first_frame_to_the_last(converted: Dataset) -> None:
    lengths = {row["source_num_frames"] for row in converted.rows}
    assert min(lengths) < 32 < max(lengths)
    for row in converted.rows:
        last = row["source_num_frames"] - 1
        assert row["frame_indices"] == np.unique(np.linspace(0, last, 32, dtype=int)).tolist()


@pytest.mark.parametrize("max_frames", [-1, 1, 5, 1000])
def test_max_frames_limits_a_clip(mini: MiniEgoDex, tmp_path: Path, max_frames: int) -> None:
    convert(mini.path, tmp_path, "--output.max_trajectories=2", f"--output.max_frames={max_frames}")
    dataset = Dataset(tmp_path)
    assert len(dataset.rows) == 2
    for row in dataset.rows:
        count = row["source_num_frames"]
        everything = max_frames in (-1, 1000)
        expected = range(count) if everything else np.unique(np.linspace(0, count - 1, max_frames, dtype=int))
        assert row["frame_indices"] == list(expected)
        assert [read_frame_number(frame) for frame in dataset.clip(row)] == row["frame_indices"]


def test_timestamps_are_seconds_in_the_source(converted: Dataset) -> None:
    for row in converted.rows:
        assert row["source_fps"] == 30
        np.testing.assert_allclose(row["timestamps"], np.array(row["frame_indices"]) / 30, atol=1e-9)


def assert_decodes_exactly(dataset_path: Path) -> None:
    """Frames asked for one by one, and spread like a clip's, have the bits of a decode from start to end."""
    for trajectory in get_egodex_iterator(str(dataset_path)):
        frames = trajectory["frames"]
        step, last = max(1, len(frames) // 31), len(frames) - 1
        spread, singles = iter(frames[::step]), {index: frames[index] for index in (last, 13, 0)}
        with av.open(str(dataset_path / f"{trajectory['source']}.mp4")) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index % step == 0 or index in singles:
                    expected: Image = frame.to_ndarray(format="rgb24")  # type: ignore[assignment]
                    assert index not in singles or np.array_equal(singles[index], expected)
                    assert index % step != 0 or np.array_equal(next(spread), expected)
        assert next(spread, None) is None


def test_decoded_frames_are_bit_identical_to_a_sequential_decode(mini: MiniEgoDex) -> None:
    assert_decodes_exactly(mini.path)


def test_decoded_frames_of_real_episodes_are_bit_identical_to_a_sequential_decode(real_sample: Path) -> None:
    assert_decodes_exactly(real_sample)


def averages(source: int, target: int) -> NDArray[np.float32]:
    """(target, source): the weight of each source pixel in each target pixel that covers a part of it."""
    edges = np.arange(target + 1) * source / target
    pixels = np.arange(source)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights: NDArray[np.float32] = (np.clip(overlap, 0, None) * target / source).astype(np.float32)
    return weights


def worst_mean_error(dataset: Dataset, dataset_path: Path, every: int) -> float:
    """The largest mean absolute difference of a clip frame from its source frame, area-scaled by NumPy; 0 to 255."""
    sources = {trajectory["source"]: trajectory["frames"] for trajectory in get_egodex_iterator(str(dataset_path))}
    worst = 0.0
    for row in dataset.rows:
        clip = zip(row["frame_indices"], dataset.clip(row), strict=True)
        for index, clip_frame in list(clip)[::every]:
            source = sources[row["source"]][index]
            rows, columns = averages(source.shape[0], 256), averages(source.shape[1], 256)
            shrunk = rows @ np.moveaxis(source, 2, 0).astype(np.float32, order="C") @ columns.T
            worst = max(worst, float(np.abs(shrunk - np.moveaxis(clip_frame, 2, 0)).mean()))
    return worst


def test_encoding_costs_less_than_3_of_255(tmp_path: Path) -> None:
    write_episode(tmp_path / "test", "add_remove_lid", 0, frames=40, size=(960, 540))
    convert(tmp_path / "test", tmp_path)
    assert 0 < worst_mean_error(Dataset(tmp_path), tmp_path / "test", every=3) < 3


# The right poses -------------------------------------------------------------------------------------------


def test_intrinsics_are_those_of_the_resized_frame(resized: Resized) -> None:
    source = np.diag([320 / 1920, 180 / 1080, 1]) @ [[736.6339, 0, 960], [0, 736.6339, 540], [0, 0, 1]]
    for row in resized.dataset.rows:
        np.testing.assert_allclose(row["intrinsics"], resized.source_to_clip @ source, rtol=1e-6, atol=1e-4)


FINGERTIPS = [HAND_JOINTS.index(f"{finger}Tip") for finger in FINGERTIP_RGB]


def assert_fingertips_are_where_poses_say(
    dataset: Dataset, k_error: tuple[float, float] = (0, 0), inverted_camera: bool = False
) -> None:
    """The sidecar's fingertips, projected into the clip, hit pixels of the colours that the tips were drawn in."""
    tinge = np.array(list(FINGERTIP_RGB.values()) * 2, float)
    tinge -= tinge.mean(axis=1, keepdims=True)
    hits: list[bool] = []
    for row in dataset.rows:
        hands = dataset.hands[row["id"]]
        tips = np.array([hands["left_hand"], hands["right_hand"]])[:, :, FINGERTIPS].swapaxes(0, 1)
        camera_to_world = np.array(row["camera_to_world"])
        if inverted_camera:
            camera_to_world = np.linalg.inv(camera_to_world)
        intrinsics = np.array(row["intrinsics"])
        intrinsics[:2, 2] += k_error
        pixels = project(tips.reshape(len(tips), -1, 3), camera_to_world, intrinsics)
        for frame, points in zip(dataset.clip(row), pixels, strict=True):
            height, width, _ = frame.shape
            for (x, y), expected in zip(points, tinge, strict=True):
                seen = np.zeros(3)
                if 0 <= x < width and 0 <= y < height:
                    seen = frame[int(y), int(x)] - frame[int(y), int(x)].mean()
                strength = np.linalg.norm(seen)
                hits.append(bool(strength > 30 and seen @ expected > 0.95 * strength * np.linalg.norm(expected)))
    share = np.mean(hits)
    assert share > 0.7, f"only {share:.0%} of {len(hits)} fingertips are where they should be"


def test_projected_fingertips_hit_the_drawn_ones(resized: Resized) -> None:
    assert_fingertips_are_where_poses_say(resized.dataset)


@pytest.mark.parametrize("k_error", [(5, 0), (-5, 0), (0, 5), (0, -5)])
def test_that_check_notices_intrinsics_5_pixels_off(resized: Resized, k_error: tuple[float, float]) -> None:
    with pytest.raises(AssertionError, match="fingertips are where they should be"):
        assert_fingertips_are_where_poses_say(resized.dataset, k_error=k_error)


def test_that_check_notices_an_inverted_camera(resized: Resized) -> None:
    with pytest.raises(AssertionError, match="fingertips are where they should be"):
        assert_fingertips_are_where_poses_say(resized.dataset, inverted_camera=True)


def test_poses_are_those_of_the_clip_s_frames(mini: MiniEgoDex, resized: Resized) -> None:
    for row in resized.dataset.rows:
        hands, indices = resized.dataset.hands[row["id"]], row["frame_indices"]
        with h5py.File(mini.path / f"{row['source']}.hdf5") as file:
            poses = {name: pose[()][indices] for name, pose in file["transforms"].items()}
        names = ["leftHand", "rightHand", "leftIndexFingerTip", "rightIndexFingerTip", "camera"]
        positions = np.concatenate([poses[name][:, :3, 3] for name in names], axis=1)
        np.testing.assert_array_equal(np.array(row["actions"], np.float32), positions)
        np.testing.assert_array_equal(np.array(row["camera_to_world"], np.float32), poses["camera"])
        for side in ("left", "right"):
            hand = np.stack([poses[side + joint][:, :3, 3] for joint in HAND_JOINTS], axis=1)
            np.testing.assert_array_equal(np.array(hands[f"{side}_hand"], np.float32), hand)
            rotation = np.array(hands[f"{side}_wrist_rotation"], np.float32)
            np.testing.assert_array_equal(rotation, poses[f"{side}Hand"][:, :3, :3])


# The clips -------------------------------------------------------------------------------------------------


def assert_is_a_clip(path: Path, num_frames: int, fps: int = 30) -> None:
    """H.264, yuv420p, 256x256, playable at once from the start."""
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert isinstance(stream, av.VideoStream)
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.codec_context.width, stream.codec_context.height) == (256, 256)
        assert stream.average_rate == fps and stream.frames == num_frames
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(num_frames) / fps)
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_clips_are_h264_of_30_frames_a_second_with_the_index_in_front(converted: Dataset) -> None:
    for row in converted.rows:
        assert_is_a_clip(converted.output_dir / row["frames"], len(row["frame_indices"]))


def test_fps_and_crf_are_obeyed(mini: MiniEgoDex, converted: Dataset, tmp_path: Path) -> None:
    convert(mini.path, tmp_path, "--output.fps=5", "--output.crf=40", "--output.max_trajectories=1")
    (row,) = Dataset(tmp_path).rows
    assert_is_a_clip(tmp_path / row["frames"], len(row["frame_indices"]), fps=5)
    size, default_size = ((root / row["frames"]).stat().st_size for root in (tmp_path, converted.output_dir))
    assert size < default_size / 2


def test_actions_can_be_chosen(mini: MiniEgoDex, tmp_path: Path) -> None:
    convert(mini.path, tmp_path, "--output.actions=[hands]", "--output.max_trajectories=1")
    (row,) = Dataset(tmp_path).rows
    assert np.shape(row["actions"]) == (len(row["frame_indices"]), 6)
    names = json.loads((tmp_path / "egodex_test" / "conversion.json").read_text())["action_names"]
    assert names == [f"{hand}Hand_{axis}" for hand in ("left", "right") for axis in "xyz"]


# Which episodes --------------------------------------------------------------------------------------------


def test_every_usable_episode_has_a_row_in_the_order_of_clip_numbers(mini: MiniEgoDex, converted: Dataset) -> None:
    usable = {key for key, record in mini.records.items() if record.irregularity not in SKIPPED}
    assert {row["source"] for row in converted.rows} == usable
    numbers = [*clip_numbers(converted).values()]
    assert len(numbers) == len(usable) and numbers == sorted(numbers)


def clip_numbers(dataset: Dataset) -> dict[str, int]:
    found = {row["source"]: re.fullmatch(r".*/batch_0000/trajectory_(\d+).mp4", row["frames"]) for row in dataset.rows}
    return {source: int(match[1]) for source, match in found.items() if match}


def test_clips_are_numbered_round_the_tasks_and_failures_leave_gaps(mini: MiniEgoDex, converted: Dataset) -> None:
    keys = sorted(mini.records, key=lambda key: (key.split("/")[0], int(key.split("/")[1])))
    rounds = [
        [key for key in keys if key.startswith(f"{task}/")] for task in dict.fromkeys(k.split("/")[0] for k in keys)
    ]
    turns = [(turn, task, key) for task, of_task in enumerate(rounds) for turn, key in enumerate(of_task)]
    expected = {key: number for number, (_, _, key) in enumerate(sorted(turns))}
    numbers = clip_numbers(converted)
    assert numbers == {key: expected[key] for key in numbers}
    assert max(numbers.values()) >= len(numbers)


def test_a_few_trajectories_cover_all_tasks_and_more_later_keep_their_numbers(
    mini: MiniEgoDex, converted: Dataset, tmp_path: Path
) -> None:
    convert(mini.path, tmp_path, "--output.max_trajectories=6")
    fewer = clip_numbers(Dataset(tmp_path))
    assert len({key.split("/")[0] for key in fewer}) == 6
    convert(mini.path, tmp_path, "--output.max_trajectories=-1")
    more = clip_numbers(Dataset(tmp_path))
    assert more == clip_numbers(converted)
    assert {key: more[key] for key in fewer} == fewer


# What it says ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guide_output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guide")


@pytest.fixture(scope="module")
def guide_run(mini: MiniEgoDex, guide_output: Path) -> Run:
    """The guide's second command, at verbose level."""
    options = ("--output.max_trajectories=50", "--output.max_frames=32", "--output.verbose=true")
    return convert(mini.path, guide_output, f"--config_path={CONFIGS / 'egodex.yaml'}", *options)


def test_the_lines_of_the_guide_are_said_literally(mini: MiniEgoDex, guide_run: Run, guide_output: Path) -> None:
    run = guide_run
    total, num_tasks = len(mini.records), len({key.split("/")[0] for key in mini.records})
    assert "Will process up to 50 trajectories" in run.lines
    assert f"Found {total} episodes of {num_tasks} tasks" in run.lines
    for row in Dataset(guide_output).rows:
        count, kept = row["source_num_frames"], len(row["frame_indices"])
        assert f"Processed video: {count} -> {kept} frames, resized to (256, 256)" in run.lines
        label = row["source"].replace("/", "_")
        assert re.search(rf"^Created trajectory: {label} \(\d+/{total}\)$", run.stdout, re.MULTILINE)
    missing_mp4, missing_hdf5 = (mini.path / mini.with_irregularity(f"missing_{half}").key for half in ("mp4", "hdf5"))
    assert f"Warning: Missing MP4 file for {missing_mp4}.hdf5" in run.lines
    assert f"Warning: Missing HDF5 file for {missing_hdf5}.mp4" in run.lines


def test_each_trajectory_s_lines_need_verbose(mini: MiniEgoDex, tmp_path: Path) -> None:
    run = convert(mini.path, tmp_path, "--output.max_trajectories=2")
    assert "Will process up to 2 trajectories" in run.lines
    assert "Created trajectory" not in run.stdout + run.stderr
    assert "Processed video" not in run.stdout + run.stderr


def test_the_summary_counts_measures_and_says_what_to_do_next(
    mini: MiniEgoDex, guide_run: Run, guide_output: Path
) -> None:
    done = {row["source"]: (guide_output / row["frames"]).stat().st_size for row in Dataset(guide_output).rows}
    source = sum((mini.path / f"{key}{suffix}").stat().st_size for key in done for suffix in (".hdf5", ".mp4"))
    clips = sum(done.values())
    summary = guide_run.stdout.splitlines()[-7:]
    assert summary[0] == f"Done:    {len(done)}"
    assert summary[1].startswith("Skipped: 4 (2 no description, ")
    assert "1 missing mp4" in summary[1] and "1 missing hdf5" in summary[1]
    assert summary[2] == "Failed:  0"
    assert summary[3] == f"Size:    {source / 1e6:.1f} MB -> {clips / 1e6:.2f} MB of clips ({clips / source - 1:+.1%})"
    assert re.fullmatch(r"Time:    [\d.]+ s, [\d.]+ trajectories/s", summary[4])
    assert summary[5] == f"Dataset: {guide_output}/egodex_test"
    assert summary[6] == f'Next:    datasets.load_dataset("{guide_output}", "egodex_test", split="train")'


def test_progress_is_plain_lines_where_there_is_no_terminal(mini: MiniEgoDex, tmp_path: Path) -> None:
    run = convert(mini.path, tmp_path, "--output.max_trajectories=3")
    for description in ("Loading trajectories", "Processing trajectories"):
        assert re.search(rf"^{description}: 3/3 \[\d\d:\d\d<00:00, .*\]$", run.stderr, re.MULTILINE)
    assert not set("\r█\x1b") & set(run.stdout + run.stderr)


@pytest.mark.usefixtures("sentence_model")
def test_progress_is_a_bar_on_a_terminal(mini: MiniEgoDex, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = ("-m", MODULE, *arguments(mini.path, tmp_path, "--output.max_trajectories=3"))
    process = commands.start(*command, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b"".join(read_all(ours)).decode()
    assert process.wait() == 0
    for description in ("Loading trajectories", "Processing trajectories"):
        assert re.search(rf"\r{description}: 100%\|█+\| 3/3 \[\d\d:\d\d<00:00, .*it.*\]", shown)


def read_all(terminal: int) -> Iterator[bytes]:
    """What is written to a pseudo-terminal until nobody holds its other end."""
    try:
        while data := os.read(terminal, 65536):
            yield data
    except OSError:  # how Linux says so
        pass
    finally:
        os.close(terminal)


# How it ends -----------------------------------------------------------------------------------------------


def test_the_unedited_command_of_the_guide_is_refused_for_its_placeholder(tmp_path: Path) -> None:
    run = commands.run("-m", MODULE, f"--config_path={CONFIGS / 'egodex.yaml'}", cwd=tmp_path)
    assert run.exit_code == 2
    assert re.fullmatch(r"Error: --dataset\.dataset_path: .*placeholder.*\n", run.stderr)
    assert not run.stdout and not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("sentence_model")
def test_the_demo_needs_no_data(tmp_path: Path) -> None:
    command = ("-m", MODULE, f"--config_path={CONFIGS / 'egodex_demo.yaml'}", "--dataset.mini_episodes=2")
    for _ in range(2):  # the second run makes and converts nothing
        run = commands.run(*command, cwd=tmp_path)
        assert run.exit_code == 0, run.stderr
    assert "2 done in an earlier run" in run.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"mini_egodex", "egodex_demo_dataset"}
    dataset = Dataset(tmp_path / "egodex_demo_dataset", "egodex_demo")
    assert json.loads((dataset.folder / "conversion.json").read_text())["counts"]["drawn"] == 2
    assert len(dataset.rows) == 2
    for row in dataset.rows:
        assert len(row["frame_indices"]) == 32
        assert [read_frame_number(frame) for frame in dataset.clip(row)] == row["frame_indices"]


# The same bytes, within bounds -----------------------------------------------------------------------------


def contents(dataset: Dataset) -> dict[str, bytes]:
    """What is in a dataset's output folder, without what tells when and where it was made."""
    files = (path for path in dataset.output_dir.rglob("*") if path.is_file())
    names = {str(path.relative_to(dataset.output_dir)): path for path in files}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not name.endswith("ledger.jsonl") and "/.work/" not in name and name != ".card.lock"
    }


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_same_episodes_give_the_same_bytes(
    mini: MiniEgoDex, converted: Dataset, tmp_path: Path, workers: int
) -> None:
    copy = shutil.copytree(mini.path, tmp_path / "another" / "test")
    convert(copy, tmp_path / "out", workers=workers)
    first, second = contents(converted), contents(Dataset(tmp_path / "out"))
    assert first.keys() == second.keys()
    assert {name.rpartition(".")[2] for name in first} == {"parquet", "mp4", "md", "json"}
    assert [name for name in first if first[name] != second[name]] == []


def repeat_episode(part: Path, key: str, times: int) -> None:
    """Make an episode as many times as long; its video is copied packet by packet."""
    mp4, short = part / f"{key}.mp4", part / f"{key}.short.mp4"
    mp4.rename(short)
    with av.open(str(short)) as source, av.open(str(mp4), "w") as target:
        (stream,) = source.streams.video
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        for number in range(times * len(packets)):
            original: Any = packets[number % len(packets)]
            packet: Any = av.Packet(original.size)
            packet.update(bytes(original))
            packet.stream, packet.is_keyframe = copy, original.is_keyframe
            packet.time_base = Fraction(1, 30)
            packet.pts = packet.dts = number
            packet.duration = 1
            target.mux(packet)
    short.unlink()
    with h5py.File(part / f"{key}.hdf5", "r+") as file:
        for group in (file["transforms"], file["confidences"]):
            for name in list(group):
                rows = group[name][()]
                del group[name]
                group[name] = np.concatenate([rows] * times)


PRINT_PEAK_MEMORY = """
import re, sys
from dataset_upload.generate_hf_dataset import main
exit_code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
sys.exit(exit_code)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
@pytest.mark.usefixtures("sentence_model")
def test_6000_frames_of_1080p_take_less_than_480_mb(tmp_path: Path) -> None:
    write_episode(tmp_path / "test", "open_close_box", 0, frames=60, size=(1920, 1080))
    repeat_episode(tmp_path / "test", "open_close_box/0", times=100)
    # Compiling takes another 100 MB, once a machine.
    assert commands.run("-m", "dataset_upload.video.preload").exit_code == 0
    run = commands.run("-c", PRINT_PEAK_MEMORY, *arguments(tmp_path / "test", tmp_path))
    assert run.exit_code == 0, run.stderr
    (row,) = Dataset(tmp_path).rows
    assert row["source_num_frames"] == 6000
    assert int(run.stdout.split()[-1]) * 1024 < 480e6  # 330 without the sentence model, which takes some 150


def test_what_workers_run_imports_neither_datasets_nor_torch(mini: MiniEgoDex, tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
import dataset_upload.generate_hf_dataset  # a worker imports the command's module, too
from dataset_upload.config import OutputConfig
from dataset_upload.conversion import Conversion
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
from dataset_upload.formats.rfm.encoder import RfmEncoder
from dataset_upload.jobs import Job
loader = EgoDexLoader({str(mini.path)!r}, "egodex_test")
episode = loader.list_episodes()[0]
encoder = RfmEncoder("egodex_test", OutputConfig(), loader.about, Path({str(tmp_path)!r}))
Conversion(loader, encoder)(Job(episode, episode.key, 0, (0, (0,))))
print(*sys.modules)
"""
    run = commands.run("-c", code)
    assert run.exit_code == 0, run.stderr
    heavy = {"datasets", "torch", "draccus"}
    assert heavy.isdisjoint(run.stdout.split())
    assert list(tmp_path.iterdir())


# Real episodes ---------------------------------------------------------------------------------------------


class Real(NamedTuple):
    path: Path
    dataset: Dataset
    lines: Sequence[str]


@pytest.fixture(scope="module")
def real(real_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """The real episodes, converted with every option at its default."""
    output_dir = tmp_path_factory.mktemp("real")
    run = convert(real_sample, output_dir, workers=-1)
    return Real(real_sample, Dataset(output_dir), run.lines)


def test_real_episodes_give_five_rows_and_one_warning(real: Real) -> None:
    assert [row["source"] for row in real.dataset.rows] == [
        "add_remove_lid/0",
        "assemble_disassemble_furniture_bench_stool/14",
        "basic_pick_and_place/0",
        "insert_remove/2",
        "open_close/1",
    ]
    warnings = [line for line in real.lines if line.startswith("Warning")]
    assert warnings == [f"Warning: Missing MP4 file for {real.path}/add_remove_lid/1.hdf5"]


def test_real_tasks_are_the_sentences_that_apply(real: Real) -> None:
    lid, stapler = real.dataset.row("add_remove_lid/0"), real.dataset.row("basic_pick_and_place/0")
    assert lid["task"] == "Remove the lid from the cup on the wooden table."
    assert stapler["task"] == "Pick up a black stapler from the metal table and place it in the box lid."
    assert all(row["task_certain"] for row in real.dataset.rows)


def test_real_clips_have_32_frames_and_about_37_kib(real: Real) -> None:
    clips = [real.dataset.output_dir / row["frames"] for row in real.dataset.rows]
    for clip in clips:
        assert_is_a_clip(clip, num_frames=32)
    assert 30 < np.mean([clip.stat().st_size for clip in clips]) / 1024 < 45


def test_encoding_real_frames_costs_less_than_3_of_255(real: Real) -> None:
    assert 0 < worst_mean_error(real.dataset, real.path, every=8) < 3


def projected_joints(real: Real, row: Mapping[str, Any], k_error: tuple[float, float] = (0, 0)) -> NDArray[np.float64]:
    """(T, 50, 2) pixels of both hands' joints in a clip."""
    hands = real.dataset.hands[row["id"]]
    joints = np.concatenate([hands["left_hand"], hands["right_hand"]], axis=1)
    intrinsics = np.array(row["intrinsics"])
    intrinsics[:2, 2] += k_error
    return project(joints, row["camera_to_world"], intrinsics)


def is_inside(pixels: NDArray[np.float64]) -> NDArray[np.bool_]:
    x, y = pixels[..., 0], pixels[..., 1]
    return (x >= 0) & (x < 256) & (y >= 0) & (y < 256)


def test_real_hands_are_projected_into_the_picture(real: Real) -> None:
    inside = [is_inside(projected_joints(real, row)).mean() for row in real.dataset.rows]
    assert min(inside) > 0.75 and np.mean(inside) > 0.9


def test_real_hands_have_the_size_of_hands(real: Real) -> None:
    for row in real.dataset.rows:
        spread = np.ptp(projected_joints(real, row).reshape(32, 2, 25, 2), axis=2)
        assert np.all((np.median(spread, axis=(0, 1)) > 20) & (np.median(spread, axis=(0, 1)) < 120))


def test_real_joints_land_on_skin_and_20_pixels_beside_it_they_do_not(real: Real) -> None:
    row = real.dataset.row("assemble_disassemble_furniture_bench_stool/14")  # hands on green and blue cloth
    clip = np.array(real.dataset.clip(row)).astype(int)
    is_skin = clip[..., 0] - clip[..., 1] > 25

    def share_on_skin(k_error: tuple[float, float]) -> float:
        pixels = projected_joints(real, row, k_error)
        frames, joints = np.nonzero(is_inside(pixels))
        x, y = pixels[frames, joints].astype(int).T
        return float(is_skin[frames, y, x].mean())

    assert share_on_skin((0, 0)) > 0.9
    for k_error in ((20, 0), (-20, 0), (0, 20), (0, -20)):
        assert share_on_skin(k_error) < 0.85
