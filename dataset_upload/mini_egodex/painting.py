"""The picture of a mini EgoDex: a table, the things on it, two hands at work, painted from far to near."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from dataset_upload.mini_egodex import body
from dataset_upload.mini_egodex.camera import Array, intrinsics, to_camera
from dataset_upload.mini_egodex.canvas import Bools, Canvas
from dataset_upload.mini_egodex.motion import Poses
from dataset_upload.mini_egodex.scenes import CORNERS, Rgb, Scene

if TYPE_CHECKING:
    import av

FINGERTIP_RGB: dict[str, Rgb] = {
    "Thumb": (226, 60, 52),
    "IndexFinger": (52, 190, 82),
    "MiddleFinger": (62, 110, 232),
    "RingFinger": (222, 176, 32),
    "LittleFinger": (200, 72, 206),
}
# By what the environment attribute calls it: what a sentence calls it, its colour.
TABLES: dict[str, tuple[str, Rgb]] = {
    "table:wood": ("wooden table", (190, 142, 84)),
    "table:metal": ("metal table", (164, 162, 156)),
    "tablecloth:green": ("green tablecloth", (96, 134, 96)),
}
BACKGROUNDS: dict[str, Rgb] = {"brown": (116, 74, 42), "white": (176, 168, 156), "blue": (46, 54, 92)}
SLEEVES: tuple[Rgb, ...] = ((182, 70, 44), (58, 60, 66), (92, 96, 70), (64, 84, 132))
SKINS: tuple[Rgb, ...] = ((206, 152, 118), (176, 120, 86), (120, 78, 54))

_WALL: Rgb = (192, 176, 150)
_TABLE_NEAR, _TABLE_FAR, _TABLE_HALF_WIDTH, _WALL_HEIGHT = -0.05, -1.05, 0.85, 1.2  # metres: z, z, x, y
_LIGHT = np.array([-0.35, 0.85, 0.4])  # where it comes from
_TIP, _RIM = 0.0062, 0.0016  # a fingertip disc's radius, the width of a hand's dark rim, in metres
_TIP_PIXELS = 2.5  # at least, so that tips show in small pictures
_NEAREST = 0.10  # metres: what is nearer to the camera is not painted

Layer = tuple[Array, Array, Array, Bools]  # what `Canvas.paint` takes


@dataclass(frozen=True)
class Look:
    """What a recording session looks like."""

    table: str  # a key of TABLES
    background: str  # a key of BACKGROUNDS
    sleeve: Rgb
    skin: Rgb


class Bone(NamedTuple):
    """A limb's piece: a capsule between two points on the way from one joint to the next."""

    start: str
    end: str
    between: tuple[float, float]  # 0 at the start joint, 1 at the end joint
    radii: tuple[float, float]  # metres, at its two ends
    rgb: Rgb
    group: str  # bones of a group are painted together, a hand's with one dark rim around them


def _bones(side: str, look: Look) -> list[Bone]:
    """The side's arm, palm and fingers."""
    elbow, wrist = f"{side}Forearm", f"{side}Hand"
    bones = [
        Bone(elbow, wrist, (0.5, 1.0), (0.034, 0.025), look.skin, f"{side} arm"),
        Bone(elbow, f"{side}Arm", (0.0, 1.0), (0.055, 0.060), look.sleeve, f"{side} arm"),
        Bone(elbow, wrist, (0.0, 0.72), (0.055, 0.040), look.sleeve, f"{side} arm"),
    ]
    for finger in body.FINGERS:
        knuckle, *beyond = [side + joint for joint in body.finger_joints(finger) if "Metacarpal" not in joint]
        thick = {"Thumb": 0.0106, "LittleFinger": 0.0072}.get(finger, 0.0085)
        bones.append(Bone(wrist, knuckle, (0.0, 1.0), (0.022, 0.015), look.skin, f"{side} palm"))
        for start, end in pairwise([knuckle, *beyond]):
            bones.append(Bone(start, end, (0.0, 1.0), (thick, 0.88 * thick), look.skin, f"{side} {finger}"))
    return bones


_LIMB_JOINTS = [side + joint for side in body.SIDES for joint in ("Arm", "Forearm", *body.HAND_JOINTS)]
_TIPS = [_LIMB_JOINTS.index(f"{side}{finger}Tip") for side in body.SIDES for finger in body.FINGERS]


