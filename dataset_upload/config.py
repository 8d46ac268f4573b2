"""Every option of the converter: its default, its unit, what it accepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from dataset_upload.console.options import parse_options
from dataset_upload.errors import UsageError
from dataset_upload.video import DecodeScale, ResizeMode

ActionPart = Literal["hands", "fingertips", "camera"]

CONFIGS = Path(__file__).parent / "configs" / "data_gen_configs"  # YAML files of options

PLACEHOLDER_PATH = "/path/to/egodex/test"
PLACEHOLDER_OWNER = "your-username"


@dataclass
class DatasetConfig:
    """What to convert."""

    # A list stands first: as text it would do, too.
    dataset_path: list[str] | str = PLACEHOLDER_PATH  # folder, zip or URL of an EgoDex part, egodex://test; or several
    dataset_name: str = "egodex_test"  # name of the result: its folder, its config on the Hub, part of every id
    tasks: list[str] | str = field(default_factory=list)  # names of tasks, or globs, to convert; none: all tasks
    loader: str = "egodex"  # what reads dataset_path
    mini_episodes: int = 0  # first make a miniature EgoDex of so many episodes at dataset_path, if nothing is there


@dataclass
class OutputConfig:
    """What comes out."""

    output_dir: str = "egodex_dataset"  # folder that holds any number of datasets, laid out like the Hub repo
    format: str = "rfm"  # what comes out
    max_trajectories: int | None = 100  # episodes to convert, spread over all tasks; -1 or null: all
    max_frames: int = 32  # frames per clip at most, evenly spaced; -1: all
    frame_size: int = 256  # side of the square clip, pixels, even
    shortest_edge_size: int | None = None  # keep the aspect ratio: the shorter side gets this many pixels; null: square
    resize: ResizeMode = "stretch"  # how 16:9 becomes a square
    center_crop: bool = False  # same as resize: center_crop
    use_video: bool = True  # one MP4 a clip; false: JPEG files
    frames_video: bool = False  # add a column of the clips' absolute paths, for readers that know no output_dir
    decode_scale: DecodeScale = "exact"  # at full size; auto and fast, once cheaper, now mean the same
    fps: int = 30  # frame rate that clips play at, frames per second
    crf: int = 18  # x264 quality, 0 (lossless) to 51; 18 is about 37 KiB a clip
    actions: list[ActionPart] = field(  # parts of an action, 3 to 15 columns of metres
        default_factory=lambda: ["hands", "fingertips", "camera"]
    )
    max_frame_mismatch: int = 1  # frames by which video and poses may differ in length; both are cut to the shorter
    engine: str = "processes"  # where episodes are converted
    num_workers: int = -1  # worker processes; -1: one per core, 0: convert in this process
    episode_timeout_s: int = 600  # seconds after which an episode is given up; needs workers
    fail_fast: bool = False  # stop at the first episode that fails
    overwrite: bool = False  # replace a dataset of this name that was made with other settings
    verbose: bool = False  # two lines a trajectory


@dataclass
class HubConfig:
    """Where to publish it."""

    push_to_hub: bool = False  # upload the result to the Hugging Face Hub
    hub_repo_id: str = f"{PLACEHOLDER_OWNER}/egodex_rfm"  # OWNER/NAME of the repo; owner: HF_USERNAME or the token's
    hub_token: str | None = field(default=None, repr=False)  # access token; null: HF_TOKEN or the saved login
    private: bool = True  # make a new repo private; false: do not refuse a public one
    viewer_video: bool = False  # add a column to the pushed table by which the Hub's viewer plays the clips
    packed: bool = False  # put the clips into the pushed table instead of pushing a file each


@dataclass
class GenerateConfig:
    """Convert EgoDex into an RFM dataset."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    hub: HubConfig = field(default_factory=HubConfig)


# What decides the bytes of a row or a clip. Rows made with different values of these never share a dataset. The default
# of a new one must be what was done before there was a choice: that is what datasets made before then are taken for.
RESULT_OPTIONS = (
    "max_frames",
    "frame_size",
    "shortest_edge_size",
    "resize",
    "use_video",
    "decode_scale",
    "fps",
    "crf",
    "actions",
    "max_frame_mismatch",
)


def result_settings(output: OutputConfig) -> dict[str, Any]:
    """The options that decide the bytes of the result, with their values."""
    values = asdict(output)
    return {name: values[name] for name in RESULT_OPTIONS}


