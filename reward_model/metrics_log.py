"""metrics.jsonl: one line a step that is worth one; on request, TensorBoard or trackio hears the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from dataset_upload.errors import UsageError

FILE_NAME = "metrics.jsonl"


class MetricsLog:
    """Appends metrics to a run's file. A run that resumes at a step first drops the lines after it.

    Of several ranks only the main one writes: the logs of the others do nothing.

    Raises UsageError where the folder cannot be written, or the tracker is not installed.
    """

    def __init__(self, folder: Path, *, from_step: int, tracker: str = "none", is_main: bool = True) -> None:
        self._file: TextIO | None = None
        if not is_main:
            return
        path = folder / FILE_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            kept = [line for line in read_metrics(folder) if line["step"] <= from_step]
            temporary = path.with_suffix(".tmp")
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
            temporary.replace(path)
        except OSError as error:
            raise UsageError(f"--training.output_dir: {folder} cannot be written ({error})") from error
        self._track, self._close_tracker = _open_tracker(tracker, folder)
        self._file = path.open("a")

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """A line; values that are not finite are null."""
        if self._file is None:
            return
        numbers = {name: value if math.isfinite(value) else None for name, value in metrics.items()}
        self._file.write(json.dumps({"step": step, **numbers}) + "\n")
        self._file.flush()
        self._track(step, {name: value for name, value in numbers.items() if value is not None})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._close_tracker()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a run's file; a killed run can leave half a line at its end.

    Raises UsageError for a line that is none of ours.
    """
    path = folder / FILE_NAME
    text = path.read_text() if path.exists() else ""
    lines = []
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if not line.endswith("\n"):
            break
        try:
            metrics = json.loads(line)
            if not isinstance(metrics["step"], int) or not all(_is_number(value) for value in metrics.values()):
                raise ValueError
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise UsageError(f"{path}: line {number} is not one of metrics; delete it") from error
        lines.append(metrics)
    return lines


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, int | float)


def _open_tracker(name: str, folder: Path) -> tuple[Callable[[int, dict[str, float]], None], Callable[[], None]]:
    """What tells a tracker metrics, and what closes it. Raises UsageError where it is not installed."""
    try:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder / "tensorboard"))

            def add(step: int, metrics: dict[str, float]) -> None:
                for key, value in metrics.items():
                    writer.add_scalar(key, value, step)

            return add, writer.close
        if name == "trackio":
            import trackio

            trackio.init(project="rfm", name=folder.name)
            return lambda step, metrics: trackio.log(metrics, step=step), trackio.finish
    except ImportError as error:
        raise UsageError(f"--training.tracker: {name} is not installed; try: uv pip install {name}") from error
    return lambda step, metrics: None, lambda: None
