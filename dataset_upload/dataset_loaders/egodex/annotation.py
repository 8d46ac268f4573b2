"""What an EgoDex HDF5 file says: attributes, camera, poses, confidences.

The files come from the internet, so nothing is read before it is known to be of a sensible kind and size.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from dataset_upload.errors import EpisodeError, Reason

# What every file with an intrinsics matrix says; older copies of the dataset carry an empty one. For 1920x1080.
DEFAULT_INTRINSICS = np.array([[736.6339, 0, 960], [0, 736.6339, 540], [0, 0, 1]], dtype=np.float32)
DEFAULT_INTRINSICS_SIZE = (1920, 1080)

DRAWN_BY = "drawn_by"  # the attribute that tells a drawn episode from a filmed one: the program that drew it

# An EgoDex file takes 4.7 kB a frame, a pose POSE_BYTES of these. Its longest attribute has some hundred bytes.
POSE_BYTES = 64
_MAX_FILE_BYTES, _MAX_FILE_BYTES_PER_FRAME = 64 * 2**20, 16 * 2**10
_MAX_READ_BYTES, _MAX_READ_BYTES_PER_FRAME = 2**17, 128  # at once, as HDF5 reads a text, a pose or a chunk of it
_MAX_ATTRIBUTE_BYTES = 2**17
_MAX_TEXTS = 64  # in an attribute; all can lie in one place, each as long as the longest read
_MAX_CHUNK_BYTES, _MAX_CHUNKS = 64 * 2**20, 4096
_KEEP_SIZE = {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}  # each other filter can make a thousand bytes of one


class _Dataset(NamedTuple):
    """An array of floating-point numbers that lies in this file."""

    handle: Any
    shape: tuple[int, ...]
    offset: int | None  # of its first byte in the file, where it is one block of float32 as they are in memory
    chunk: tuple[int, ...] | None  # shape of a chunk, where it is stored in such


class Annotation:
    """An open HDF5 file; `name` is what error messages call it."""

    def __init__(self, hdf5: h5py.File, file: _BoundedFile, name: str) -> None:
        self._attributes = hdf5.attrs
        self._file = file
        self._name = name
        # By path. HDF5's own handles: h5py's objects around them would take longer than all the rest.
        self._objects: dict[str, h5py.h5g.GroupID | _Dataset | None] = {"": hdf5.id}

    def text(self, attribute: str) -> str | None:
        """A text attribute, stripped; None where it is absent or empty."""
        texts = self.texts(attribute)
        if len(texts) > 1:
            raise self._error(Reason.UNREADABLE_HDF5, f"attribute '{attribute}' is not one text but {len(texts)}")
        return (texts[0].strip() or None) if texts else None

    def texts(self, attribute: str) -> list[str]:
        """An attribute that is an array of text; empty where it is absent."""
        return [self._decode(value, attribute) for value in self._attribute(attribute)]

    def number(self, attribute: str) -> float | None:
        """A numeric attribute; None where it is absent, empty or NaN."""
        values = self._attribute(attribute)
        if not values:
            return None
        try:
            (number,) = map(float, values)
        except (TypeError, ValueError) as error:
            raise self._error(Reason.UNREADABLE_HDF5, f"attribute '{attribute}' is not one number") from error
        return None if math.isnan(number) else number

    def intrinsics(self, frame_size: tuple[int, int]) -> NDArray[np.float32]:
        """(3, 3) camera matrix in pixels of a frame of this (width, height).

        Raises:
            EpisodeError: the file has one, by which no point can be projected.
        """
        stored = self._dataset("camera/intrinsic")
        if stored is None or 0 in stored.shape:
            width, height = (size / full for size, full in zip(frame_size, DEFAULT_INTRINSICS_SIZE, strict=True))
            return np.diag([width, height, 1]).astype(np.float32) @ DEFAULT_INTRINSICS
        if stored.shape != (3, 3):
            raise self._error(Reason.UNUSABLE_INTRINSICS, f"'camera/intrinsic' has shape {stored.shape}")
        matrix = self._read("camera/intrinsic", 3)
        if not np.isfinite(matrix).all():
            raise self._error(Reason.UNUSABLE_INTRINSICS, "'camera/intrinsic' holds NaN or infinity")
        if np.linalg.matrix_rank(matrix) < 3:
            raise self._error(Reason.UNUSABLE_INTRINSICS, "'camera/intrinsic' is singular")
        return matrix

    def num_poses(self, names: Sequence[str]) -> int:
        """How many rows each of these poses has; reads none.

        Raises:
            EpisodeError: a pose is missing, is no (N, 4, 4) array of numbers, or has another length than the rest.
        """
        if self._object("transforms") is None:
            raise self._error(Reason.MISSING_TRANSFORMS, "no group 'transforms'")
        lengths = set()
        for name in names:
            dataset = self._dataset(f"transforms/{name}")
            if dataset is None:
                raise self._error(Reason.MISSING_JOINT, f"no pose 'transforms/{name}'")
            shape = dataset.shape
            if shape[1:] != (4, 4):
                raise self._error(Reason.UNREADABLE_HDF5, f"'transforms/{name}' has shape {shape}")
            lengths.add(shape[0])
        if len(lengths) > 1:
            raise self._error(Reason.FRAME_COUNT_MISMATCH, f"poses have {min(lengths)} to {max(lengths)} rows")
        (length,) = lengths
        if length == 0:
            raise self._error(Reason.EMPTY_POSES, "the poses have no rows")
        return int(length)

    def pose(self, name: str, num_frames: int) -> NDArray[np.float32]:
        """(num_frames, 4, 4) pose-to-world transforms, positions in metres; those of frames beyond are not read.

        Raises:
            EpisodeError: one holds a NaN, or was never written.
        """
        pose = self._read(f"transforms/{name}", num_frames)
        if not np.isfinite(pose).all():
            raise self._error(Reason.NAN_POSES, f"'transforms/{name}' holds NaN or infinity")
        return pose

    def confidences(self, names: Sequence[str], num_poses: int, num_frames: int) -> NDArray[np.float32] | None:
        """(num_frames, len(names)) tracking confidence in 0..1, NaN where unknown; None where the file has none.

        Args:
            num_poses: how many rows each must have, of which those beyond num_frames are not read.
        """
        if self._object("confidences") is None:
            return None
        confidences = np.full((num_frames, len(names)), np.nan, np.float32)
        for column, name in enumerate(names):
            dataset = self._dataset(f"confidences/{name}")
            if dataset is None:
                continue
            if dataset.shape != (num_poses,):
                shapes = f"'confidences/{name}' has shape {dataset.shape}, the poses have {num_poses} rows"
                raise self._error(Reason.FRAME_COUNT_MISMATCH, shapes)
            confidences[:, column] = self._read(f"confidences/{name}", num_frames)
        return confidences

    def _read(self, path: str, num_rows: int) -> NDArray[np.float32]:
        """The first rows of a dataset of numbers."""
        dataset = self._dataset(path)
        assert dataset is not None
        shape = (num_rows, *dataset.shape[1:])
        values = np.empty(shape, np.float32)
        if dataset.offset is not None:
            # As HDF5 would, in a fifth of the time.
            self._file.seek(dataset.offset)
            num_bytes: int = self._file.readinto(values.reshape(-1).view(np.uint8).data)
            if num_bytes < values.nbytes:
                raise self._error(Reason.UNREADABLE_HDF5, f"the file ends within '{path}'")
            return values
        self._check_written(dataset, shape, path)
        rows = dataset.handle.get_space()
        rows.select_hyperslab((0,) * len(shape), shape)
        dataset.handle.read(h5py.h5s.create_simple(shape), rows, values)
        return values

    def _check_written(self, dataset: _Dataset, shape: tuple[int, ...], path: str) -> None:
        """Raises EpisodeError where rows take no room in the file: HDF5 would make them up."""
        if dataset.chunk is None:
            is_written = dataset.handle.get_storage_size() > 0
        else:
            starts = [range(0, extent, size) for extent, size in zip(shape, dataset.chunk, strict=True)]
            if math.prod(map(len, starts)) > _MAX_CHUNKS:
                raise self._error(Reason.TOO_LARGE, f"'{path}' is stored in over {_MAX_CHUNKS} chunks")
            # One by one: counting them would follow an index that may lead in circles.
            is_written = all(_has_chunk(dataset.handle, start) for start in itertools.product(*starts))
        if not is_written:
            raise self._error(Reason.UNREADABLE_HDF5, f"'{path}' has rows that were never written")

    def _attribute(self, name: str) -> list[Any]:
        """An attribute's elements; none where it is absent or empty."""
        if name not in self._attributes:
            return []
        attribute = self._attributes.get_id(name)
        num_elements = attribute.get_space().get_simple_extent_npoints()
        if num_elements == 0:  # "Empty", or an array of no elements
            return []
        if num_elements > _MAX_TEXTS or attribute.get_storage_size() > _MAX_ATTRIBUTE_BYTES:
            limit = f"{_MAX_TEXTS} elements or {_MAX_ATTRIBUTE_BYTES} bytes"
            raise self._error(Reason.TOO_LARGE, f"attribute '{name}' has over {limit}")
        elements: list[Any] = np.asarray(self._attributes[name]).ravel().tolist()
        return elements

    def _decode(self, value: Any, attribute: str) -> str:
        if not isinstance(value, str | bytes | int):
            raise self._error(Reason.UNREADABLE_HDF5, f"attribute '{attribute}' is not text")
        try:
            text = value.decode() if isinstance(value, bytes) else str(value)
            text.encode()  # h5py passes bytes that are not UTF-8 on as lone surrogates
        except UnicodeError as error:
            raise self._error(Reason.UNREADABLE_HDF5, f"attribute '{attribute}' is not UTF-8 text") from error
        return text

    def _dataset(self, path: str) -> _Dataset | None:
        """A dataset of numbers; None where there is none of that name."""
        dataset = self._object(path)
        if dataset is None or isinstance(dataset, _Dataset):
            return dataset
        raise self._error(Reason.UNREADABLE_HDF5, f"'{path}' is not an array of floating-point numbers")

    def _object(self, path: str) -> h5py.h5g.GroupID | _Dataset | None:
        """A group, or a dataset of numbers that lies in this file; opened once. None where there is neither."""
        if path not in self._objects:
            group_path, _, name = path.rpartition("/")
            group = self._object(group_path)
            self._objects[path] = self._open(group, name, path) if isinstance(group, h5py.h5g.GroupID) else None
        return self._objects[path]

    def _open(self, group: Any, name: str, path: str) -> h5py.h5g.GroupID | _Dataset | None:
        links = group.links
        if not links.exists(name.encode()):
            return None
        if links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise self._error(Reason.UNREADABLE_HDF5, f"'{path}' is a link to elsewhere")
        opened = h5py.h5o.open(group, name.encode())
        return opened if isinstance(opened, h5py.h5g.GroupID) else self._describe(opened, path)

    def _describe(self, dataset: Any, path: str) -> _Dataset:
        """Where and how a dataset is stored. Raises EpisodeError where it must not be read."""
        number = dataset.get_type() if isinstance(dataset, h5py.h5d.DatasetID) else None
        if number is None or number.get_class() != h5py.h5t.FLOAT:
            raise self._error(Reason.UNREADABLE_HDF5, f"'{path}' is not an array of floating-point numbers")
        offset = dataset.get_offset()
        if offset is not None and number == h5py.h5t.IEEE_F32LE and sys.byteorder == "little":
            return _Dataset(dataset, dataset.shape, offset, None)
        storage = dataset.get_create_plist()
        layout = storage.get_layout()
        if layout == h5py.h5d.VIRTUAL or storage.get_external_count():
            raise self._error(Reason.UNREADABLE_HDF5, f"'{path}' points to another file")
        if layout != h5py.h5d.CHUNKED:
            return _Dataset(dataset, dataset.shape, None, None)
        chunk = storage.get_chunk()
        if math.prod(chunk) * number.get_size() > _MAX_CHUNK_BYTES:
            raise self._error(Reason.TOO_LARGE, f"'{path}' is stored in chunks of over {_MAX_CHUNK_BYTES} bytes")
        filters = [storage.get_filter(number)[0] for number in range(storage.get_nfilters())]
        if sum(each not in _KEEP_SIZE for each in filters) > 1:
            raise self._error(Reason.TOO_LARGE, f"'{path}' is compressed more than once")
        return _Dataset(dataset, dataset.shape, None, chunk)

    def _error(self, reason: Reason, detail: str) -> EpisodeError:
        return EpisodeError(reason, f"Error loading trajectory {self._name}: {detail}")


