"""Video: which frames to take, how to decode them, resize them, encode them."""

from typing import Literal

ResizeMode = Literal["stretch", "center_crop", "pad"]
VideoCodec = Literal["h264", "av1"]
DecodeScale = Literal["exact", "auto", "fast"]
