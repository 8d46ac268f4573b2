"""Flipped bits and lost ends: an episode fails by name, or its row is what a plain read of its corrupt files gives."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import av
import h5py
import numpy as np
import pytest
from conversions import convert
from dataset_reader import Dataset
from numpy.typing import NDArray
from output_folder import outcomes

from dataset_upload.actions.arkit import HAND_JOINTS
from dataset_upload.dataset_loaders.egodex.loader import CONFIDENCE_JOINTS
from dataset_upload.errors import Reason
from dataset_upload.mini_egodex.part import make_mini_egodex
from dataset_upload.video.encoding import write_mp4
from dataset_upload.video.geometry import plan_resize
from dataset_upload.video.picture import Picture

pytestmark = pytest.mark.slow

# Between two frames of a clip lie some that the converter need not decode, whereas a plain decode does. All else that
# decides the result is as it is by default.
OPTIONS = ("--output.max_trajectories=-1", "--output.max_frames=5", "--output.episode_timeout_s=30")


# Corruption ------------------------------------------------------------------------------------------------


def flip_bits(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(dice.choice([1, 1, 2, 4, 16])):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def cut(path: Path, dice: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: dice.randrange(len(data))])


def zero_in_keyframe(path: Path, dice: random.Random) -> None:
    """Overwrite 512 bytes of a keyframe, as a lost sector of a disk does."""
    with av.open(str(path)) as container:
        keyframes = [(each.pos, each.size) for each in container.streams.video[0].index_entries if each.is_keyframe]
    data = bytearray(path.read_bytes())
    position, size = dice.choice(keyframes)
    start = position + dice.randrange(size - 512)
    data[start : start + 512] = bytes(512)
    path.write_bytes(data)


def both(spoil: Callable[[Path, random.Random], None]) -> Callable[[Path, Path, random.Random], None]:
    def act(hdf5: Path, mp4: Path, dice: random.Random) -> None:
        spoil(hdf5, dice)
        spoil(mp4, dice)

    return act


# What is done to an episode, by the name of its task's folder.
CORRUPTIONS: dict[str, Callable[[Path, Path, random.Random], None]] = {
    "hdf5_bits": lambda hdf5, mp4, dice: flip_bits(hdf5, dice),
    "mp4_bits": lambda hdf5, mp4, dice: flip_bits(mp4, dice),
    "bits_of_both": both(flip_bits),
    "hdf5_cut": lambda hdf5, mp4, dice: cut(hdf5, dice),
    "mp4_cut": lambda hdf5, mp4, dice: cut(mp4, dice),
    "mp4_zeros": lambda hdf5, mp4, dice: zero_in_keyframe(mp4, dice),
}


class Plan(NamedTuple):
    """How episodes are drawn and how often each corruption is done to one; what must come of it."""

    size: tuple[int, int]  # width and height of the videos
    frames: int
    frame_size: int  # of the clips
    counts: dict[str, int]
    least_unnoticed: int  # corruptions that no container notices
    least_rows: int


PLANS = [
    Plan(
        size=(160, 90),
        frames=30,
        frame_size=64,
        counts={"hdf5_bits": 120, "mp4_bits": 120, "bits_of_both": 40, "hdf5_cut": 20, "mp4_cut": 20},
        least_unnoticed=50,
        least_rows=100,
    ),
    # EgoDex's own size, at which more of a decoder takes part.
    Plan(
        size=(1920, 1080),
        frames=52,
        frame_size=256,
        counts={"mp4_bits": 24, "mp4_zeros": 24},
        least_unnoticed=40,
        least_rows=10,
    ),
]


def files(part: Path, key: str) -> tuple[Path, Path]:
    return part / f"{key}.hdf5", part / f"{key}.mp4"


def corrupt_part(sound: Path, part: Path, counts: dict[str, int]) -> list[str]:
    """Write corrupted episodes; returns their keys, <corruption>/<number>, which are the seeds."""
    whole = sorted(sound.glob("*/*.hdf5"))
    keys = [f"{name}/{number}" for name, count in counts.items() for number in range(count)]
    for key in keys:
        dice = random.Random(key)
        hdf5, mp4 = files(part, key)
        hdf5.parent.mkdir(parents=True, exist_ok=True)
        original = dice.choice(whole)
        shutil.copy(original, hdf5)
        shutil.copy(original.with_suffix(".mp4"), mp4)
        CORRUPTIONS[hdf5.parent.name](hdf5, mp4, dice)
    return keys


# Plain reading ---------------------------------------------------------------------------------------------


def read_all(name: str, item: h5py.Group | h5py.Dataset) -> None:
    if isinstance(item, h5py.Dataset):
        item[()]


def containers_notice(hdf5: Path, mp4: Path) -> bool:
    """Whether libhdf5 or FFmpeg's demuxer finds anything wrong when all is read."""
    try:
        with h5py.File(hdf5) as file:
            dict(file.attrs)
            file.visititems(read_all)
        with av.open(str(mp4)) as container:
            (stream,) = container.streams.video
            packets = [packet for packet in container.demux(stream) if packet.size]
            return len(packets) != stream.frames or any(packet.is_corrupt for packet in packets)
    except Exception:
        return True


