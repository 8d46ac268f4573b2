"""How a hand is drawn: which joints are joined, in which colours."""

from __future__ import annotations

# The joints of each finger from the wrist to the tip, as positions in the sidecar's 25 points.
FINGERS = (
    (0, 1, 2, 3, 4),
    (0, 5, 6, 7, 8, 9),
    (0, 10, 11, 12, 13, 14),
    (0, 15, 16, 17, 18, 19),
    (0, 20, 21, 22, 23, 24),
)
FINGERTIPS = tuple(finger[-1] for finger in FINGERS)

LEFT_RGB, RIGHT_RGB = (38, 166, 255), (255, 140, 26)  # told apart by the colour-blind as well, and from skin
