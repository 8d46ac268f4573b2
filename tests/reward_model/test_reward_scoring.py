"""A trained model in use: what it says about videos, what score.py writes, what both refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from project import PROJECT
from tiny_dataset import FRAMES, SIDE, text_vector, write_datasets

from dataset_upload.errors import UsageError
from dataset_upload.video.clip_facts import read_clip as clip_facts
from reward_model import RewardModel, scoring
from reward_model.checkpoints import read_state
from reward_model.config import TrainConfig
from reward_model.data import load_rows, read_clip
from reward_model.evaluation import Verdict, model_judge
from reward_model.ranks import Ranks
from reward_model.samples import thin
from reward_model.score import main
from reward_model.training import prepare_data, train

ALONE = Ranks(rank=0, size=1, device=torch.device("cpu"), bf16=False)
MAX_FRAMES = 5  # of clips of FRAMES: most frames are not judged
ROW = 7
TEXT = "wipe table number 1"


class TinyTextEncoder:
    """The vectors that the tiny dataset has in place of the sentence model's."""

    def encode(self, text: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        words = text.split()
        return text_vector(f"{'_'.join(words[:-2])} {words[-1]}")


@pytest.fixture(autouse=True)
def tiny_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "text_encoder", TinyTextEncoder)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """The configuration of a finished run. Not to be changed."""
    folder = tmp_path_factory.mktemp("scoring")
    root, config = write_datasets(folder / "datasets", "tiny"), TrainConfig()
    config.dataset = replace(
        config.dataset, dataset_path=f"{root}/tiny", encoder="pixels16", feature_cache=f"{folder}/features"
    )
    config.model.max_frames = MAX_FRAMES
    config.training = replace(config.training, output_dir=f"{folder}/run", steps=4, batch_size=4)
    config.evaluation.max_trajectories = 2
    train(config, ALONE)
    return config


@pytest.fixture(scope="module")
def run(config: TrainConfig) -> Path:
    return Path(config.training.output_dir)


@pytest.fixture(scope="module")
def model(run: Path) -> RewardModel:
    return RewardModel.load(run)


@pytest.fixture(scope="module")
def clip(config: TrainConfig) -> Path:
    (file,) = load_rows(config.dataset.dataset_path).clip_files(ROW)
    return file


def verdict_of_evaluation(config: TrainConfig, run: Path) -> Verdict:
    """What eval.py's judge says about the same clip beside its own text."""
    from reward_model.checkpoints import load_weights
    from reward_model.model import make_model

    rows = load_rows(config.dataset.dataset_path)
    views = prepare_data(rows, config.dataset, MAX_FRAMES, ALONE, {}).views
    network = make_model(config, views.features.dim)
    load_weights(run / "checkpoints/best", network)
    assert rows.texts[rows.rows[ROW].text] == TEXT
    (verdict,) = model_judge(network, views, ALONE)([views.view(ROW, thin(np.arange(FRAMES), MAX_FRAMES))])
    return verdict


# Scores ----------------------------------------------------------------------------------------------------


def test_a_score_is_what_the_evaluation_says_of_the_same_frames(
    config: TrainConfig, run: Path, model: RewardModel, clip: Path
) -> None:
    score, verdict = model.score(clip, TEXT), verdict_of_evaluation(config, run)

    assert len(score.progress) == len(score.success) == FRAMES
    assert score.judged.tolist() == thin(np.arange(FRAMES), MAX_FRAMES).tolist()
    np.testing.assert_allclose(score.progress[score.judged], verdict.progress, atol=1e-5)
    assert ((score.success[score.judged] > 0.5) == verdict.success).all()
    assert np.ptp(score.progress) > 1e-3  # else anything would be equal to it


def test_frames_that_are_not_judged_lie_between_those_that_are(model: RewardModel, clip: Path) -> None:
    score = model.score(clip, TEXT)

    for name in ("progress", "success"):
        said = getattr(score, name)
        np.testing.assert_allclose(said, np.interp(np.arange(FRAMES), score.judged, said[score.judged]), atol=1e-6)


def test_files_arrays_and_lists_of_frames_are_scored_alike(model: RewardModel, clip: Path) -> None:
    frames = read_clip([clip])

    for video in (str(clip), frames, list(frames)):
        np.testing.assert_array_equal(model.score(video, TEXT).progress, model.score(clip, TEXT).progress)


def test_another_text_gets_another_score(model: RewardModel, clip: Path) -> None:
    assert abs(model.score(clip, TEXT).progress - model.score(clip, "open box number 0").progress).max() > 1e-4


def test_one_frame_is_enough(model: RewardModel, clip: Path) -> None:
    assert model.score(read_clip([clip])[:1], TEXT).progress.shape == (1,)


