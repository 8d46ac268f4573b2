"""An interrupt that Python drops, or that a library takes for an error, ends the run all the same."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from conversions import fork_convert
from drawn_egodex import tiny_egodex
from output_folder import outcomes, published

from dataset_upload.console.command import EXIT_INTERRUPTED, command
from dataset_upload.console.interrupts import until_interrupted
from dataset_upload.dataset_loaders.egodex.archive import Episode
from dataset_upload.dataset_loaders.egodex.loader import EgoDexLoader
from dataset_upload.errors import EpisodeError, Reason

ADVICE = "Interrupted: what is finished is kept, the same command goes on"
STRUCK = 3  # the episode at which it happens, counted from one


class StruckWhenFreed:
    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


class StruckFile(io.FileIO):
    number: signal.Signals

    def seek(self, offset: int, whence: int = 0) -> int:
        signal.raise_signal(self.number)
        return super().seek(offset, whence)


def in_a_finalizer(number: signal.Signals, video: str) -> None:
    StruckWhenFreed(number)  # Python drops what is raised while it is freed


def in_a_callback(number: signal.Signals, video: str) -> None:
    file = StruckFile(video)
    file.number = number
    try:
        av.open(file)  # FFmpeg learns that the file cannot be read, and no more
    except av.FFmpegError as error:
        raise EpisodeError(Reason.UNREADABLE_VIDEO, "Error: Could not open video file") from error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("strike", [in_a_finalizer, in_a_callback])
def test_no_interrupt_is_lost(
    strike: Callable[[signal.Signals, str], None], number: signal.Signals, tmp_path: Path
) -> None:
    tiny_egodex(tmp_path / "test", episodes=6)
    load, calls = EgoDexLoader.load, 0

    def struck_load(self: EgoDexLoader, episode: Episode, files: Any = None) -> Any:
        nonlocal calls
        calls += 1
        if calls == STRUCK:
            strike(number, str(episode.mp4))
        return load(self, episode, files)

    def patch() -> None:
        EgoDexLoader.load = struck_load  # type: ignore[method-assign]

    run = fork_convert(tmp_path / "test", tmp_path / "struck", first=patch)
    assert run.exit_code == EXIT_INTERRUPTED
    assert run.stderr.splitlines()[-1] == ADVICE
    assert "Traceback" not in run.stderr and "ignored" not in run.stderr
    assert len(outcomes(tmp_path / "struck")) == STRUCK - 1
    assert set(outcomes(tmp_path / "struck").values()) == {("done", None)}

    assert fork_convert(tmp_path / "test", tmp_path / "struck").exit_code == 0
    assert fork_convert(tmp_path / "test", tmp_path / "whole").exit_code == 0
    assert published(tmp_path / "struck") == published(tmp_path / "whole")


def test_a_process_that_is_to_ignore_interrupts_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    @command("never seen")
    def main() -> int:
        signal.raise_signal(signal.SIGINT)
        return sum(until_interrupted([1, 2]))

    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert main() == 3
    finally:
        signal.signal(signal.SIGINT, usual)
    assert main() == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "Interrupted: never seen\n"


def test_an_interrupted_command_leaves_no_trace_in_its_process() -> None:
    @command("again")
    def main(*, struck: bool) -> int:
        if struck:
            StruckWhenFreed(signal.SIGTERM)
        return sum(until_interrupted([1, 2]))

    before = signal.getsignal(signal.SIGTERM)
    assert main(struck=True) == EXIT_INTERRUPTED
    assert main(struck=False) == 3
    assert signal.getsignal(signal.SIGTERM) == before
