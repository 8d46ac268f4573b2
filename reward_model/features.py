"""What the encoder saw, kept on disk: one file a clip, named by the clip's checksum.

    folder, checksums = cache_folder(Path("runs/features"), encoder), clip_checksums(rows)
    encode_missing(rows, checksums, encoder, folder)
    features = Features(folder, checksums)
    features[7]  # (T, D) float16 of row 7's clip

A file is whole or not there, so an interrupted run goes on where it was, several processes may share the folder, and
a clip that is in two datasets is encoded once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset_upload.console.interrupts import until_interrupted
from dataset_upload.console.progress import progress
from dataset_upload.errors import UsageError
from reward_model.data import Rows, read_clip
from reward_model.encoders import Encoder

STATISTICS_ROWS = 1000
CLIPS_IN_MEMORY = 2000  # of 25 to 80 KB each


class Features:
    """The features of every row's clip.

    Attributes:
        checksums: SHA-256 of each row's clip.
        dim: D, how many numbers a frame has.
    """

    def __init__(self, folder: Path, checksums: Sequence[str]) -> None:
        self.folder = folder
        self.checksums = list(checksums)
        self._load = lru_cache(CLIPS_IN_MEMORY)(_read)
        self.dim: int = self[0].shape[1]

    def __getitem__(self, row: int) -> NDArray[np.float16]:
        """(T, D) of a row's clip. Raises UsageError for a file that cannot be read."""
        return self._load(feature_file(self.folder, self.checksums[row]))

    def statistics(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation, (D,) each, over the frames of these rows, or of a thousand spread over them."""
        some = rows[:: max(1, len(rows) // STATISTICS_ROWS)]
        seen = np.concatenate([self[int(row)] for row in some]).astype(np.float32)
        return seen.mean(0), seen.std(0) + 1e-3


def feature_file(folder: Path, checksum: str) -> Path:
    return folder / checksum[:2] / f"{checksum}.npy"


def cache_folder(cache: Path, encoder: Encoder) -> Path:
    """Where the features of exactly this encoder are."""
    return cache / f"{re.sub(r'[^a-zA-Z0-9_]+', '-', encoder.name)}-{encoder.fingerprint}"


def clip_checksums(rows: Rows) -> list[str]:
    """SHA-256 of each clip's bytes."""

    def checksum(row: int) -> str:
        digest = hashlib.sha256()
        for file in rows.clip_files(row):
            digest.update(file.read_bytes())
        return digest.hexdigest()

    with ThreadPoolExecutor(8) as pool:
        try:
            return list(pool.map(checksum, range(len(rows))))
        except OSError as error:
            reason = " ".join(str(error).split())
            raise UsageError(
                f"--dataset.dataset_path: a clip is missing ({reason}); convert again, or, where clips were pushed "
                "packed into the tables, get the files back as docs/publishing.md says"
            ) from error


def dataset_fingerprint(rows: Rows, checksums: Sequence[str]) -> str:
    """Of all that samples depend on: rows in their order with clips, texts, tasks, sessions and success.

    The same wherever they lie; resumed runs compare it.
    """
    digest = hashlib.sha256(rows.vectors.tobytes())
    for row, checksum in zip(rows.rows, checksums, strict=True):
        line = [row.id, checksum, rows.texts[row.text], row.task, row.session, row.successful]
        digest.update(json.dumps(line).encode())
    return digest.hexdigest()[:16]


def encode_missing(
    rows: Rows, checksums: Sequence[str], encoder: Encoder, folder: Path, *, rank: int = 0, ranks: int = 1
) -> None:
    """Encode the clips that nobody has encoded yet; of several ranks, each those of its share of all clips.

    Raises UsageError for a clip that cannot be decoded, or a folder that cannot be written.
    """
    row_of = {checksum: row for row, checksum in enumerate(checksums)}
    share = sorted(row_of.values())[rank::ranks]  # of all clips: other ranks may see other ones missing by now
    mine = [row for row in share if not feature_file(folder, checksums[row]).exists()]
    title = f"Encoding clips with {encoder.name}"
    shown = progress(mine, title, total=len(mine), unit="clip") if rank == 0 and mine else until_interrupted(mine)
    for row in shown:
        files = rows.clip_files(row)
        try:
            frames = read_clip(files)
        except (OSError, ValueError) as error:
            raise UsageError(f"{files[0]} cannot be decoded ({error}); convert its dataset again") from error
        features = encoder(frames)
        try:
            _write(feature_file(folder, checksums[row]), features)
        except OSError as error:
            raise UsageError(f"--dataset.feature_cache: {folder} cannot be written ({error})") from error


def _read(path: Path) -> NDArray[np.float16]:
    """Read, not mapped: a mapped file stays open."""
    try:
        with path.open("rb") as file:
            features: NDArray[np.float16] = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}); delete it, and its clip is encoded again") from error
    return features


def _write(path: Path, features: NDArray[np.float16]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.save(file, features)
    temporary.replace(path)
