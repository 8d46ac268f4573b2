"""The names of ARKit's 68 joints, in the order in which trajectories have them."""

from __future__ import annotations

from typing import Literal

Side = Literal["left", "right"]
SIDES: tuple[Side, Side] = ("left", "right")
FINGERS = ("Thumb", "IndexFinger", "MiddleFinger", "RingFinger", "LittleFinger")

# The 25 tracked points of a hand, without their side: the wrist, then each finger from the palm outwards. ARKit tracks
# no thumb metacarpal.
HAND_JOINTS = (
    "Hand",
    *(f"Thumb{part}" for part in ("Knuckle", "IntermediateBase", "IntermediateTip", "Tip")),
    *(
        f"{finger}{part}"
        for finger in FINGERS[1:]
        for part in ("Metacarpal", "Knuckle", "IntermediateBase", "IntermediateTip", "Tip")
    ),
)
FINGERTIPS = tuple(f"{finger}Tip" for finger in FINGERS)


def of_hand(side: Side, joints: tuple[str, ...] = HAND_JOINTS) -> tuple[str, ...]:
    """The names of one hand's joints, all 25 by default, in the order given."""
    return tuple(f"{side}{joint}" for joint in joints)


# Trunk, then each arm and its hand.
SKELETON = (
    "hip",
    *(f"spine{number}" for number in range(1, 8)),
    *(f"neck{number}" for number in range(1, 5)),
    *(name for side in SIDES for name in of_hand(side, ("Shoulder", "Arm", "Forearm", *HAND_JOINTS))),
)
