"""What a mini EgoDex is: the real structure, pictures that agree with the poses, the same bytes again."""

from __future__ import annotations

import io
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import numpy.typing as npt
import pytest
from commands import in_fork
from project import REAL_SAMPLE

from dataset_upload.make_mini_egodex import main
from dataset_upload.mini_egodex.frame_code import draw_frame_number
from dataset_upload.mini_egodex.painting import SKINS, SLEEVES, Look
from dataset_upload.mini_egodex.part import (
    FINGERTIP_RGB,
    IRREGULARITIES,
    TASKS,
    EpisodeRecord,
    intrinsics,
    make_mini_egodex,
    project,
    read_frame_number,
    write_episode,
)

SMALL = (320, 180)


Image = npt.NDArray[np.uint8]
Part = tuple[Path, list[EpisodeRecord]]
Irregular = tuple[Path, dict[str | None, EpisodeRecord]]


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Part:
    """Two small episodes of every task."""
    out = tmp_path_factory.mktemp("mini") / "test"
    return out, make_mini_egodex(out, episodes=2 * len(TASKS), size=SMALL, frames=(13, 26))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One episode of 30 frames, large enough to look at single pixels; its path without the suffix."""
    out = tmp_path_factory.mktemp("large")
    return out / write_episode(out, "add_remove_lid", 0, frames=30, size=(960, 540)).key


def image_of(frame: av.VideoFrame, pixel_format: str = "rgb24") -> Image:
    return np.asarray(frame.to_ndarray(format=pixel_format), np.uint8)


def frames_of(mp4: Path) -> list[Image]:
    with av.open(str(mp4)) as container:
        return [image_of(frame) for frame in container.decode(video=0)]


def scaled(image: Image, width: int, height: int) -> Image:
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    return image_of(frame.reformat(width, height, interpolation="AREA"))


def padded_square(image: Image) -> Image:
    height, width, _ = image.shape
    above = (width - height) // 2
    return np.pad(image, ((above, width - height - above), (0, 0), (0, 0)))


def central_square(image: Image) -> Image:
    height, width, _ = image.shape
    return image[:, (width - height) // 2 : (width + height) // 2]


def h264(images: list[Image], crf: int) -> list[Image]:
    """The images after a round through H.264 at that quality."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": str(crf), "threads": "1"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        return [image_of(frame) for frame in container.decode(video=0)]


def positions(hdf5: Path) -> dict[str, npt.NDArray[np.float64]]:
    with h5py.File(hdf5) as file:
        return {name: rows[:, :3, 3].astype(np.float64) for name, rows in file["transforms"].items()}


def attributes(hdf5: Path) -> dict[str, Any]:
    with h5py.File(hdf5) as file:
        return dict(file.attrs)


def stored_types(file: h5py.File) -> dict[str, tuple[object, ...]]:
    """How every attribute is stored, down to the character set."""
    types: dict[str, tuple[object, ...]] = {}
    for name in file.attrs:
        attribute = h5py.h5a.open(file.id, name.encode())
        kind = attribute.get_type()
        types[name] = (kind.get_class(), attribute.dtype.str, len(attribute.shape))
        if isinstance(kind, h5py.h5t.TypeStringID):
            types[name] += (kind.get_cset(), kind.is_variable_str(), kind.get_strpad())
    return types


