"""One trajectory as a Rerun recording: camera, frames, hands, task, curves, on a time line in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb

from dataset_upload.quality.clip import speeds
from dataset_upload.storage.whole_file import replacing
from dataset_upload.stored_trajectory import SIDES, ShownTrajectory, has_camera, has_hands
from dataset_upload.visualization.skeleton import FINGERS, LEFT_RGB, RIGHT_RGB

TIMELINE = "time"
_JPEG_QUALITY = 85
_JOINT_RADIUS = 0.005  # metres
_PATH_RGB = (150, 150, 150)


def write_rerun(trajectory: ShownTrajectory, path: Path) -> None:
    """Write an .rrd file, whole or not at all.

    Its entities: `world/camera` (pose) with `world/camera/image` (pinhole, frames), `world/head_path` (where the camera
    goes, metres), `world/left_hand` and `world/right_hand` (25 points, metres, world frame) with their `bones`, `task`
    (all texts), and the scalars `speed/left`, `speed/right` (m/s), `confidence/left`, `confidence/right`. What a
    trajectory has not is left out; of one without camera the frames are `image`, of one without hands the action
    columns are `action/0`, `action/1`, …

    Raises:
        OSError: the clip is missing or damaged, or the file cannot be written.
        EpisodeError: a frame of the source cannot be decoded.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as temporary:
            _write(trajectory, temporary)
    except RuntimeError as error:  # how rerun says that it cannot write
        raise OSError(f"{path} cannot be written: {error}") from error


def _write(trajectory: ShownTrajectory, path: Path) -> None:
    recording = rr.RecordingStream("dataset_upload", recording_id=trajectory.id)
    with_hands, with_camera = has_hands(trajectory), has_camera(trajectory)
    image = "world/camera/image" if with_camera else "image"
    recording.send_blueprint(_layout(image, with_hands=with_hands, with_camera=with_camera))
    recording.save(path)
    recording.log("world", rr.ViewCoordinates.RIGHT_HAND_Y_UP, static=True)
    texts = "\n".join(f"- `{name}`: {text}" for name, text in trajectory.texts.items())
    task = f"# {trajectory.task}\n\n{trajectory.source}\n\n{texts}".rstrip()
    recording.log("task", rr.TextDocument(task, media_type=rr.MediaType.MARKDOWN), static=True)
    for side, rgb in zip(SIDES, (LEFT_RGB, RIGHT_RGB), strict=True) if with_hands else ():
        for curve in ("speed", "confidence"):
            recording.log(f"{curve}/{side}", rr.SeriesLines(colors=[rgb], names=[f"{side} hand"]), static=True)

    if with_camera:
        head_path = trajectory.camera_to_world[:, :3, 3]
        recording.log("world/head_path", rr.LineStrips3D([head_path], colors=_PATH_RGB), static=True)
    pace = np.pad(speeds(trajectory), ((0, 0), (1, 0)), constant_values=np.nan)  # nothing leads to the first frame
    actions = trajectory.actions
    for number, frame in enumerate(trajectory.frames()):
        recording.set_time(TIMELINE, duration=float(trajectory.times[number]))
        if number == 0 and with_camera:
            height, width = frame.shape[:2]
            pinhole = rr.Pinhole(
                image_from_camera=trajectory.intrinsics, resolution=[width, height], camera_xyz=rr.ViewCoordinates.RDF
            )
            recording.log(image, pinhole, static=True)
        if with_camera:
            pose = trajectory.camera_to_world[number]
            recording.log("world/camera", rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))
        recording.log(image, rr.Image(frame).compress(jpeg_quality=_JPEG_QUALITY))
        if not with_hands:
            for column, value in enumerate(actions[number]):
                _log_scalar(recording, f"action/{column}", value)
            continue
        for hand, (side, rgb) in enumerate(zip(SIDES, (LEFT_RGB, RIGHT_RGB), strict=True)):
            joints = trajectory.hands[hand, number]
            recording.log(f"world/{side}_hand", rr.Points3D(joints, colors=rgb, radii=_JOINT_RADIUS))
            bones = [joints[list(finger)] for finger in FINGERS]
            recording.log(f"world/{side}_hand/bones", rr.LineStrips3D(bones, colors=rgb))
            _log_scalar(recording, f"speed/{side}", pace[hand, number])
            _log_scalar(recording, f"confidence/{side}", trajectory.confidences[hand, number])
    recording.flush()
    recording.disconnect()


def _layout(image: str, *, with_hands: bool, with_camera: bool) -> rrb.Blueprint:
    """Scene on the left; on the right the picture with the hands in it, the task, and the curves."""
    picture = rrb.Spatial2DView(origin=image, contents="world/**" if with_camera else f"{image}/**")
    curves = [rrb.TimeSeriesView(origin="action", name="actions")]
    if with_hands:
        curves = [
            rrb.TimeSeriesView(origin="speed", name="speed, m/s"),
            rrb.TimeSeriesView(origin="confidence", name="confidence"),
        ]
    views = [picture, rrb.TextDocumentView(origin="task"), *curves]
    scene = [rrb.Spatial3DView(origin="world")] if with_hands or with_camera else []
    return rrb.Blueprint(
        rrb.Horizontal(*scene, rrb.Vertical(*views, row_shares=[4, 1, 2, 2][: len(views)])),
        rrb.TimePanel(timeline=TIMELINE),
        collapse_panels=True,
    )


def _log_scalar(recording: rr.RecordingStream, entity: str, value: float) -> None:
    if np.isfinite(value):
        recording.log(entity, rr.Scalars(float(value)))
