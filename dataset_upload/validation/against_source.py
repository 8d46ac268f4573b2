"""A dataset beside the files that it was made of, by code that shares nothing with the converter.

Poses and texts are read with h5py's high-level interface, pictures by a plain decode from the first frame to the last.
Each rule of the converter is spelled out a second time, as docs/egodex.md states it: whoever changes one changes both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from dataset_upload.console.progress import progress
from dataset_upload.formats.finished_dataset import FinishedDataset
from dataset_upload.stored_trajectory import StoredTrajectory
from dataset_upload.validation.findings import Finding, describe
from dataset_upload.validation.source_files import SourceFiles
from dataset_upload.validation.source_pictures import SourceVideo, compare_pictures, placement

Array = NDArray[np.float64]

_SAME_TIME = 1e-6  # seconds: ticks of a clock, multiplied
_SAME_POSE = 1e-5  # metres, entries of rotations: where quaternions, or joints as the camera sees them, are stored
_SAME_PIXEL = 1e-3  # of the clip: single precision, multiplied
_JPEG_AS_CRF = 18
_INTRINSICS, _INTRINSICS_SIZE = [[736.6339, 0, 960], [0, 736.6339, 540], [0, 0, 1]], (1920, 1080)
_CONFIDENCES = ("leftHand", "rightHand", "leftIndexFingerTip", "rightIndexFingerTip")

# Columns of text, and the attribute of each.
_TEXTS = {
    "llm_description": "llm_description",
    "llm_description2": "llm_description2",
    "llm_type": "llm_type",
    "session_name": "session_name",
    "environment": "environment",
    "object": "object",
    "collector": "extra",
    "description": "description",
    "annotated_task": "task",
    "annotated_type": "type",
}


class Quantity:
    """The largest difference of one quantity over all trajectories.

    Attributes:
        finding: what to print of it.
    """

    def __init__(self, check: str, holds: str, unit: str, tolerance: float = 0.0) -> None:
        """`unit` of differences; those above `tolerance` are wrong."""
        self.finding = Finding(check, holds)
        self._unit = unit
        self._tolerance = tolerance
        self._largest: float | None = None

    def add(self, source: str, what: str, stored: Any, expected: Any) -> None:
        """Compare a trajectory's numbers; None is no number at all, and equal to nothing but None."""
        if stored is None or expected is None:
            difference = 0.0 if stored is expected else np.inf
        else:
            difference = _largest_difference(np.array(stored, np.float64), np.asarray(expected, np.float64))
        self._largest = max(difference, self._largest or 0.0)
        self.finding.measured = f"largest difference {self._largest:.3g} {self._unit}"
        if not difference <= self._tolerance:
            amount = f"differs by {difference:.3g} {self._unit}" if np.isfinite(difference) else "is another"
            self.finding.note(f"{source}: {what} {amount}")