def stored_rows(file: h5py.File) -> dict[str, tuple[object, ...]]:
    """Every dataset's type, shape after the rows, layout, compression."""
    found: dict[str, tuple[object, ...]] = {}

    def note(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            packing = item.chunks, item.compression, dict(item.attrs)
            found[name] = (item.dtype.str, item.ndim, item.shape[1:], packing)

    file.visititems(note)
    return found


class TestStructure:
    def test_an_episode_is_an_hdf5_beside_an_mp4_numbered_from_0_in_its_task_folder(self, part: Part) -> None:
        out, records = part
        expected = {f"{task}/{number}" for task in TASKS for number in (0, 1)}
        assert {record.key for record in records} == expected
        files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
        assert files == {key + suffix for key in expected for suffix in (".hdf5", ".mp4")}

    def test_lengths_differ_within_the_range(self, part: Part) -> None:
        lengths = [record.frames for record in part[1]]
        assert 13 <= min(lengths) < max(lengths) <= 26

    def test_the_hdf5_has_the_real_ones_datasets(self, part: Part) -> None:
        real = next(iter(sorted(REAL_SAMPLE.glob("*/*.hdf5"))), None)
        if real is None:
            pytest.skip("no real episodes beside the project: ../shared/egodex_sample is absent")
        out, records = part
        with h5py.File(real) as theirs, h5py.File(out / f"{records[0].key}.hdf5") as ours:
            assert stored_rows(ours) == stored_rows(theirs)

    def test_attributes_are_stored_as_the_real_ones_are_and_one_says_that_they_are_not(self, part: Part) -> None:
        real: dict[str, tuple[object, ...]] = {}
        for path in REAL_SAMPLE.glob("*/*.hdf5"):
            with h5py.File(path) as file:
                real |= stored_types(file)
        if not real:
            pytest.skip("no real episodes beside the project: ../shared/egodex_sample is absent")
        made: dict[str, tuple[object, ...]] = {}
        for record in part[1]:
            with h5py.File(part[0] / f"{record.key}.hdf5") as file:
                made |= stored_types(file)
        assert made.pop("drawn_by")
        assert made == real

    def test_the_hdf5_has_69_transforms_and_68_confidences_of_the_videos_length(self, part: Part) -> None:
        for record in part[1]:
            with h5py.File(part[0] / f"{record.key}.hdf5") as file:
                assert {rows.shape for rows in file["transforms"].values()} == {(record.frames, 4, 4)}
                assert {rows.shape for rows in file["confidences"].values()} == {(record.frames,)}
                assert set(file["transforms"]) - set(file["confidences"]) == {"camera"}
                assert (len(file["transforms"]), len(file["confidences"])) == (69, 68)

    def test_the_intrinsics_are_egodexs_scaled_to_the_picture(self, part: Part) -> None:
        with h5py.File(part[0] / f"{part[1][0].key}.hdf5") as file:
            expected = np.array([[736.6339 / 6, 0, 160], [0, 736.6339 / 6, 90], [0, 0, 1]], np.float64)
            np.testing.assert_allclose(file["camera/intrinsic"][:], expected, rtol=1e-6)

    def test_llm_types_and_descriptions_agree(self, part: Part) -> None:
        assert {record.llm_type for record in part[1]} == {"reversible", "reset", "reset-free"}
        for record in part[1]:
            found = attributes(part[0] / f"{record.key}.hdf5")
            which = found.get("which_llm_description")
            assert which == ({True: "2", False: "1"}[record.reverse] if record.llm_type == "reversible" else None)
            assert found["llm_description2" if which == "2" else "llm_description"] == record.description
            assert (found["llm_description2"] == "None") == (record.llm_type != "reversible")
            assert "{" not in found["llm_description"] + found["llm_description2"]

    def test_some_episodes_share_their_recording_session(self, part: Part) -> None:
        sessions = [attributes(part[0] / f"{record.key}.hdf5")["session_name"] for record in part[1]]
        assert len(TASKS) < len(set(sessions)) < len(sessions)


class TestPoses:
    def test_transforms_are_rigid(self, part: Part) -> None:
        for record in part[1]:
            with h5py.File(part[0] / f"{record.key}.hdf5") as file:
                for rows in file["transforms"].values():
                    turns = rows[:, :3, :3].astype(np.float64)
                    np.testing.assert_allclose(
                        turns @ turns.swapaxes(1, 2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-5
                    )
                    assert np.linalg.det(turns).min() > 0.999
                    np.testing.assert_array_equal(rows[:, 3], np.tile([0, 0, 0, 1], (len(rows), 1)))

    def test_wrist_axes_are_mirrored_as_in_the_real_files(self, part: Part) -> None:
        paths = [part[0] / f"{record.key}.hdf5" for record in part[1]] + sorted(REAL_SAMPLE.glob("*/*.hdf5"))
        for path in paths:
            at = positions(path)
            with h5py.File(path) as file:
                for side, sign in (("left", 1), ("right", -1)):
                    wrist = file[f"transforms/{side}Hand"][:, :3, :3]
                    fingers = at[f"{side}MiddleFingerKnuckle"] - at[f"{side}Hand"]
                    to_index = at[f"{side}IndexFingerKnuckle"] - at[f"{side}LittleFingerKnuckle"]
                    assert (sign * np.sum(wrist[:, :, 0] * fingers, axis=1) > 0.06).all(), path
                    assert (-sign * np.sum(wrist[:, :, 2] * to_index, axis=1) > 0.03).all(), path

    def test_hands_have_human_proportions(self, part: Part) -> None:
        at = positions(part[0] / f"{part[1][0].key}.hdf5")
        for side in ("left", "right"):
            for finger in ("IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger"):
                chain = [
                    at[f"{side}{finger}{joint}"] for joint in ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
                ]
                bones = [np.linalg.norm(end - start, axis=1).mean() for start, end in pairwise(chain)]
                assert bones == sorted(bones, reverse=True)
                assert 0.06 < sum(bones) < 0.11
            assert np.all(np.abs(np.linalg.norm(at[f"{side}Hand"] - at[f"{side}Forearm"], axis=1) - 0.27) < 0.02)

    def test_the_working_hand_closes_on_the_thing_and_lets_go(self, large: Path) -> None:
        at = positions(large.with_suffix(".hdf5"))
        openings = [
            np.linalg.norm(at[f"{side}ThumbTip"] - at[f"{side}IndexFingerTip"], axis=1) for side in ("left", "right")
        ]
        working = max(openings, key=lambda opening: float(np.ptp(opening)))
        assert min(working[0], working[-1]) > working.min() + 0.015

    def test_the_reverse_task_runs_the_motion_backwards(self, tmp_path: Path) -> None:
        ends = {}
        for reverse in (False, True):
            record = write_episode(
                tmp_path / str(reverse), "stack_unstack_blocks", 0, frames=60, size=(64, 64), reverse=reverse
            )
            at = positions(tmp_path / str(reverse) / f"{record.key}.hdf5")
            thumb, index = max(
                ((at[f"{side}ThumbTip"], at[f"{side}IndexFingerTip"]) for side in ("left", "right")),
                key=lambda tips: float(np.ptp(np.linalg.norm(tips[0] - tips[1], axis=1))),
            )
            opening = np.linalg.norm(thumb - index, axis=1)
            held = np.flatnonzero(opening < opening.min() + 0.001)
            ends[reverse] = thumb[held[0]], thumb[held[-1]]
        assert ends[False][1][1] - ends[False][0][1] > 0.08, "stacking lifts the block"
        np.testing.assert_allclose(ends[True], ends[False][::-1], atol=0.01)

    def test_confidences_lie_between_the_floor_and_one(self, part: Part) -> None:
        with h5py.File(part[0] / f"{part[1][0].key}.hdf5") as file:
            values = np.concatenate([rows[:] for rows in file["confidences"].values()])
            floor = [name for name, rows in file["confidences"].items() if (rows[:] == np.float32(0.0032)).all()]
        assert (values.min(), values.max()) == (np.float32(0.0032), 1.0)
        assert len(floor) == 8 and all("Metacarpal" in name for name in floor)


class TestVideo:
    def test_the_stream_is_coded_as_egodexs(self, part: Part) -> None:
        for record in part[1]:
            with av.open(str(part[0] / f"{record.key}.mp4")) as container:
                (stream,) = container.streams
                assert isinstance(stream, av.VideoStream)
                coding = stream.codec_context
                assert (coding.name, coding.profile, coding.pix_fmt) == ("mpeg4", "Simple Profile", "yuv420p")
                assert stream.average_rate == 30 and stream.time_base == Fraction(1, 15360)
                assert (coding.width, coding.height) == SMALL
                packets = [packet for packet in container.demux(stream) if packet.size]
            assert len(packets) == stream.frames == record.frames
            assert [i for i, packet in enumerate(packets) if packet.is_keyframe] == list(range(0, record.frames, 12))
            assert (
                [packet.pts for packet in packets]
                == [packet.dts for packet in packets]
                == [512 * i for i in range(record.frames)]
            )

    def test_persons_and_tables_can_be_made_to_look_alike(self, tmp_path: Path) -> None:
        look = Look("table:metal", "blue", SLEEVES[0], SKINS[0])
        records = [
            write_episode(tmp_path, "wipe_kitchen_surfaces", i, frames=2, size=SMALL, look=look) for i in (0, 2, 4)
        ]

        assert all("metal table" in record.description for record in records)

    def test_fingertips_are_painted_where_the_stored_poses_project_to(self, large: Path) -> None:
        with h5py.File(large.with_suffix(".hdf5")) as file:
            camera, matrix = file["transforms/camera"][:], file["camera/intrinsic"][:]
        at = positions(large.with_suffix(".hdf5"))
        names = [(side, finger) for side in ("left", "right") for finger in FINGERTIP_RGB]
        tips = np.stack([at[f"{side}{finger}Tip"] for side, finger in names], axis=1)
        looked_at = 0
        for picture, pixels in zip(frames_of(large.with_suffix(".mp4")), project(tips, camera, matrix), strict=True):
            apart = np.linalg.norm(pixels[:, None] - pixels, axis=-1) + 99 * np.eye(len(names))
            for (_, finger), (u, v), nearest in zip(names, pixels, apart.min(axis=1), strict=True):
                if nearest > 12 and 0 <= u < 960 and 100 < v < 540:
                    painted = picture[int(v), int(u)].astype(int)
                    assert np.abs(painted - FINGERTIP_RGB[finger]).max() < 60, (finger, u, v, painted)
                    looked_at += 1
        assert looked_at > 150

    def test_a_picture_shows_more_than_one_moment(self, large: Path) -> None:
        pictures = frames_of(large.with_suffix(".mp4"))
        changed = np.abs(pictures[0].astype(int) - pictures[15]).max(axis=-1) > 40
        assert 0.05 < changed[100:].mean() < 0.7


class TestProject:
    def test_it_follows_opencvs_axes(self) -> None:
        ahead, right_of_it, below_it = [0, 0, 2], [1, 0, 2], [0, 1, 2]
        pixels = project([ahead, right_of_it, below_it], np.eye(4), intrinsics((1920, 1080)))
        expected = np.array([[960, 540], [960 + 368.31695, 540], [960, 540 + 368.31695]])
        np.testing.assert_allclose(pixels, expected)

    def test_a_camera_moves_the_points_the_other_way(self) -> None:
        camera = np.eye(4)
        camera[:3, 3] = [1, 0, -2]
        pixels = project([[1, 0, 0]], camera, intrinsics((1920, 1080)))
        np.testing.assert_allclose(pixels, [[960, 540]])

    def test_points_behind_the_camera_have_no_pixel(self) -> None:
        assert np.isnan(project([[0, 0, -1]], np.eye(4), intrinsics((1920, 1080)))).all()


class TestFrameNumber:
    def test_it_is_read_from_the_whole_frame(self, large: Path) -> None:
        assert [read_frame_number(image) for image in frames_of(large.with_suffix(".mp4"))] == list(range(30))

    @pytest.mark.parametrize("square", [central_square, padded_square, lambda image: image])
    @pytest.mark.parametrize("side", [128, 256])
    def test_it_is_read_from_a_cropped_padded_or_stretched_square(self, large: Path, square: Any, side: int) -> None:
        for number, image in enumerate(frames_of(large.with_suffix(".mp4"))):
            assert read_frame_number(scaled(square(image), side, side)) == number

    @pytest.mark.parametrize("crf", [18, 23])
    def test_it_is_read_after_resizing_and_encoding_again(self, part: Part, crf: int) -> None:
        for record in part[1][:4]:
            small = [scaled(image, 256, 256) for image in frames_of(part[0] / f"{record.key}.mp4")]
            assert [read_frame_number(image) for image in h264(small, crf)] == list(range(record.frames))

    def test_it_is_read_from_luma(self, large: Path) -> None:
        with av.open(str(large.with_suffix(".mp4"))) as container:
            planes = [image_of(frame, "gray") for frame in container.decode(video=0)]
        assert [read_frame_number(luma) for luma in planes] == list(range(30))

    @pytest.mark.parametrize("number", [0, 1, 0x5555, 0xAAAA, 0x1234, 65535])
    def test_every_bit_counts(self, number: int) -> None:
        luma = np.full((180, 320), 60, np.uint8)
        draw_frame_number(luma, number)
        assert read_frame_number(luma) == number

    def test_a_damaged_number_is_refused_not_misread(self, large: Path) -> None:
        image, rng = frames_of(large.with_suffix(".mp4"))[21], np.random.default_rng(0)
        refused = 0
        for _ in range(80):
            u, v = rng.integers(260, 700), rng.integers(10, 90)
            damaged = image.copy()
            damaged[v : v + 25, u : u + 25] = rng.choice([0, 110, 255])
            try:
                assert read_frame_number(damaged) == 21
            except ValueError:
                refused += 1
        assert refused > 20

    @pytest.mark.parametrize("value", [0, 128, 255])
    def test_a_blank_picture_has_none(self, value: int) -> None:
        with pytest.raises(ValueError, match="frame number"):
            read_frame_number(np.full((256, 256, 3), value, np.uint8))

    def test_it_can_be_left_out(self, tmp_path: Path) -> None:
        record = write_episode(tmp_path, "open_close_box", 0, frames=13, size=SMALL, frame_number=False)
        for image in frames_of(tmp_path / f"{record.key}.mp4"):
            with pytest.raises(ValueError, match="frame number"):
                read_frame_number(image)


class TestDeterminism:
    def test_the_same_arguments_give_the_same_bytes(self, tmp_path: Path) -> None:
        contents = []
        for name in ("first", "second"):
            out = tmp_path / name
            make_mini_egodex(out, episodes=3, size=SMALL, frames=13, irregularities=["old_release", "frame_mismatch"])
            contents.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
            time.sleep(1.1)  # HDF5 and MP4 tell the time in whole seconds
        assert contents[0] == contents[1]

    def test_another_seed_gives_other_episodes(self, tmp_path: Path) -> None:
        videos = []
        for seed in (0, 1):
            record = write_episode(tmp_path / str(seed), "open_close_box", 0, frames=2, size=SMALL, seed=seed)
            videos.append((tmp_path / str(seed) / f"{record.key}.mp4").read_bytes())
        assert videos[0] != videos[1]

    def test_episodes_do_not_depend_on_each_other(self, tmp_path: Path, part: Part) -> None:
        record = part[1][8]
        task, number = record.key.split("/")
        assert write_episode(tmp_path, task, int(number), frames=record.frames, size=SMALL) == record
        for suffix in (".hdf5", ".mp4"):
            assert (tmp_path / f"{record.key}{suffix}").read_bytes() == (part[0] / f"{record.key}{suffix}").read_bytes()

    def test_a_long_episode_is_the_same_however_it_is_cut_into_blocks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written = []
        for block in (7, 64):
            monkeypatch.setattr("dataset_upload.mini_egodex.part._BLOCK", block)
            record = write_episode(tmp_path / str(block), "wipe_kitchen_surfaces", 0, frames=40, size=(64, 64))
            written.append((tmp_path / str(block) / f"{record.key}.hdf5").read_bytes())
        assert written[0] == written[1]


@pytest.fixture(scope="module")
def irregular(tmp_path_factory: pytest.TempPathFactory) -> Irregular:
    """One normal episode, then one of every irregularity."""
    out = tmp_path_factory.mktemp("irregular")
    records = make_mini_egodex(out, episodes=1, size=SMALL, frames=13, irregularities=list(IRREGULARITIES))
    return out, {record.irregularity: record for record in records}


class TestIrregularities:
    @pytest.fixture
    def hdf5(self, irregular: Irregular, request: pytest.FixtureRequest) -> Path:
        """The HDF5 of the irregularity that the test is named after."""
        return irregular[0] / f"{irregular[1][request.function.__name__.removeprefix('test_')].key}.hdf5"

    def test_each_adds_one_episode_after_the_normal_ones(self, irregular: Irregular, tmp_path: Path) -> None:
        assert list(irregular[1]) == [None, *IRREGULARITIES]
        (normal,) = make_mini_egodex(tmp_path / "normal", episodes=1, size=SMALL, frames=13)
        assert normal == irregular[1][None]

    def test_missing_confidences(self, hdf5: Path) -> None:
        with h5py.File(hdf5) as file:
            assert set(file) == {"camera", "transforms"}

    def test_old_release(self, hdf5: Path) -> None:
        with h5py.File(hdf5) as file:
            assert file["camera/intrinsic"].shape == (0, 3)
            assert "which_llm_description" not in file.attrs
            assert file.attrs["llm_type"] == "reversible"

    def test_missing_mp4(self, hdf5: Path) -> None:
        assert hdf5.exists() and not hdf5.with_suffix(".mp4").exists()

    def test_missing_hdf5(self, hdf5: Path) -> None:
        assert not hdf5.exists() and hdf5.with_suffix(".mp4").exists()

    def test_truncated_mp4(self, hdf5: Path) -> None:
        with pytest.raises(av.FFmpegError):
            frames_of(hdf5.with_suffix(".mp4"))

    def test_truncated_hdf5(self, hdf5: Path) -> None:
        with pytest.raises(OSError, match="truncated"):
            h5py.File(hdf5)

    def test_row0_repeated(self, hdf5: Path) -> None:
        with h5py.File(hdf5) as file:
            for rows in file["transforms"].values():
                np.testing.assert_array_equal(rows[0], rows[1])
            assert not np.array_equal(file["transforms/camera"][1], file["transforms/camera"][2])

    def test_frame_mismatch(self, hdf5: Path, irregular: Irregular) -> None:
        record = irregular[1]["frame_mismatch"]
        assert (record.frames, record.pose_rows) == (13, 8)
        assert len(frames_of(hdf5.with_suffix(".mp4"))) == 13
        with h5py.File(hdf5) as file:
            assert {len(rows) for group in ("transforms", "confidences") for rows in file[group].values()} == {8}

    def test_description_unavailable(self, hdf5: Path) -> None:
        assert attributes(hdf5)["llm_description"] == "description unavailable"

    def test_no_description(self, hdf5: Path) -> None:
        assert not [name for name in attributes(hdf5) if "description" in name]

    def test_description2_none(self, hdf5: Path) -> None:
        found = attributes(hdf5)
        assert (found["llm_description2"], found["llm_type"]) == ("None", "reset")

    def test_which_as_int(self, hdf5: Path) -> None:
        which = attributes(hdf5)["which_llm_description"]
        assert isinstance(which, np.int64) and which in (1, 2)

    def test_which_as_bytes(self, hdf5: Path) -> None:
        which = attributes(hdf5)["which_llm_description"]
        assert isinstance(which, bytes) and which in (b"1", b"2")

    def test_missing_joint(self, hdf5: Path) -> None:
        with h5py.File(hdf5) as file:
            assert (len(file["transforms"]), len(file["confidences"])) == (68, 67)
            assert "rightIndexFingerTip" not in file["transforms"]

    def test_nan_poses(self, hdf5: Path) -> None:
        at = positions(hdf5)
        assert np.isnan(at["leftHand"]).any() and not np.isnan(at["leftHand"]).all()
        assert not np.isnan(at["rightHand"]).any()

    def test_number_gap(self, hdf5: Path) -> None:
        numbers = [int(path.stem) for path in hdf5.parent.glob("[0-9]*.mp4")]
        assert int(hdf5.stem) == max(numbers) and max(numbers) >= len(numbers) + 2

    def test_macos_litter(self, hdf5: Path) -> None:
        assert hdf5.exists()
        for litter in (f"._{hdf5.stem}.hdf5", f"._{hdf5.stem}.mp4", ".DS_Store", "../.DS_Store"):
            assert (hdf5.parent / litter).is_file()


class TestCommand:
    def test_it_writes_what_is_asked_for(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        out = tmp_path / "mini"
        tasks = "open_close_box,add_remove_lid"
        options = [
            "--episodes",
            "2",
            "--size",
            "64x64",
            "--frames",
            "2-3",
            "--tasks",
            tasks,
            "--irregular",
            "missing_mp4",
        ]
        assert main([str(out), *options]) == 0
        made = {str(path.relative_to(out)) for path in out.rglob("*.*")}
        pair = {f"{task}/0{suffix}" for task in tasks.split(",") for suffix in (".hdf5", ".mp4")}
        assert made == pair | {"open_close_box/1.hdf5"}
        output = capfd.readouterr()
        assert output.out.startswith("Wrote 3 episodes")
        assert "3/3" in output.err, "a progress bar on standard error"

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            (["--irregular", "missing_mp4,lost_socks"], "no irregularity is called lost_socks"),
            (
                ["--irregular", "old_release", "--tasks", "wipe_kitchen_surfaces"],
                "old_release needs a reversible task",
            ),
            (["--tasks", "juggle"], "no task is called juggle"),
            (["--size", "huge"], "a size is WIDTHxHEIGHT"),
            (["--size", "321x180"], "even numbers of pixels"),
            (["--frames", "0"], "frames 1 to 65536"),
            (["--frames", "9-"], "frames are a number or a range"),
            (["--episodes", "many"], "must be a number from 0 on"),
        ],
    )
    def test_a_mistake_is_one_line_with_exit_code_2(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
    ) -> None:
        assert main([str(tmp_path / "mini"), *options]) == 2
        error = capsys.readouterr().err
        assert error.startswith("Error: ")
        assert told in error and error.count("\n") == 1
        assert not (tmp_path / "mini").exists()

    def test_a_folder_that_is_not_empty_is_left_alone(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "mine.txt").write_text("mine")
        assert main([str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert f"{tmp_path} is not empty" in error and error.count("\n") == 1
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_its_help_tells_every_default_and_irregularity(self) -> None:
        told = in_fork(lambda: main(["--help"])).stdout
        assert told.count("(default:") == told.count("  --") == 7
        assert all(name in told for name in IRREGULARITIES)
