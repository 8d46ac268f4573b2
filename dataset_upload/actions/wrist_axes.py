"""Which way the axes of a wrist point."""

from __future__ import annotations

from typing import Literal

WristAxes = Literal["arkit", "canonical"]

WRIST_AXES: dict[WristAxes, str] = {
    "arkit": "as ARKit has them, mirrored: left fingers along +X, little finger to index along -Z, +Y out of the palm; "
    "right fingers along -X, little finger to index along +Z, +Y out of the back of the hand",
    "canonical": "fingers along +X, little finger to index along -Z on both hands (right R diag(-1, 1, -1), left as "
    "ARKit has it); +Y out of the left palm, out of the back of the right hand",
}
