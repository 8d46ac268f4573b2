"""What an EgoDex HDF5 file says: attributes, camera, poses, confidences."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dataset_upload.errors import EpisodeError, Reason

# What every file with an intrinsics matrix says; older copies of the dataset carry an empty one. For 1920x1080.
DEFAULT_INTRINSICS = np.array([[736.6339, 0, 960], [0, 736.6339, 540], [0, 0, 1]], dtype=np.float32)
DEFAULT_INTRINSICS_SIZE = (1920, 1080)


class Annotation:
    """An open HDF5 file; `name` is what error messages call it."""

    def __init__(self, file: h5py.File, name: str) -> None:
        self._file = file
        self._name = name

    def text(self, attribute: str) -> str | None:
        """A text attribute, stripped; None where it is absent or empty."""
        value = self._attribute(attribute)
        return (self._decode(value, attribute).strip() or None) if value is not None else None

    def texts(self, attribute: str) -> list[str]:
        """An attribute that is an array of text; empty where it is absent."""
        value = self._attribute(attribute)
        items = [] if value is None else np.asarray(value).ravel().tolist()
        return [self._decode(item, attribute) for item in items]

    def intrinsics(self, frame_size: tuple[int, int]) -> NDArray[np.float32]:
        """(3, 3) camera matrix in pixels of a frame of this (width, height)."""
        stored = self._dataset("camera/intrinsic")
        if stored is not None and stored.shape == (3, 3):
            matrix: NDArray[np.float32] = stored[()].astype(np.float32)
            return matrix
        width, height = (size / full for size, full in zip(frame_size, DEFAULT_INTRINSICS_SIZE, strict=True))
        return np.diag([width, height, 1]).astype(np.float32) @ DEFAULT_INTRINSICS

    def poses(self, names: Sequence[str]) -> NDArray[np.float32]:
        """(N, len(names), 4, 4) pose-to-world transforms, positions in metres.

        Raises:
            EpisodeError: a pose is missing, has another length than the rest or another shape, or holds a NaN.
        """
        if "transforms" not in self._file:
            raise self._error(Reason.MISSING_TRANSFORMS, "no group 'transforms'")
        datasets = [self._dataset(f"transforms/{name}") for name in names]
        for name, dataset in zip(names, datasets, strict=True):
            if dataset is None:
                raise self._error(Reason.MISSING_JOINT, f"no pose 'transforms/{name}'")
            if dataset.ndim != 3 or dataset.shape[1:] != (4, 4):
                raise self._error(Reason.UNREADABLE_HDF5, f"'transforms/{name}' has shape {dataset.shape}")
        lengths = {len(dataset) for dataset in datasets}
        if len(lengths) > 1:
            raise self._error(Reason.FRAME_COUNT_MISMATCH, f"poses have {min(lengths)} to {max(lengths)} rows")
        (num_frames,) = lengths
        if num_frames == 0:
            raise self._error(Reason.EMPTY_POSES, "the poses have no rows")
        poses = np.empty((num_frames, len(names), 4, 4), np.float32)
        for column, dataset in enumerate(datasets):
            poses[:, column] = dataset[()]
        if not np.isfinite(poses).all():
            column = int(np.argwhere(~np.isfinite(poses))[0][1])
            raise self._error(Reason.NAN_POSES, f"'transforms/{names[column]}' holds NaN or infinity")
        return poses

    def confidences(self, names: Sequence[str], num_frames: int) -> NDArray[np.float32] | None:
        """(num_frames, len(names)) tracking confidence in 0..1, NaN where unknown; None where the file has none."""
        if "confidences" not in self._file:
            return None
        confidences = np.full((num_frames, len(names)), np.nan, np.float32)
        for column, name in enumerate(names):
            dataset = self._dataset(f"confidences/{name}")
            if dataset is None:
                continue
            if dataset.shape != (num_frames,):
                raise self._error(
                    Reason.FRAME_COUNT_MISMATCH,
                    f"'confidences/{name}' has shape {dataset.shape}, the poses have {num_frames} rows",
                )
            confidences[:, column] = dataset[()]
        return confidences

    def _decode(self, value: Any, attribute: str) -> str:
        try:
            text = value.decode() if isinstance(value, bytes) else str(value)
            text.encode()  # h5py passes bytes that are not UTF-8 on as lone surrogates
        except UnicodeError as error:
            raise self._error(Reason.UNREADABLE_HDF5, f"attribute '{attribute}' is not UTF-8 text") from error
        return text

    def _attribute(self, name: str) -> Any:
        return self._file.attrs.get(name)

    def _dataset(self, path: str) -> Any:
        dataset = self._file.get(path)
        return dataset if isinstance(dataset, h5py.Dataset) else None

    def _error(self, reason: Reason, detail: str) -> EpisodeError:
        return EpisodeError(reason, f"Error loading trajectory {self._name}: {detail}")


@contextmanager
def open_annotation(data: bytes, name: str) -> Iterator[Annotation]:
    """Open an HDF5 file's bytes.

    Raises:
        EpisodeError: the bytes are no HDF5 file, or are damaged wherever they are read inside the `with`.
    """
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            yield Annotation(file, name)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError) as error:
        # h5py's ways to say that a file is cut short or damaged.
        raise EpisodeError(
            Reason.UNREADABLE_HDF5, f"Error loading trajectory {name}: Unable to open file ({error})"
        ) from error