class Painter:
    """Paints one scene in one session's look, frame by frame; the scene's origin is at `workplace` (3,)."""

    def __init__(self, scene: Scene, look: Look, workplace: Array, canvas: Canvas) -> None:
        self.canvas, self.look, self.workplace = canvas, look, workplace
        self.intrinsics = intrinsics((canvas.width, canvas.height))
        self._room, self._room_rgb = _room(look, workplace[1])

        solids = scene.solids
        corners, faces = [len(solid.corners) for solid in solids], [len(solid.faces) for solid in solids]
        first_corner, first_face = np.cumsum([0, *corners])[:-1], np.cumsum([0, *faces])[:-1]
        self._corners = np.concatenate([solid.corners for solid in solids])
        self._moves = np.repeat([solid.moves for solid in solids], corners)
        self._faces = np.concatenate([solid.faces + at for solid, at in zip(solids, first_corner, strict=True)])
        self._face_rgb = np.repeat(np.array([solid.rgb for solid in solids], np.float64), faces, axis=0)
        self._inside = np.repeat([solid.shown == "inside" for solid in solids], faces)
        self._ends = np.concatenate([first_face, first_face + 1])  # bottoms and tops: they throw the shadows

        bones = [bone for side in body.SIDES for bone in _bones(side, look)]
        between, whole = np.array([bone.between for bone in bones])[..., None], np.eye(len(_LIMB_JOINTS))
        starts = whole[[_LIMB_JOINTS.index(bone.start) for bone in bones], None]
        ends = whole[[_LIMB_JOINTS.index(bone.end) for bone in bones], None]
        self._bone_weights = (1 - between) * starts + between * ends  # (B, 2, J): joints to the bones' ends
        self._bone_radii = np.array([bone.radii for bone in bones])
        self._bone_rgb = np.array([bone.rgb for bone in bones], np.float64)
        self._bone_group = np.unique([bone.group for bone in bones], return_inverse=True)[1]
        self._rimmed = np.array([not bone.group.endswith("arm") for bone in bones])

    def paint(self, poses: Poses, i: int, number: int | None) -> av.VideoFrame:
        """Paint the `i`-th of these poses, with its frame number if any; always the same object."""
        camera = poses.transforms["camera"][i]
        joints = np.array([poses.transforms[name][i, :3, 3] for name in _LIMB_JOINTS])
        bones = self._bone_weights @ joints
        corners = self.workplace + self._corners
        carried = self._corners[self._moves] @ poses.piece_rotation[i].T + poses.piece_position[i]
        corners[self._moves] = carried

        layers = (
            _layer(self._flat(self._room, camera), self._room_rgb, 0.03, True),
            self._shadows(corners, bones, camera),
            self._solids(corners, camera),
            self._limbs(bones, camera),
            self._fingertips(joints, camera),
        )
        polygons, rgb, relief, tinted = (np.concatenate(each) for each in zip(*layers, strict=True))
        self.canvas.clear(_WALL)
        self.canvas.paint(polygons, rgb, relief, tinted)
        if number is not None:
            self.canvas.number(number)
        return self.canvas.frame

    def _flat(self, polygons: Array, camera: Array) -> Array:
        """Pixels (P, CORNERS, 2) of world polygons (P, CORNERS, 3)."""
        seen = to_camera(polygons, camera)
        return _pixels(seen[..., :2] / np.maximum(seen[..., 2:], _NEAREST), self.intrinsics)

    def _shadows(self, corners: Array, bones: Array, camera: Array) -> Layer:
        """What things and limbs throw on the table."""
        table_height, rgb = self.workplace[1], 0.8 * np.array(TABLES[self.look.table][1])
        fallen_bones = to_camera(_fallen(bones, table_height), camera)
        of_limbs = _capsules(fallen_bones, self._bone_radii, self.intrinsics)
        of_things = self._flat(_fallen(corners, table_height)[self._faces[self._ends]], camera)
        return _layer(np.concatenate([of_limbs, of_things]), rgb, 0.0, False)

    def _solids(self, corners: Array, camera: Array) -> Layer:
        """The things' lit faces: those turned to the camera, or away from it where the inside shows."""
        faces = corners[self._faces]
        normals = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 1])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        shown = (np.sum(normals * (camera[:3, 3] - faces[:, 0]), axis=1) > 0) != self._inside
        lit = 0.22 * (normals @ _LIGHT)
        rgb = self._face_rgb * np.where(self._inside, 0.62 - lit, 0.78 + lit)[:, None]
        return _layer(self._flat(faces[shown], camera), rgb[shown], 0.03, True)

    def _limbs(self, bones: Array, camera: Array) -> Layer:
        """Arms, palms and fingers, the farthest group first, the hands' with dark rims."""
        seen, group, rimmed = to_camera(bones, camera), self._bone_group, self._rimmed
        depth = (np.bincount(group, seen[..., 2].mean(axis=1)) / np.bincount(group))[group]
        rims = _capsules(seen[rimmed], self._bone_radii[rimmed] + _RIM, self.intrinsics)
        limbs = _capsules(seen, self._bone_radii, self.intrinsics)
        is_limb = np.arange(len(rims) + len(limbs)) >= len(rims)
        order = np.lexsort((is_limb, -np.concatenate([depth[rimmed], depth])))  # of one depth, rims first
        rgb = np.concatenate([0.55 * self._bone_rgb[rimmed], self._bone_rgb])
        relief = np.concatenate([np.zeros(len(rims)), np.where(rimmed, 0.16, 0.06)])
        return np.concatenate([rims, limbs])[order], rgb[order], relief[order], is_limb[order]

    def _fingertips(self, joints: Array, camera: Array) -> Layer:
        """Discs of the fingers' colours where their tips are tracked, over all else, the farthest first."""
        tips = to_camera(joints[_TIPS], camera)
        radii = np.maximum(_TIP, _TIP_PIXELS / self.intrinsics[1, 1] * tips[:, 2])
        discs = _capsules(np.stack([tips, tips], axis=1), np.stack([radii, radii], axis=1), self.intrinsics)
        order = np.argsort(-tips[:, 2])
        return _layer(discs[order], np.array([*FINGERTIP_RGB.values()] * 2)[order], 0.0, True)


