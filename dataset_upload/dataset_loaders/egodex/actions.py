"""Which of EgoDex's poses are actions, under which names."""

from __future__ import annotations

from collections.abc import Collection

# The parts an action can have, in the order in which their columns always stand.
ACTION_PARTS: dict[str, tuple[str, ...]] = {
    "hands": ("leftHand", "rightHand"),
    "fingertips": ("leftIndexFingerTip", "rightIndexFingerTip"),
    "camera": ("camera",),
}

CONFIDENCE_JOINTS = ("leftHand", "rightHand", "leftIndexFingerTip", "rightIndexFingerTip")

# The 25 tracked points of a hand, without their side: the wrist, then each finger from the palm outwards. ARKit tracks
# no thumb metacarpal.
HAND_JOINTS = (
    "Hand",
    *(f"Thumb{part}" for part in ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")),
    *(
        f"{finger}Finger{part}"
        for finger in ("Index", "Middle", "Ring", "Little")
        for part in ("Metacarpal", "Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
    ),
)


def action_poses(parts: Collection[str]) -> tuple[str, ...]:
    """The poses whose positions make up an action of these parts, in column order."""
    return tuple(pose for part, poses in ACTION_PARTS.items() if part in parts for pose in poses)


def action_names(parts: Collection[str]) -> tuple[str, ...]:
    """The names of the action columns, three a pose: `leftHand_x`, `leftHand_y`, `leftHand_z`, …"""
    return tuple(f"{pose}_{axis}" for pose in action_poses(parts) for axis in "xyz")


def hand_poses(side: str) -> tuple[str, ...]:
    """The names of one hand's 25 poses, in the order of `HAND_JOINTS`; `side` is "left" or "right"."""
    return tuple(f"{side}{joint}" for joint in HAND_JOINTS)
