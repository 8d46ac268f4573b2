"""Which of EgoDex's 68 tracked points are read."""

from __future__ import annotations

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


def hand_poses(side: str) -> tuple[str, ...]:
    """The names of one hand's 25 poses, in the order of `HAND_JOINTS`; `side` is "left" or "right"."""
    return tuple(f"{side}{joint}" for joint in HAND_JOINTS)
