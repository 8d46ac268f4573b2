"""Pictures of a group, one packet after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_upload.video.kernels import first_call
from dataset_upload.video.mpeg4 import vop as pictures
from dataset_upload.video.mpeg4.frames import make_buffer, make_layout, make_workspace, picture_in
from dataset_upload.video.mpeg4.headers import PictureHeader, RefusedPacket, StreamHeader, read_picture_header
from dataset_upload.video.mpeg4.vop import Vop
from dataset_upload.video.picture import Picture

PADDING = 2048  # bytes of zeros behind a packet: more than a macroblock can read beyond the last bit


class GroupDecoder:
    """Decodes I- and P-pictures of one stream.

    It holds two pictures, of which the last one is the next one's reference; a row of macroblocks' coefficients and
    work lists; and a picture's DC and AC predictions.
    """

    def __init__(self, stream: StreamHeader) -> None:
        self._stream = stream
        self._layout = make_layout(stream.width, stream.height)
        self._work = make_workspace(self._layout)
        self._buffers = [make_buffer(self._layout) for _ in range(2)]
        self._pictures = [picture_in(buffer, self._layout) for buffer in self._buffers]
        self._packet = np.zeros(0, np.uint8)
        self._latest: int | None = None
        self._keeps_levels = 0

    @classmethod
    def compile(cls) -> bool:
        """Have the machine code made, or read from the cache, as the first picture would; whether it was made now."""
        decoder = cls(StreamHeader(b"", 16, 16, time_bits=1, has_markers=False))
        vop = decoder._vop(PictureHeader(0, False, 0, 0, 1, 1), 0)
        arguments = decoder._padded(b""), vop, decoder._layout, *decoder._buffers, decoder._work, 0
        return first_call(pictures.decode_vop, *arguments)

    def start_group(self) -> None:
        """Forget the last picture: the next packet must be a keyframe's."""
        self._latest = None

    def decode(self, packet: bytes) -> Picture:
        """The packet's picture, valid until the next but one is decoded.

        Raises:
            OtherStream: its headers are none that this decoder knows.
            RefusedPacket: FFmpeg must look at it; so must it at the group's other packets.
        """
        header = read_picture_header(packet, self._stream)
        if header.is_inter and self._latest is None:
            raise RefusedPacket("a group begins with a P-picture")
        reference = self._latest or 0
        target = 1 - reference
        data = self._padded(packet)
        vop = self._vop(header, 8 * len(packet))
        buffers = self._buffers[target], self._buffers[reference]
        outcome = pictures.decode_vop(data, vop, self._layout, *buffers, self._work, self._keeps_levels)
        if outcome == pictures.WANTS_LEVELS:
            self._work.coefficients[:] = 0
            self._keeps_levels = 1
            outcome = pictures.decode_vop(data, vop, self._layout, *buffers, self._work, self._keeps_levels)
        if outcome != pictures.DONE:
            self._work.coefficients[:] = 0
            self._latest = None
            raise RefusedPacket("its bits make no sense, or do not end where the packet does")
        self._latest = target
        return self._pictures[target]

    def _padded(self, packet: bytes) -> NDArray[np.uint8]:
        size = len(packet)
        if len(self._packet) < size + PADDING:
            self._packet = np.zeros(2 * (size + PADDING), np.uint8)
        self._packet[:size] = np.frombuffer(packet, np.uint8)
        self._packet[size : size + PADDING] = 0
        return self._packet

    def _vop(self, header: PictureHeader, end: int) -> Vop:
        marker_zeros = 0
        if self._stream.has_markers:
            marker_zeros = 15 + header.fcode if header.is_inter else 16
        return Vop(
            header.first_bit,
            end,
            int(header.is_inter),
            header.rounds_down,
            header.dc_threshold,
            header.quantiser,
            header.fcode,
            marker_zeros,
            max(1, (self._layout.columns * self._layout.rows - 1).bit_length()),
            self._stream.time_bits,
        )
