"""Everything that goes wrong in the real EgoDex, to be done to one finished episode's two files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROWS_LOST = 5  # by frame_mismatch
NUMBERS_SKIPPED = 3  # by number_gap


@dataclass(frozen=True)
class Irregularity:
    """What happens, in words; to episodes of which llm_type (None: any); what does it to (hdf5, mp4)."""

    what: str
    llm_type: str | None
    spoil: Callable[[Path, Path], None]


IRREGULARITIES: dict[str, Irregularity] = {}


def _irregularity(
    llm_type: str | None = None,
) -> Callable[[Callable[[Path, Path], None]], Callable[[Path, Path], None]]:
    """Register a function under its name, described by its docstring."""

    def register(spoil: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        IRREGULARITIES[spoil.__name__] = Irregularity(spoil.__doc__ or "", llm_type, spoil)
        return spoil

    return register


@contextmanager
def _edited(hdf5: Path) -> Iterator[Any]:
    """An HDF5 file, to be changed."""
    import h5py  # only now: --help names the irregularities and need not wait for it

    with h5py.File(hdf5, "r+") as file:
        yield file


@_irregularity()
def missing_confidences(hdf5: Path, mp4: Path) -> None:
    """the group confidences is absent"""
    with _edited(hdf5) as file:
        del file["confidences"]


@_irregularity("reversible")
def old_release(hdf5: Path, mp4: Path) -> None:
    """which_llm_description is absent, camera/intrinsic has the shape (0, 3)"""
    import numpy

    with _edited(hdf5) as file:
        del file.attrs["which_llm_description"], file["camera/intrinsic"]
        file.create_dataset("camera/intrinsic", (0, 3), numpy.float32, track_times=False)


@_irregularity()
def missing_mp4(hdf5: Path, mp4: Path) -> None:
    """there is no video"""
    mp4.unlink()


@_irregularity()
def missing_hdf5(hdf5: Path, mp4: Path) -> None:
    """there are no poses"""
    hdf5.unlink()


@_irregularity()
def truncated_mp4(hdf5: Path, mp4: Path) -> None:
    """the video's second half is cut off, its index with it"""
    os.truncate(mp4, mp4.stat().st_size // 2)


@_irregularity()
def truncated_hdf5(hdf5: Path, mp4: Path) -> None:
    """the HDF5's second half is cut off"""
    os.truncate(hdf5, hdf5.stat().st_size // 2)


@_irregularity()
def row0_repeated(hdf5: Path, mp4: Path) -> None:
    """row 0 equals row 1 for every joint, while the video's frames differ"""
    with _edited(hdf5) as file:
        for rows in file["transforms"].values():
            rows[0] = rows[min(1, len(rows) - 1)]


@_irregularity()
def frame_mismatch(hdf5: Path, mp4: Path) -> None:
    """the HDF5 lacks the last 5 of the video's frames"""
    with _edited(hdf5) as file:
        for group in (file["transforms"], file["confidences"]):
            for name in list(group):
                kept = group[name][:-ROWS_LOST]
                del group[name]
                group.create_dataset(name, data=kept, track_times=False)


@_irregularity()
def description_unavailable(hdf5: Path, mp4: Path) -> None:
    """the descriptions say 'description unavailable'"""
    with _edited(hdf5) as file:
        file.attrs["llm_description"] = file.attrs["llm_description2"] = "description unavailable"


@_irregularity()
def no_description(hdf5: Path, mp4: Path) -> None:
    """no description of any kind"""
    with _edited(hdf5) as file:
        for name in {"llm_description", "llm_description2", "which_llm_description", "description"} & set(file.attrs):
            del file.attrs[name]


@_irregularity("reset")
def description2_none(hdf5: Path, mp4: Path) -> None:
    """llm_description2 is the string 'None', as in every episode of the llm_type reset"""
    with _edited(hdf5) as file:
        file.attrs["llm_description2"] = "None"


@_irregularity("reversible")
def which_as_int(hdf5: Path, mp4: Path) -> None:
    """which_llm_description is an integer"""
    import numpy

    with _edited(hdf5) as file:
        file.attrs["which_llm_description"] = numpy.int64(file.attrs["which_llm_description"])


@_irregularity("reversible")
def which_as_bytes(hdf5: Path, mp4: Path) -> None:
    """which_llm_description is bytes"""
    import numpy

    with _edited(hdf5) as file:
        file.attrs["which_llm_description"] = numpy.bytes_(file.attrs["which_llm_description"])


@_irregularity()
def missing_joint(hdf5: Path, mp4: Path) -> None:
    """the tip of the right index finger is absent"""
    with _edited(hdf5) as file:
        del file["transforms/rightIndexFingerTip"], file["confidences/rightIndexFingerTip"]


@_irregularity()
def nan_poses(hdf5: Path, mp4: Path) -> None:
    """the left arm's and hand's transforms are NaN for a while in the middle"""
    import numpy

    with _edited(hdf5) as file:
        for name, rows in file["transforms"].items():
            if name.startswith("left"):
                rows[len(rows) // 3 : len(rows) // 2 + 1] = numpy.nan


@_irregularity()
def number_gap(hdf5: Path, mp4: Path) -> None:
    """3 numbers before this episode's are not used"""  # nothing to spoil: `make_mini_egodex` numbers it so


@_irregularity()
def macos_litter(hdf5: Path, mp4: Path) -> None:
    """macOS left ._N.hdf5, ._N.mp4 and .DS_Store files"""
    apple_double = bytes.fromhex("0005160700020000") + b"Mac OS X".ljust(155)
    for path in (hdf5, mp4):
        path.with_name(f"._{path.name}").write_bytes(apple_double)
    for folder in (hdf5.parent, hdf5.parent.parent):
        (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1".ljust(6148, b"\0"))
