"""A trained reward model in use: videos in, progress and success after every frame out.

from reward_model import RewardModel

model = RewardModel.load("runs/egodex")
score = model.score("video.mp4", "Open the box")
score.progress  # (T,) in 0..1
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dataset_upload.errors import UsageError
from dataset_upload.language import text_encoder
from reward_model.checkpoints import BEST, STATE, load_weights, read_state
from reward_model.encoders import Encoder, load_encoder
from reward_model.model import RewardModel as Network
from reward_model.model import make_model
from reward_model.samples import Indices, thin
from reward_model.training import CHECKPOINTS, check_same

Frames = NDArray[np.uint8] | Sequence[NDArray[np.uint8]]


class Score(NamedTuple):
    """What the model says about a video of T frames.

    Of a video longer than the model sees at a time, it judges some frames, evenly spaced, the first and the last among
    them; the values of the others lie on straight lines between those.

    Attributes:
        progress: (T,) float32 in 0..1: how far the task has come after each frame.
        success: (T,) float32 in 0..1: how sure the model is that the task is done; above 0.5 it says so.
        judged: (n,) int64: the frames that it has judged.
    """

    progress: NDArray[np.float32]
    success: NDArray[np.float32]
    judged: Indices


@dataclass(frozen=True)
class RewardModel:
    """A checkpoint's model with the encoder that it has learned with; `load` makes one.

    Attributes:
        max_frames: how many frames it sees at a time.
    """

    max_frames: int
    _network: Network
    _encoder: Encoder

    @staticmethod
    def load(path: str | Path, device: str | None = None) -> RewardModel:
        """The model of a checkpoint.

        Args:
            path: a checkpoint, or a run's folder, which stands for the best of its checkpoints.
            device: torch's name of where to compute; None: the first GPU, or the CPU where there is none.

        Raises UsageError where there is no checkpoint, it is damaged, or its encoder is not available.
        """
        checkpoint = find_checkpoint(Path(path).expanduser())
        state = read_state(checkpoint)
        where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        encoder = load_encoder(state.encoder, where)
        check_same("encoder", encoder.fingerprint, state.fingerprints)
        feature_dim = encoder(np.zeros((1, 32, 32, 3), np.uint8)).shape[1]
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
            network = make_model(state.config, feature_dim)
        load_weights(checkpoint, network)
        network.to(where).eval().requires_grad_(False)
        return RewardModel(state.config.model.max_frames, network, encoder)

    def score(self, video: str | Path | Frames, task: str) -> Score:
        """Judge a video beside a task.

        Args:
            video: a video file; or its T frames, each (H, W, 3) uint8 RGB, of which only the judged ones are asked for.
            task: what is to be done, in words like those it has learned with.

        Raises UsageError where the video cannot be decoded, has no frames, or the text is empty.
        """
        if not task.strip():
            raise UsageError("--task: the text is empty; say what is to be done, like 'Open the box'")
        if isinstance(video, str | Path):
            count = sum(1 for _ in decoded(Path(video), []))
            judged = thin(np.arange(count), self.max_frames)
            seen = [frame for frame in decoded(Path(video), judged) if frame is not None]
        else:
            count = len(video)
            judged = thin(np.arange(count), self.max_frames)
            seen = [np.asarray(video[int(i)]) for i in judged]
        progress, success = self._judge(_stacked(seen), task)
        every = np.arange(count)
        return Score(
            progress=np.interp(every, judged, progress).astype(np.float32),
            success=np.interp(every, judged, success).astype(np.float32),
            judged=judged,
        )

    @torch.inference_mode()
    def _judge(self, frames: NDArray[np.uint8], task: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Progress and success, (n,) each, after each of n frames."""
        text = torch.from_numpy(text_encoder().encode(task).copy())
        features = torch.from_numpy(self._encoder(frames).astype(np.float32))
        device = self._encoder.device
        said = self._network(text[None].to(device), features[None].to(device), torch.tensor([len(frames)]).to(device))
        return said.progress[0].cpu().numpy(), said.success_logits[0].float().sigmoid().cpu().numpy()


def find_checkpoint(path: Path) -> Path:
    """The best checkpoint of a run, if `path` is a run's folder; else `path`."""
    best = path / CHECKPOINTS / BEST
    return best if not (path / STATE).exists() and best.exists() else path


def decoded(path: Path, wanted: Sequence[int] | Indices | None) -> Iterator[NDArray[np.uint8] | None]:
    """A video file's frames, (H, W, 3) RGB; None in the place of each that is not among those `wanted`. None: all.

    Raises UsageError where one cannot be decoded.
    """
    from dataset_upload.video.plain_decoding import open_plainly

    chosen = None if wanted is None else set(map(int, wanted))
    try:
        with path.open("rb") as file, open_plainly(file) as video:
            for number, frame in enumerate(video.frames):
                yield frame.to_rgb() if chosen is None or number in chosen else None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read as a video ({error}); give another file") from error


def _stacked(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """(n, H, W, 3). Raises UsageError where these are no frames of one size."""
    if not frames:
        raise UsageError("the video has no frames; give one that has")
    if len({frame.shape for frame in frames}) > 1 or any(
        frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 for frame in frames
    ):
        raise UsageError("the video's frames must be (H, W, 3) uint8, all of one size; convert them to that")
    return np.stack(frames)