def _has_chunk(dataset: Any, start: tuple[int, ...]) -> bool:
    try:
        dataset.read_direct_chunk(start)
    except RuntimeError:
        return False
    return True


class _BoundedFile:
    """A file for HDF5 that refuses to read much at once, as for a text of many megabytes, whose size nothing tells."""

    def __init__(self, file: Any, name: str, max_read_bytes: int) -> None:
        self._file = file
        self._name = name
        self._max_read_bytes = max_read_bytes
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def readinto(self, buffer: memoryview) -> Any:
        if len(buffer) > self._max_read_bytes:
            size = f"{len(buffer)} bytes in one piece, at most {self._max_read_bytes} make sense"
            raise EpisodeError(Reason.TOO_LARGE, f"Error loading trajectory {self._name}: {size}")
        return self._file.readinto(buffer)


@contextmanager
def open_annotation(file: BinaryIO, name: str, *, num_frames: int) -> Iterator[Annotation]:
    """Open an HDF5 file.

    Args:
        file: seekable.
        name: what error messages call it.
        num_frames: frames of the video that it belongs to; bounds the size of the file and of each part.

    Raises:
        EpisodeError: it is no HDF5 file, too large, or damaged wherever it is read inside the `with`.
    """
    max_bytes = _MAX_FILE_BYTES + num_frames * _MAX_FILE_BYTES_PER_FRAME
    if file.seek(0, 2) > max_bytes:
        size = f"{file.tell()} bytes for {num_frames} frames"
        raise EpisodeError(Reason.TOO_LARGE, f"Error loading trajectory {name}: {size}, at most {max_bytes} make sense")
    bounded = _BoundedFile(file, name, _MAX_READ_BYTES + num_frames * _MAX_READ_BYTES_PER_FRAME)
    try:
        with h5py.File(bounded, "r") as hdf5:
            yield Annotation(hdf5, bounded, name)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        # h5py's ways to say that a file is cut short or damaged.
        raise EpisodeError(
            Reason.UNREADABLE_HDF5, f"Error loading trajectory {name}: Unable to open file ({error})"
        ) from error
