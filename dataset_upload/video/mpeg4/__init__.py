"""A decoder for MPEG-4 Part 2 Simple Profile (ISO/IEC 14496-2) that gives sample by sample what FFmpeg gives.

docs/decoder.md tells how it is built, and why. In short, from the outside in: `group_decoder` takes packets; `headers`
says which streams and pictures it takes; `vop` goes through a picture's macroblocks, whose `macroblock_headers`,
`coefficients` and `vectors` it reads and whose `prediction`s it undoes; `work_lists` keeps what is to be done to a row
of them until `motion` and `transform` do it, in the memory of `frames`.

What keeps every address inside its array, though no access is tested: the position in the packet is compared with its
end before each macroblock, which reads less than 1,500 bytes, and 2,048 zeros lie behind the packet. Table lookups are
by a fixed number of bits. A coefficient's number is compared with 63. Lists have room for a whole row of macroblocks.
Blocks that reach beyond the reference are put together from clamped coordinates. All else follows from row and column
alone. In checked mode (see `kernels`) every access is verified.
"""

import platform

# FFmpeg's own kernels for x86 treat sums that no sound stream reaches otherwise than its C code, and are what is
# followed there. Elsewhere its C code is: kernels for other processors, like that for ARM's NEON, round otherwise.
FOLLOWS_X86_KERNELS = platform.machine().lower() in ("x86_64", "amd64")

# What FFmpeg must be told to decode, on whatever processor, the frames that this decoder gives.
FFMPEG_OPTIONS = {} if FOLLOWS_X86_KERNELS else {"idct": "simple"}
