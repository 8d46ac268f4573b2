"""Episodes and trajectories: what loaders list and read, for whatever format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NotRequired, Protocol, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import Packet

    from dataset_upload.video.picture import Picture


class Episode(Protocol):
    """One episode as a loader lists it, before anything is opened; picklable."""

    @property
    def key(self) -> str:
        """Names the episode in every copy of the data: `<task>/<n>`."""

    @property
    def task_name(self) -> str:
        """Groups episodes of one task."""


class OpenVideo(Protocol):
    """A video that is being decoded."""

    width: int
    height: int

    def decode(self, indices: NDArray[np.int64]) -> Iterator[Picture]:
        """The pictures of these of the T frames, which must ascend. Raises EpisodeError where one is damaged."""

    def coded(self, count: int) -> Iterator[Packet[Any]]:
        """The first `count` frames as the file has them, neither decoded nor encoded, in the order of showing.

        Raises EpisodeError where what a file has are not frames one by one.
        """


class Frames(Protocol):
    """T lazy (H, W, 3) uint8 RGB frames; none is decoded before it is asked for.

    Attributes:
        shape: (T, H, W, 3).
        fps: frames a second.
        timestamps: (T,) seconds from the first frame; NaN where unknown.
    """

    @property
    def shape(self) -> tuple[int, int, int, int]: ...
    @property
    def fps(self) -> float: ...
    @property
    def timestamps(self) -> NDArray[np.float64]: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, index: int, /) -> NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice, /) -> Sequence[NDArray[np.uint8]]: ...
    def open(self) -> AbstractContextManager[OpenVideo]:
        """Open the video once for several frames. Raises EpisodeError."""


class HandPoses(TypedDict):
    """Both hands at every frame, in the world frame, metres.

    The loader's `About.hand_joints` names the J points of a hand, in order; the axes of a wrist are the source's.
    """

    left_hand: NDArray[np.float32]  # (T, J, 3)
    right_hand: NDArray[np.float32]  # (T, J, 3)
    left_wrist_rotation: NDArray[np.float32]  # (T, 3, 3), wrist axes to world
    right_wrist_rotation: NDArray[np.float32]  # (T, 3, 3), wrist axes to world


class Trajectory(TypedDict):
    """One episode: a video, and what belongs to each of its T frames.

    Row i of every (T, …) array belongs to frame i. Positions are metres in the recording's own world frame
    (for EgoDex ARKit's: y up, origin near the feet, another one in each episode). Beside these keys a trajectory has
    one for each column that its loader declares (`About.columns`).
    """

    frames: Frames
    actions: NDArray[np.float32]  # (T, D)
    action_names: tuple[str, ...]  # D names: leftHand_x, …
    task: str  # the description that applies
    task_name: str  # the task's folder
    id: str  # UUIDv5 of dataset name and episode key: the same on every machine
    is_robot: bool
    quality_label: str
    partial_success: float | None
    data_source: str
    source: str  # episode key: <task>/<n>
    part: str  # the root folder's name: test, part1, …
    is_drawn: bool  # not filmed: by make_mini_egodex, say
    note: str | None  # what had to be mended, in one line

    # Where the source has them:
    camera_to_world: NotRequired[NDArray[np.float32]]  # (T, 4, 4), camera axes: x right, y down, z forward
    intrinsics: NotRequired[NDArray[np.float32]]  # (3, 3) of the source frame, pixel origin at the top-left corner
    # (T, 4) in 0..1 of left hand, right hand, left and right index tip, NaN where unknown; None: the file has none.
    confidences: NotRequired[NDArray[np.float32] | None]
    hands: NotRequired[HandPoses]
    # (T, 2, J, 3, 3), axes of the joints of left and right hand to world; only if asked for
    joint_rotations: NotRequired[NDArray[np.float32]]
    skeleton: NotRequired[NDArray[np.float32]]  # (T, 68, 3) in the order of `arkit.SKELETON`; only if asked for


@dataclass(frozen=True)
class Tracking:
    """What can be known of one episode without its video: poses at all of its T frames, and texts.

    Positions are metres in the recording's own world frame. A hand's 25 joints are `arkit.HAND_JOINTS`, in that order;
    a wrist's axes are ARKit's: mirrored, fingers along +X on the left and along -X on the right.

    Attributes:
        fps: frames a second.
        frame_size: (width, height) of the frames, in which `intrinsics` has its pixels.
        intrinsics: (3, 3) camera matrix, pixel origin at the top-left corner.
        camera_to_world: (T, 4, 4), camera axes: x right, y down, z forward.
        hands: (2, T, 25, 3) of the left and the right hand.
        wrists: (2, T, 3, 3), wrist axes to world.
        confidences: (2, T, 25) in 0..1, NaN where unknown; None: the file has none.
        task: the description that applies; None: there is none that says something.
        columns: what else its annotation says, by the names of the columns that the loader declares.
        is_drawn: not filmed.
    """

    fps: float
    frame_size: tuple[float, float]
    intrinsics: NDArray[np.float32]
    camera_to_world: NDArray[np.float32]
    hands: NDArray[np.float32]
    wrists: NDArray[np.float32]
    confidences: NDArray[np.float32] | None
    task: str | None
    columns: Mapping[str, Any]
    is_drawn: bool = False