def decode_plainly(mp4: Path) -> list[av.VideoFrame]:
    """Every frame that a decode from start to end gives; a packet that the decoder refuses gives none."""
    frames: list[av.VideoFrame] = []
    with av.open(str(mp4)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                frames += packet.decode()
            except av.error.InvalidDataError:
                pass
    return frames


def plain_clip(mp4: Path, row: dict[str, Any], frame_size: int, path: Path) -> bytes:
    """The clip of a row's frames, taken from a plain decode."""
    frames = decode_plainly(mp4)
    if len(frames) == row["source_num_frames"]:
        wanted = [frames[index] for index in row["frame_indices"]]
    else:  # a frame between those of the clip was refused: the others are known by their time
        by_time = {round(float(frame.time or 0) - float(frames[0].time or 0), 6): frame for frame in frames}
        wanted = [by_time[round(time, 6)] for time in row["timestamps"]]
    resize = plan_resize((wanted[0].width, wanted[0].height), "stretch", frame_size)
    write_mp4(map(resize.apply, map(Picture.of_frame, wanted)), path, fps=30, crf=18)
    return path.read_bytes()


def plain_poses(hdf5: Path, indices: list[int]) -> dict[str, NDArray[Any]]:
    """What h5py reads for the columns of poses."""
    with h5py.File(hdf5) as file:

        def pose(name: str) -> NDArray[Any]:
            rows: NDArray[Any] = file["transforms"][name][()][indices]
            return rows

        def confidence(name: str) -> NDArray[Any]:
            unknown = np.full(len(indices), np.nan)
            return file["confidences"][name][()][indices] if name in file["confidences"] else unknown

        def hand(side: str) -> NDArray[Any]:
            return np.stack([pose(side + joint)[:, :3, 3] for joint in HAND_JOINTS], axis=1)

        action_names = ("leftHand", "rightHand", "leftIndexFingerTip", "rightIndexFingerTip", "camera")
        return {
            "actions": np.concatenate([pose(name)[:, :3, 3] for name in action_names], axis=1),
            "camera_to_world": pose("camera"),
            "left_hand": hand("left"),
            "right_hand": hand("right"),
            "left_wrist_rotation": pose("leftHand")[:, :3, :3],
            "right_wrist_rotation": pose("rightHand")[:, :3, :3],
            "confidences": np.stack([confidence(name) for name in CONFIDENCE_JOINTS], axis=1),
        }


def descriptions(hdf5: Path) -> set[str]:
    with h5py.File(hdf5) as file:
        return {file.attrs.get(name, "").strip() for name in ("llm_description", "llm_description2")}


# The test --------------------------------------------------------------------------------------------------


class Fuzzed(NamedTuple):
    plan: Plan
    part: Path
    keys: list[str]
    dataset: Dataset
    outcomes: dict[str, tuple[str, str | None]]
    stdout: str


@pytest.fixture(scope="module", params=PLANS, ids=lambda plan: "{}x{}".format(*plan.size))
def fuzzed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Fuzzed:
    """Corrupted episodes, converted in one run of two workers."""
    plan: Plan = request.param
    folder = tmp_path_factory.mktemp("fuzz")
    make_mini_egodex(folder / "sound", episodes=6, size=plan.size, frames=plan.frames)
    keys = corrupt_part(folder / "sound", folder / "test", plan.counts)
    options = (*OPTIONS, f"--output.frame_size={plan.frame_size}")
    run = convert(folder / "test", folder / "out", *options, workers=2, exit_code=1)
    return Fuzzed(plan, folder / "test", keys, Dataset(folder / "out"), outcomes(folder / "out"), run.stdout)


def test_every_corrupted_episode_is_done_skipped_or_failed(fuzzed: Fuzzed) -> None:
    assert len(fuzzed.keys) == sum(fuzzed.plan.counts.values())
    assert sorted(fuzzed.outcomes) == sorted(fuzzed.keys)
    counts = [[status for status, _ in fuzzed.outcomes.values()].count(each) for each in ("done", "skipped", "failed")]
    assert sum(counts) == len(fuzzed.keys)
    said = [line.split()[1] for line in fuzzed.stdout.splitlines() if line.startswith(("Done:", "Skipped:", "Failed:"))]
    assert said == [str(count) for count in counts]
    assert len(fuzzed.dataset.rows) == counts[0]


def test_none_crashes_hangs_or_surprises(fuzzed: Fuzzed) -> None:
    surprises = {Reason.WORKER_DIED, Reason.TIMED_OUT, Reason.OUT_OF_MEMORY, Reason.UNEXPECTED}
    assert {key: reason for key, (_, reason) in fuzzed.outcomes.items() if reason in surprises} == {}


def test_many_corruptions_are_such_that_no_container_notices(fuzzed: Fuzzed) -> None:
    unnoticed = [key for key in fuzzed.keys if not containers_notice(*files(fuzzed.part, key))]
    assert len(unnoticed) >= fuzzed.plan.least_unnoticed


def test_every_row_is_what_a_plain_read_of_its_corrupt_files_gives(fuzzed: Fuzzed, tmp_path: Path) -> None:
    assert len(fuzzed.dataset.rows) >= fuzzed.plan.least_rows
    for row in fuzzed.dataset.rows:
        hdf5, mp4 = files(fuzzed.part, row["source"])
        clip = (fuzzed.dataset.output_dir / row["frames"]).read_bytes()
        assert clip == plain_clip(mp4, row, fuzzed.plan.frame_size, tmp_path / "clip.mp4"), (
            f"other frames, seed {row['source']}"
        )
        stored = {**fuzzed.dataset.hands[row["id"]], **row}
        for column, expected in plain_poses(hdf5, row["frame_indices"]).items():
            read = np.array(stored[column], dtype=expected.dtype)
            np.testing.assert_array_equal(read, expected, f"other {column}, seed {row['source']}")
        assert row["task"] in descriptions(hdf5), f"another task, seed {row['source']}"