def _layer(polygons: Array, rgb: npt.NDArray[np.number], relief: float, tinted: bool) -> Layer:
    """Polygons that have some of what `Canvas.paint` needs in common."""
    count, colours = len(polygons), np.broadcast_to(rgb.astype(np.float64), (len(polygons), 3))
    return polygons, colours, np.full(count, relief), np.full(count, tinted)


def _room(look: Look, table_height: float) -> tuple[Array, Array]:
    """World polygons (P, CORNERS, 3) of the cloth on the wall and the table, their colours (P, 3)."""
    cloth, table = np.array(BACKGROUNDS[look.background]), np.array(TABLES[look.table][1])
    near, far = _TABLE_NEAR, _TABLE_FAR

    def hanging(x0: float, x1: float) -> list[list[float]]:
        top, bottom = table_height + _WALL_HEIGHT, table_height
        return [[x0, bottom, far], [x1, bottom, far], [x1, top, far], [x0, top, far]]

    def lying(z0: float, z1: float) -> list[list[float]]:
        y, left, right = table_height, -_TABLE_HALF_WIDTH, _TABLE_HALF_WIDTH
        return [[left, y, z0], [right, y, z0], [right, y, z1], [left, y, z1]]

    parts = [(hanging(-0.62, 0.56), cloth)]
    parts += [(hanging(fold, fold + 0.03), 0.85 * cloth) for fold in (-0.45, -0.18, 0.12, 0.38)]
    parts += [(lying(near, far), table), (lying(far + 0.02, far), 0.7 * table)]
    parts += [(lying(line, line + 0.005), 0.88 * table) for line in np.arange(far + 0.14, near, 0.13)]
    quads = np.array([quad for quad, _ in parts])
    polygons = np.concatenate([quads, quads[:, -1:].repeat(CORNERS - 4, axis=1)], axis=1)
    return polygons, np.array([rgb for _, rgb in parts])


def _fallen(points: Array, table_height: float) -> Array:
    """Where the shadows of world points (..., 3) lie on the table."""
    shadows: Array = points - _LIGHT * ((points[..., 1:2] - table_height) / _LIGHT[1])
    return shadows


_ARC = np.linspace(-np.pi / 2, np.pi / 2, CORNERS // 2)


def _capsules(ends: Array, radii: Array, intrinsics: Array) -> Array:
    """Outlines (B, CORNERS, 2), in pixels, of limbs between two ends (B, 2, 3) in camera coordinates.

    `radii` (B, 2) are in metres. Only the second end may lie behind the camera: the limb is cut off there.
    """
    start, end = ends[:, 0], ends[:, 1]
    in_front = (start[:, 2:] - _NEAREST) / np.maximum(start[:, 2:] - end[:, 2:], 1e-9)
    end = start + np.clip(np.where(end[:, 2:] < _NEAREST, in_front, 1), 0, 1) * (end - start)
    depth = np.maximum(np.stack([start[:, 2], end[:, 2]], axis=1), _NEAREST)
    centres, radii = np.stack([start[:, :2], end[:, :2]], axis=1) / depth[..., None], radii / depth
    along = centres[:, 1] - centres[:, 0]
    facing = np.arctan2(along[:, 1], along[:, 0])[:, None] + np.array([np.pi, 0.0])
    angles = facing[..., None] + _ARC
    arcs = centres[:, :, None] + radii[..., None, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return _pixels(arcs.reshape(len(ends), CORNERS, 2), intrinsics)


def _pixels(flat: Array, intrinsics: Array) -> Array:
    """Pixels (..., 2) of points (..., 2) at depth one."""
    pixels: Array = flat * np.diag(intrinsics)[:2] + intrinsics[:2, 2]
    return pixels
