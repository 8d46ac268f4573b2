"""What the real LeRobot library has written is read as its own reader reads it."""

from __future__ import annotations

from pathlib import Path

import lerobot_readers
import numpy as np
import pytest
from project import PROJECT

from dataset_upload.dataset_loaders.lerobot.loader import LerobotLoader

# Both are decoded by FFmpeg and turned into RGB, by formulas that round otherwise.
ROUNDING = 6


@pytest.mark.slow
@pytest.mark.parametrize("codec", ["h264", "libsvtav1"])
def test_frames_numbers_and_texts_are_those_of_lerobots_own_reader(tmp_path: Path, codec: str) -> None:
    root, out = tmp_path / "arm", tmp_path / "read.npz"
    ended = lerobot_readers.lerobot().run(PROJECT / "tests/harness/lerobot_write.py", root, out, codec)
    assert ended.exit_code == 0, ended.stderr
    expected = dict(np.load(out))
    loader = LerobotLoader(root, "arm")
    episodes = loader.list_episodes()
    assert len(episodes) == 6 and loader.info.version == "v3.0"
    for episode in episodes:
        trajectory = loader.load(episode)
        its_own = expected["episode"] == episode.listed.number
        assert (trajectory["actions"] == expected["action"][its_own]).all()
        assert trajectory["states"] is not None and (trajectory["states"] == expected["state"][its_own]).all()
        assert {trajectory["task"]} == set(expected["task"][its_own].tolist())
        frames = np.asarray(trajectory["frames"]).astype(int)
        wanted = expected[episode.camera][its_own].astype(int)
        assert frames.shape == wanted.shape
        distances = np.abs(frames[:, None] - wanted[None]).mean(axis=(2, 3, 4))
        assert (distances.argmin(axis=1) == np.arange(len(frames))).all()
        assert np.diag(distances).max() < ROUNDING
