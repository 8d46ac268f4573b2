"""Functions that Numba compiles: with which options, and where the machine code is kept.

Importing this module imports Numba, so only what decodes or scales frames does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

# In checked mode every access to memory is verified first: slower, never cached, for tests.
CHECKED = os.environ.get("DATASET_UPLOAD_CHECKED_KERNELS", "0") == "1"

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def kernel(function: F) -> F:
    """A function that only other compiled functions call."""
    return cast(F, numba.njit(**_OPTIONS)(function))


def inlined(function: F) -> F:
    """A `kernel` that becomes a part of each function that calls it."""
    return cast(F, numba.njit(forceinline=True, **_OPTIONS)(function))


def entry_point(function: Callable[..., Any]) -> Any:
    """A function that Python calls; its machine code, with that of all it calls, is kept for the next process."""
    folder = None if CHECKED else cache_folder()
    if folder is None:
        return numba.njit(**_OPTIONS)(function)
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder)
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    finally:
        config.CACHE_DIR = before


def first_call(entry: Any, *arguments: Any) -> bool:
    """Call an entry point for the first time; where its cached code is damaged or cannot be kept, do without.

    Returns:
        Whether it was compiled now, rather than read from the cache.
    """
    try:
        entry(*arguments)
    except Exception:  # whatever a damaged file makes of unpickling, or a full disk of writing
        entry._cache.flush()
        entry._cache.disable()
        entry(*arguments)
    return not entry.stats.cache_hits


def cache_folder() -> Path | None:
    """The folder for machine code, of which a new one begins when any source in this package changes.

    Cached code is trusted, so it must be the user's own folder, closed to others. None: there is no such folder.
    Numba itself tells apart processors and its own versions.
    """
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dataset_upload"
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = os.lstat(base)
        if not base.is_dir() or base.is_symlink() or state.st_uid != os.geteuid() or state.st_mode & 0o077:
            return None
        folder = base / f"kernels-{_digest_of_sources()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: the user has no home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _digest_of_sources() -> str:
    # Numba looks only at the file of the function itself, not at the files of what that calls.
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