def test_a_run_stands_for_its_best_checkpoint(run: Path, model: RewardModel, clip: Path) -> None:
    best = run / "checkpoints/best"
    assert read_state(scoring.find_checkpoint(run)) == read_state(best)
    np.testing.assert_array_equal(RewardModel.load(best).score(clip, TEXT).progress, model.score(clip, TEXT).progress)


def test_loading_leaves_random_numbers_alone(run: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    RewardModel.load(run)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "the video has no frames"),
        (np.zeros((2, 8, 8, 3), np.float32), "frames must be (H, W, 3) uint8"),
        (np.zeros((2, 8, 8), np.uint8), "frames must be (H, W, 3) uint8"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)], "all of one size"),
    ],
    ids=["none", "float", "grey", "two sizes"],
)
def test_frames_that_are_none_are_refused(model: RewardModel, frames: scoring.Frames, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        model.score(frames, TEXT)
    assert says in str(refused.value)


# score.py --------------------------------------------------------------------------------------------------


def test_json_holds_the_score(run: Path, model: RewardModel, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "scored.json"

    assert main([str(run), str(clip), "--task", TEXT, "--out", str(out)]) == 0

    written, score = json.loads(out.read_text()), model.score(clip, TEXT)
    assert (written["video"], written["task"]) == (str(clip), TEXT)
    assert written["judged"] == score.judged.tolist()
    np.testing.assert_allclose(written["progress"], score.progress, atol=1e-4)
    np.testing.assert_allclose(written["success"], score.success, atol=1e-4)
    assert [path.name for path in out.parent.iterdir()] == ["scored.json"]


def test_mp4_shows_every_frame_above_a_curve_that_runs_along(run: Path, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.mp4"

    assert main([str(run), str(clip), "--task", TEXT, "--out", str(out)]) == 0

    frames, facts = read_clip([out]), clip_facts([out.read_bytes()])
    original = read_clip([clip]).astype(float)
    side = frames.shape[2]
    assert len(frames) == facts.num_frames == FRAMES
    assert side >= 480 and side % SIDE == 0
    shrunk = frames[:, :side].reshape(FRAMES, SIDE, side // SIDE, SIDE, side // SIDE, 3).mean((2, 4))
    assert abs(shrunk - original).mean() < 6
    panels = frames[:, side:].astype(float)
    darkest = [int(panel.mean((0, 2)).argmin()) for panel in panels[1:]]  # the first may stand on the axis
    assert darkest == sorted(darkest) and darkest[-1] - darkest[0] > side / 2


def test_png_is_a_picture(run: Path, clip: Path, tmp_path: Path) -> None:
    from matplotlib.image import imread

    out = tmp_path / "scored.PNG"

    assert main([str(run), str(clip), "--task", TEXT, f"--out={out}"]) == 0
    assert imread(out, format="png").std() > 0.05


def test_a_curve_is_as_wide_as_the_frames_and_takes_any_text(clip: Path, model: RewardModel) -> None:
    from reward_model.scored_files import _panel

    rgb, columns = _panel(model.score(clip, "open $box number 0"), "open $box^ number 0", 482)
    assert rgb.shape == (160, 482, 3)
    assert (np.diff(columns) > 0).all() and 0 < columns[0] < columns[-1] < 480


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"checkpoint": "nowhere"}, "nowhere: no checkpoint is here"),
        ({"video": "nowhere.mp4"}, "nowhere.mp4 cannot be read as a video"),
        ({"video": "text.mp4"}, "text.mp4 cannot be read as a video"),
        ({"task": " "}, "--task: the text is empty"),
        ({"out": "scored.gif"}, "scored.gif must end in .mp4, .png, .json"),
        ({"video": "text.mp4", "out": "text.mp4"}, "text.mp4 is the video itself"),
        ({"out": "file/scored.json"}, "file/scored.json cannot be written"),
    ],
    ids=["no checkpoint", "no video", "not a video", "no text", "another ending", "the video", "no folder"],
)
def test_refusals_are_one_line(
    run: Path,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("no video")
    Path("file").touch()
    given = {"checkpoint": str(run), "video": str(clip), "task": TEXT, "out": "scored.json"} | changed

    exit_code = main([given["checkpoint"], given["video"], f"--task={given['task']}", f"--out={given['out']}"])

    error = capsys.readouterr().err.splitlines()[-1]
    assert exit_code == 2
    assert error.startswith("Error: ") and says in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "text.mp4"]


def test_the_task_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "video.mp4"]) == 2
    assert capsys.readouterr().err == "Error: --task: missing; --help explains\n"


def test_help_does_not_wait_for_torch() -> None:
    program = (
        "import sys\nfrom reward_model.score import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print('torch' in sys.modules, 'av' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "False False"
    assert "--task TEXT" in said.stdout