class Pictures:
    """How like their source frames clips are.

    Two findings: a PSNR, which tells a clip of wrong size, colours or content; and which source frame each frame of a
    clip resembles most, which tells one that is out of its place.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        """`settings` of the dataset: the more x264 may lose, the less alike pictures need to be."""
        crf = settings["crf"] if settings["use_video"] else _JPEG_AS_CRF
        # Measured on real episodes, the worst frame has 37.8 dB at crf 18, 35.5 at 23, 26.5 at 40 and 21.4 at 51. Half
        # of all frames have less than 31.4 beside the most similar one of the clip's other frames.
        self._least_psnr = 37 - 0.4 * crf
        # The noise of compression makes a neighbour more alike by up to 0.4 dB at crf 23, 1.7 at 40 and 4.2 at 51.
        self._least_margin = max(2.0, crf / 8)
        self.alike = Finding(
            "source_pictures", f"Each frame of a clip looks like its source, by {self._least_psnr:.1f} dB"
        )
        self.in_place = Finding("source_order", "No frame of a clip is more like another source frame than its own")
        self._psnr: list[float] = []
        self._worst = ""
        self._furthest = 0

    def add(self, source: str, indices: list[int], video: SourceVideo) -> None:
        """Take in a trajectory whose clip should show source frames `indices`."""
        worst = int(np.argmin(video.psnr))
        if video.psnr[worst] < min(self._psnr, default=np.inf):
            self._worst = f"{video.psnr[worst]:.1f} dB (frame {worst} of {source})"
        self._psnr += video.psnr
        self.alike.measured = f"PSNR {np.mean(self._psnr):.1f} dB on average, worst {self._worst}"
        if video.psnr[worst] < self._least_psnr:
            self.alike.note(f"{source}: frame {worst} has a PSNR of {video.psnr[worst]:.1f} dB")
        misplaced = [
            (number, index, best)
            for number, (index, (best, margin)) in enumerate(zip(indices, video.resembles, strict=True))
            if margin > self._least_margin
        ]
        self._furthest = max(self._furthest, *(abs(best - index) for _, index, best in misplaced), 0)
        self.in_place.measured = f"largest distance {self._furthest} frames"
        if misplaced:
            number, index, best = misplaced[0]
            more = f", and {len(misplaced) - 1} more" if len(misplaced) > 1 else ""
            self.in_place.note(f"{source}: frame {number} shows source frame {best}, not {index}{more}")


class Comparison:
    """All quantities, over the trajectories compared so far."""

    def __init__(self, dataset: FinishedDataset, files: SourceFiles) -> None:
        self._files = files
        self._settings: dict[str, Any] = dataset.description["settings"]
        self._is_lerobot = dataset.description.get("format") == "lerobot"
        self._action_names: list[str] = dataset.description["action_names"]
        self._hand_joints: list[str] = dataset.description["hand_joints"]
        self.num_compared = 0
        self.read = Finding("source_read", "Every episode's files are there, and can be decoded and read")
        self._texts = Quantity("source_texts", "Task, descriptions and annotations are the source's", "texts")
        self._indices = Quantity("source_frames", "Frames are counted and chosen as the rule says", "frames")
        self._times = Quantity("source_times", "Time stamps and seconds left are the video's", "s", _SAME_TIME)
        self._rates = Quantity("source_rates", "Frame rates are the video's", "frames a second", _SAME_TIME)
        self._is_mecka = self._settings.get("keys") == "mecka"
        same = _SAME_POSE if self._is_mecka else 0.0
        self._positions = Quantity(
            "source_positions", "Actions, camera and hands are where the source has them", "m", same
        )
        self._rotations = Quantity(
            "source_rotations", "Camera and wrists are turned as in the source", "(of -1 to 1)", same
        )
        self._confidences = Quantity("source_confidences", "Confidences are the source's", "(of 0 to 1)")
        self._intrinsics = Quantity(
            "source_intrinsics", "Intrinsics are the source's, resized as the picture", "pixels", _SAME_PIXEL
        )
        self._pictures = Pictures(self._settings)

    @property
    def findings(self) -> list[Finding]:
        """One for each quantity that was compared."""
        quantities = (
            self._texts,
            self._indices,
            self._times,
            self._rates,
            self._positions,
            self._rotations,
            self._confidences,
            self._intrinsics,
        )
        findings = [*(quantity.finding for quantity in quantities), self._pictures.alike, self._pictures.in_place]
        return [self.read, *(finding for finding in findings if finding.measured)]

    def add(self, trajectory: StoredTrajectory) -> None:
        """Compare one trajectory. What cannot be read is noted, and costs neither the rest of it nor another."""
        video = None
        with self._noting_errors(trajectory), self._open(trajectory, "mp4") as file:
            indices = trajectory.row["frame_indices"]
            video = compare_pictures(file, trajectory.clip_contents(), indices, self._settings)
            self._pictures.add(trajectory.source, indices, video)
        with self._noting_errors(trajectory), self._open(trajectory, "hdf5") as file, h5py.File(file, "r") as hdf5:
            self._compare_texts(trajectory, hdf5)
            if video is not None:
                self._compare_frames(trajectory, video, len(hdf5["transforms/camera"]))
                self._compare_intrinsics(trajectory, video, hdf5)
            self._compare_poses(trajectory, hdf5)
        self.num_compared += 1

    def _open(self, trajectory: StoredTrajectory, ending: str) -> AbstractContextManager[BinaryIO]:
        return self._files.open(trajectory.source, trajectory.row["part"], ending)

    @contextmanager
    def _noting_errors(self, trajectory: StoredTrajectory) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a damaged file may cause
            self.read.note(f"{trajectory.source}: {describe(error)}")

    def _compare_poses(self, trajectory: StoredTrajectory, hdf5: h5py.File) -> None:
        row, source = trajectory.row, trajectory.source
        rows = row["frame_indices"]

        @cache
        def pose(name: str) -> Array:
            stored: Array = hdf5[f"transforms/{name}"][rows].astype(np.float32).astype(np.float64)
            return stored

        self._compare_actions(trajectory, hdf5, pose)
        camera = np.array(row["camera_to_world"], np.float64)
        self._positions.add(source, "camera_to_world", camera[:, :3, 3], pose("camera")[:, :3, 3])
        self._rotations.add(source, "camera_to_world", np.delete(camera, 3, 2), np.delete(pose("camera"), 3, 2))
        for side in ("left", "right"):
            if f"{side}_hand" not in row:
                continue
            joints = np.stack([pose(f"{side}{joint}")[:, :3, 3] for joint in self._hand_joints], axis=1)
            if self._is_mecka:
                joints[:, [joint.endswith("Metacarpal") for joint in self._hand_joints]] = np.nan
            self._positions.add(source, f"{side}_hand", row[f"{side}_hand"], joints)
            wrist = f"{side}_wrist_rotation"
            if wrist not in row:
                continue
            self._rotations.add(source, wrist, row[wrist], pose(f"{side}Hand")[:, :3, :3])
        confidences = None
        if "confidences" in hdf5:
            unknown = np.full(len(rows), np.nan)
            stored = (hdf5.get(f"confidences/{name}") for name in _CONFIDENCES)
            columns_of = [unknown if each is None else each[rows].astype(np.float32) for each in stored]
            confidences = np.stack(columns_of, axis=1)
        self._confidences.add(source, "confidences", row["confidences"], confidences)

    def _compare_actions(self, trajectory: StoredTrajectory, hdf5: h5py.File, pose: Callable[[str], Array]) -> None:
        """Those columns that are an entry of a stored pose; what is computed of several poses is not compared."""
        actions = np.array(trajectory.row["actions"], np.float64)
        places: dict[int, Array] = {}
        turns: dict[int, Array] = {}
        for column, name in enumerate(self._action_names):
            joint, _, entry = name.rpartition("_")
            if f"transforms/{joint}" not in hdf5:
                continue
            if entry in ("x", "y", "z"):
                places[column] = pose(joint)[:, "xyz".index(entry), 3]
            elif re.fullmatch("r[012][012]", entry):
                row, axis = int(entry[1]), int(entry[2])
                is_turned = self._settings.get("wrist_axes") == "canonical" and joint == "rightHand" and axis != 1
                turns[column] = pose(joint)[:, row, axis] * (-1 if is_turned else 1)
        for quantity, expected in ((self._positions, places), (self._rotations, turns)):
            if expected:
                stored = np.stack(list(expected.values()), axis=1)
                quantity.add(trajectory.source, "actions", actions[:, list(expected)], stored)

    def _compare_texts(self, trajectory: StoredTrajectory, hdf5: h5py.File) -> None:
        expected: dict[str, Any] = {column: _text(hdf5, attribute) for column, attribute in _TEXTS.items()}
        which = _text(hdf5, "which_llm_description")
        which = which if which in ("1", "2") else None
        expected |= {
            "task": expected["llm_description2" if which == "2" else "llm_description"],
            "task_certain": which is not None or expected["llm_type"] != "reversible",
            "task_name": trajectory.source.split("/")[-2],
            "llm_verbs": _words(hdf5, "llm_verbs"),
            "llm_objects": _words(hdf5, "llm_objects"),
            "which_llm_description": which and int(which),
            "annotator_version": _number(hdf5, "annotator_version"),
        }
        row = trajectory.row
        # Those of an older schema are not there; another check tells whether any is missing.
        differing = [name for name, value in expected.items() if name in row and row[name] != value]
        self._texts.add(trajectory.source, ", ".join(differing), len(differing), 0)

    def _compare_frames(self, trajectory: StoredTrajectory, video: SourceVideo, num_poses: int) -> None:
        row, source = trajectory.row, trajectory.source
        times = video.times[: min(len(video.times), num_poses)]
        self._indices.add(source, "source_num_frames", row["source_num_frames"], len(times))
        most = self._settings["max_frames"]
        # A LeRobot dataset has frames at the rate that it plays at; RFM's plays those that it has at any rate.
        step = round(video.fps / self._settings["fps"]) if self._is_lerobot else 1
        chosen = np.arange(0, len(times), max(step, 1))
        if most != -1:
            chosen = np.unique(np.linspace(0, len(times) - 1, most, dtype=int))
        self._indices.add(source, "frame_indices", row["frame_indices"], chosen)
        self._rates.add(source, "source_fps", row["source_fps"], video.fps)
        if len(row["frame_indices"]) == len(chosen):
            self._times.add(source, "timestamps", row["timestamps"], times[chosen])
            if "source_seconds_left" in row:
                left = None if np.isnan(times).any() else times[-1] - times[chosen]
                self._times.add(source, "source_seconds_left", row["source_seconds_left"], left)

    def _compare_intrinsics(self, trajectory: StoredTrajectory, video: SourceVideo, hdf5: h5py.File) -> None:
        stored = hdf5.get("camera/intrinsic")
        if stored is not None and stored.shape == (3, 3):
            matrix = stored[:].astype(np.float64)
        else:
            matrix = np.diag([*np.divide(video.size, _INTRINSICS_SIZE), 1]) @ _INTRINSICS
        (x, y, *source), (left, top, *shown) = placement(self._settings, video.size, video.clip_size)
        scale_x, scale_y = np.divide(shown, source)
        to_clip = np.array([[scale_x, 0, left - x * scale_x], [0, scale_y, top - y * scale_y], [0, 0, 1]])
        self._intrinsics.add(trajectory.source, "intrinsics", trajectory.row["intrinsics"], to_clip @ matrix)


def compare(dataset: FinishedDataset, files: SourceFiles, sample_size: int | None) -> list[Finding]:
    """Compare evenly spaced trajectories with their source files.

    Args:
        dataset: whose trajectories to compare.
        files: of a part. Trajectories of other parts are left out, and counted.
        sample_size: how many trajectories; None: all.

    Returns:
        A finding for each quantity, with its largest difference.
    """
    finding = Finding("source_read", "Every episode's files are there, and can be decoded and read")
    try:
        comparison = Comparison(dataset, files)
        numbers = [number for number, key in enumerate(dataset.column("source")) if files.has_part(key)]
        chosen = numbers
        if sample_size is not None:
            chosen = sorted({numbers[place * len(numbers) // sample_size] for place in range(sample_size) if numbers})
        trajectories = dataset.trajectories(chosen)
        for trajectory in progress(trajectories, "Comparing with the source", total=len(chosen), unit="trajectory"):
            comparison.add(trajectory)
    except Exception as error:  # the tables cannot be read: nobody knows whether anything agrees
        finding.note(describe(error))
        return [finding]
    comparison.read.measured = f"{comparison.num_compared:,} of {len(numbers):,} trajectories compared"
    if len(numbers) < len(dataset):
        comparison.read.measured += f", {len(dataset) - len(numbers):,} of other parts left out"
    if not numbers:
        comparison.read.note(f"{files.path}: no trajectory comes from this part")
    return comparison.findings


def _largest_difference(stored: Array, expected: Array) -> float:
    """Infinite where shapes differ, or only one of two numbers is known; unknown numbers are NaN."""
    if stored.shape != expected.shape or (np.isnan(stored) != np.isnan(expected)).any():
        return np.inf
    return float(np.nanmax(np.abs(stored - expected), initial=0.0))


def _attribute(hdf5: h5py.File, name: str) -> list[Any]:
    """An attribute's elements, bytes as text."""
    value = hdf5.attrs.get(name)
    if value is None or isinstance(value, h5py.Empty):
        return []
    return [each.decode() if isinstance(each, bytes) else each for each in np.ravel(value).tolist()]


def _words(hdf5: h5py.File, name: str) -> list[str]:
    return [str(word) for word in _attribute(hdf5, name)]


def _text(hdf5: h5py.File, name: str) -> str | None:
    return "".join(_words(hdf5, name)).strip() or None


def _number(hdf5: h5py.File, name: str) -> float | None:
    numbers = [float(number) for number in _attribute(hdf5, name)]
    return numbers[0] if numbers and not np.isnan(numbers[0]) else None
