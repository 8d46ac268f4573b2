"""Ranges of a file wherever fsspec reaches: s3://, gs://, hf://, …"""

from __future__ import annotations

import os
from functools import cache, partial
from typing import Any

from dataset_upload.errors import StoppedError
from dataset_upload.storage.retries import TryAgainError, in_time, read_with_retries


def size(url: str) -> int:
    """The file's size in bytes. Raises StoppedError if it is not there or not to be reached."""
    try:
        return in_time(0, partial(_size, url))
    except TryAgainError as error:
        raise StoppedError(f"{url} cannot be read: {error}") from None
    except Exception as error:  # each filesystem has its own; a missing one says what to install
        raise StoppedError(f"{url} cannot be read ({type(error).__name__}: {error})") from None


def _size(url: str) -> int:
    filesystem, path = _filesystem(url, os.getpid())
    filesystem.invalidate_cache()
    return int(filesystem.info(path)["size"])


def read(url: str, start: int, end: int) -> bytes:
    """Bytes [start, end). Raises EpisodeError if they do not come after many attempts, StoppedError if it is gone."""
    return read_with_retries(partial(_read, url, start, end), url)


def _read(url: str, start: int, end: int) -> bytes:
    filesystem, path = _filesystem(url, os.getpid())
    # The asynchronous filesystems fetch just the range; the others would read megabytes ahead.
    options = {} if filesystem.async_impl else {"cache_type": "none"}
    try:
        data: bytes = in_time(end - start, partial(filesystem.cat_file, path, start=start, end=end, **options))
    except FileNotFoundError:
        raise StoppedError(f"{url} is gone") from None
    except TryAgainError:
        raise
    except Exception as error:
        raise TryAgainError(f"{type(error).__name__}: {error}") from None
    if len(data) != end - start:
        raise TryAgainError(f"{len(data)} of {end - start} bytes came")
    return data


@cache
def _filesystem(url: str, process: int) -> tuple[Any, str]:
    """The filesystem and the path in it; each process has its own connections."""
    import fsspec

    filesystem, path = fsspec.core.url_to_fs(url)
    return filesystem, path