def parse_config(argv: Sequence[str] | None = None) -> GenerateConfig:
    """Read the command line, and the YAML file that `--config_path` names.

    Raises:
        UsageError: one line that names the option and says what to do.
        SystemExit: after `--help`.
    """
    config = parse_options(GenerateConfig, argv, prog="python -m dataset_upload.generate_hf_dataset", configs=CONFIGS)
    check_config(config)
    return config


def check_config(config: GenerateConfig) -> None:
    """Check every value and normalise the aliases. Raises UsageError."""
    output = config.output
    path = config.dataset.dataset_path
    if path in (PLACEHOLDER_PATH, [PLACEHOLDER_PATH]):
        raise UsageError(
            f"--dataset.dataset_path: {PLACEHOLDER_PATH} is only a placeholder; give the folder or the zip of an "
            "EgoDex part, egodex://test to read Apple's, or try --config_path=egodex_demo.yaml, which needs no data"
        )
    if not re.fullmatch(r"(?!README\.md$)[A-Za-z0-9][A-Za-z0-9_.-]*", config.dataset.dataset_name):
        raise UsageError(
            f"--dataset.dataset_name: {config.dataset.dataset_name!r} must be a folder name: letters, digits, _ . -"
        )
    if config.dataset.dataset_name.endswith("_hands"):
        raise UsageError("--dataset.dataset_name: the ending _hands is kept for the sidecars; choose another name")
    if config.dataset.mini_episodes and (not isinstance(path, str) or "://" in path):
        raise UsageError("--dataset.mini_episodes: needs a single folder as --dataset.dataset_path")
    if not output.output_dir.strip():
        raise UsageError("--output.output_dir: needs a folder, like egodex_dataset; a variable in it may be unset")
    if "://" in output.output_dir:
        raise UsageError(
            f"--output.output_dir: {output.output_dir} must be a folder on this machine; convert into one, then copy "
            "it there, or give --hub.push_to_hub=true"
        )
    if output.max_trajectories is not None and output.max_trajectories != -1 and output.max_trajectories < 1:
        raise UsageError(f"--output.max_trajectories: {output.max_trajectories} must be at least 1, or -1 for all")
    if output.max_frames != -1 and output.max_frames < 1:
        raise UsageError(f"--output.max_frames: {output.max_frames} must be at least 1, or -1 for all")
    for name in ("frame_size", "shortest_edge_size"):
        size = getattr(output, name)
        if size is not None and (size % 2 or not 16 <= size <= 4096):
            raise UsageError(f"--output.{name}: {size} must be an even number of pixels from 16 to 4096")
    _check_range("mini_episodes", config.dataset.mini_episodes, 0, 10_000, section="dataset")
    _check_range("crf", output.crf, 0, 51)
    _check_range("fps", output.fps, 1, 1000)
    _check_range("num_workers", output.num_workers, -1, 1024)
    _check_range("max_frame_mismatch", output.max_frame_mismatch, 0, 1_000_000)
    _check_range("episode_timeout_s", output.episode_timeout_s, 1, 1_000_000)
    if not output.actions or len(set(output.actions)) < len(output.actions):
        raise UsageError("--output.actions: name each part once, at least one of hands, fingertips, camera")

    if output.center_crop:
        if output.resize == "pad":
            raise UsageError("--output.center_crop: contradicts --output.resize=pad; give one of them")
        output.resize = "center_crop"
    if output.frames_video and not output.use_video:
        raise UsageError("--output.frames_video: needs --output.use_video=true; who reads that column reads no JPEGs")
    if config.hub.viewer_video and not output.use_video:
        raise UsageError("--hub.viewer_video: needs --output.use_video=true; --hub.packed=true shows JPEGs, too")
    if output.shortest_edge_size is not None:
        default_size = OutputConfig.frame_size
        if output.frame_size != default_size:
            raise UsageError("--output.shortest_edge_size: give either it or --output.frame_size, not both")
        if output.resize == "pad":
            raise UsageError("--output.shortest_edge_size: keeps the aspect ratio, so --output.resize=pad has no use")
    check_hub_options(config.hub)


def check_hub_options(options: HubConfig) -> None:
    """Raises UsageError where they contradict each other."""
    if options.packed and options.viewer_video:
        raise UsageError("--hub.viewer_video: the viewer plays packed clips as they are; leave it out")


def _check_range(name: str, value: int, lowest: int, highest: int, section: str = "output") -> None:
    if not lowest <= value <= highest:
        raise UsageError(f"--{section}.{name}: {value} must be from {lowest} to {highest}")
