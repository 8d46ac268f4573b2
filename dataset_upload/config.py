"""Every option of the converter: its default, its unit, what it accepts, whether it decides the bytes of the result."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dataset_upload.actions.wrist_axes import WristAxes
from dataset_upload.console.options import naming_options, option, parse_options
from dataset_upload.errors import UsageError
from dataset_upload.shard import Shard
from dataset_upload.video import DecodeScale, ResizeMode, VideoCodec

ActionPart = Literal["hands", "fingertips", "camera"]
LerobotVersion = Literal["v3.0", "v2.1"]
LerobotKeys = Literal["default", "mecka"]
LerobotVideo = Literal["encode", "copy"]

CONFIGS = Path(__file__).parent / "configs" / "data_gen_configs"  # YAML files of options

PLACEHOLDER_PATH = "/path/to/egodex/test"
PLACEHOLDER_OWNER = "your-username"


@dataclass
class DatasetConfig:
    """What to convert."""

    dataset_path: list[str] | str = option(  # a list stands first: as text it would do, too
        PLACEHOLDER_PATH,
        "folder, zip or URL of an EgoDex part, egodex://test; or several",
        decides_bytes=False,
    )
    dataset_name: str = option("egodex_test", "name of the result: its folder, its config on the Hub, part of every id")
    tasks: list[str] | str = option([], "names of tasks, or globs, to convert; none: all tasks", decides_bytes=False)
    loader: str = option("egodex", "what reads dataset_path", decides_bytes=False)  # the ledger compares it by itself
    cameras: list[str] | str = option(
        "all", "of loader lerobot: all, first, or names; an episode each", decides_bytes=False
    )
    mini_episodes: int = option(
        0,
        "first make a miniature EgoDex of so many episodes at dataset_path, if nothing is there",
        unit="episodes",
        decides_bytes=False,
    )


@dataclass
class OutputConfig:
    """What comes out."""

    output_dir: str = option(
        "egodex_dataset",
        "folder that holds any number of datasets, laid out like the Hub repo",
        decides_bytes=False,
    )
    format: str = option("rfm", "what comes out", decides_bytes=False)  # the ledger compares it by itself
    max_trajectories: int | None = option(
        100, "how many to convert, spread over all tasks; -1 or null: all", unit="episodes", decides_bytes=False
    )
    max_frames: int = option(32, "length of a clip at most, evenly spaced frames; -1: all", unit="frames")
    frame_size: int = option(256, "side of the square clip, even", unit="pixels")
    shortest_edge_size: int | None = option(
        None, "keep the aspect ratio: the shorter side gets this length; null: square", unit="pixels"
    )
    resize: ResizeMode = option("stretch", "how 16:9 becomes a square")
    center_crop: bool = option(False, "same as resize: center_crop", decides_bytes=False)  # `resize` decides
    use_video: bool = option(True, "one MP4 a clip; false: JPEG files")
    frames_video: bool = option(
        False, "add a column of the clips' absolute paths, for readers that know no output_dir", decides_bytes=False
    )
    decode_scale: DecodeScale = option("exact", "at full size; auto and fast, once cheaper, now mean the same")
    fps: int = option(30, "frame rate that clips play at", unit="frames per second")
    crf: int = option(18, "x264 quality, 0 (lossless) to 51; 18 is about 37 KiB a clip")
    actions: list[ActionPart] = option(
        ["hands", "fingertips", "camera"], "parts of an action of guide15, 3 to 15 columns", unit="metres"
    )
    action_representation: str = option("guide15", "what an action consists of; docs/actions.md compares them")
    wrist_axes: WristAxes = option("arkit", "which way a wrist's axes point; canonical: fingers along +X on both hands")
    max_frame_mismatch: int = option(
        1, "by how much video and poses may differ in length; both are cut to the shorter", unit="frames"
    )
    engine: str = option("processes", "where episodes are converted", decides_bytes=False)
    ray_address: str = option(
        "auto",
        "HOST:PORT of the cluster for output.engine=ray; auto: that which this machine belongs to; local: start one",
        decides_bytes=False,
    )
    num_workers: int = option(
        -1, "how many to convert in; -1: one per core, 0: in this process", unit="worker processes", decides_bytes=False
    )
    episode_timeout_s: int = option(
        600, "time after which an episode is given up; needs workers", unit="seconds", decides_bytes=False
    )
    shard: str | None = option(
        None, "convert only a share, i/n: 0/8 is the first of eight; the run without it finishes", decides_bytes=False
    )
    any_cpu: bool = option(
        False, "go on where another kind of processor made clips, whose bytes may differ", decides_bytes=False
    )
    fail_fast: bool = option(False, "stop at the first episode that fails", decides_bytes=False)
    overwrite: bool = option(
        False, "replace a dataset of this name that was made with other settings", decides_bytes=False
    )
    verbose: bool = option(False, "two lines a trajectory", decides_bytes=False)


@dataclass
class LerobotConfig:
    """How `output.format: lerobot` looks; frame size and resize mode are those of the output."""

    version: LerobotVersion = option("v3.0", "v3.0: packed files, a few; v2.1: two files an episode")
    keys: LerobotKeys = option("default", "names of video, camera and hands; mecka: those that Cosmos' reader knows")
    video: LerobotVideo = option("encode", "copy: the source's own pictures, as large and as coded as they are")
    fps: int = option(30, "frame rate: the source's, or one that divides it", unit="frames per second")
    codec: VideoCodec = option("h264", "h264: what every reader decodes; av1: what LeRobot records in")
    crf: int = option(23, "quality, 0 (best) to 51 of h264, to 63 of av1")
    # 672 real frames at 256x256 and crf 23 take 1,065 kB with gop 2, 497 with 10, 384 with 30; to decode one of them at
    # random takes 0.37, 0.78 and 1.66 ms.
    gop: int = option(
        10, "from a keyframe to the next: few make random access quick, many make files small", unit="frames"
    )
    horizons: list[int] = option(
        [],
        "add meta/chunk_stats.json: statistics of chunks of so many actions, in the camera of the first; none: no",
        unit="actions",
        decides_bytes=False,  # only of that file, which any later run makes anew
    )
    hands: bool = option(True, "add hands.xyz: 25 joints of each hand, 600 bytes a frame")


@dataclass
class QualityConfig:
    """Which episodes are left out."""

    filters: list[Any] | str = option(
        "none",
        "rules, [{measure: hands_in_frame, min: 0.5}], with min, max or is, or light or strict: docs/quality.md",
        decides_bytes=False,  # of no row: only which there are
    )


@dataclass
class HubConfig:
    """Where to publish it."""

    push_to_hub: bool = option(False, "upload the result to the Hugging Face Hub", decides_bytes=False)
    hub_repo_id: str = option(
        f"{PLACEHOLDER_OWNER}/egodex_rfm",
        "OWNER/NAME of the repo; owner: HF_USERNAME or the token's; LeRobot: by default the name is dataset_name",
        decides_bytes=False,
    )
    hub_token: str | None = option(
        None, "access token; null: HF_TOKEN or the saved login", decides_bytes=False, secret=True
    )
    private: bool = option(True, "make a new repo private; false: do not refuse a public one", decides_bytes=False)
    viewer_video: bool = option(
        False, "add a column to the pushed table by which the Hub's viewer plays the clips", decides_bytes=False
    )
    packed: bool = option(
        False, "put the clips into the pushed table instead of pushing a file each", decides_bytes=False
    )


@dataclass
class GenerateConfig:
    """Convert EgoDex into an RFM dataset."""

    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    lerobot: LerobotConfig = field(default_factory=LerobotConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    hub: HubConfig = field(default_factory=HubConfig)


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
    if output.shard is not None:
        try:
            Shard.parse(output.shard)
        except ValueError as error:
            raise UsageError(f"--output.shard: {output.shard} {error}") from error
        if output.overwrite:
            raise UsageError(
                "--output.overwrite: a shard would delete what others make; give it once before, without --output.shard"
            )
    if not output.actions or len(set(output.actions)) < len(output.actions):
        raise UsageError("--output.actions: name each part once, at least one of hands, fingertips, camera")

    if output.action_representation != "guide15" and output.actions != OutputConfig().actions:
        raise UsageError(
            f"--output.actions: chooses parts of guide15; leave it out with {output.action_representation}"
        )

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
    if output.format == "lerobot":
        check_lerobot(config)
    check_hub_options(config.hub)
    if config.quality.filters != QualityConfig.filters:
        from dataset_upload.quality.filters import make_rules  # only now: --help need not wait for it

        with naming_options(GenerateConfig):
            make_rules(config.quality.filters)


_ENCODING = ("codec", "crf", "gop")


def check_lerobot(config: GenerateConfig) -> None:
    """See that options fit LeRobot datasets, and name the repo after the dataset if nobody has. Raises UsageError."""
    _check_range("fps", config.lerobot.fps, 1, 1000, section="lerobot")
    _check_range("crf", config.lerobot.crf, 0, 63 if config.lerobot.codec == "av1" else 51, section="lerobot")
    _check_range("gop", config.lerobot.gop, 1, 1000, section="lerobot")
    if config.lerobot.video == "copy":
        for section, names in (("output", ("frame_size", "shortest_edge_size", "resize")), ("lerobot", _ENCODING)):
            given, usual = getattr(config, section), getattr(GenerateConfig(), section)
            for name in names:
                if getattr(given, name) != getattr(usual, name):
                    raise UsageError(f"--{section}.{name}: has no use with --lerobot.video=copy; leave it out")
    if config.lerobot.keys == "mecka" and not config.lerobot.hands:
        raise UsageError("--lerobot.hands: mecka's keys are those of hands; leave it out, or --lerobot.keys")
    horizons = config.lerobot.horizons
    if len(set(horizons)) < len(horizons):
        raise UsageError("--lerobot.horizons: name each once")
    for horizon in horizons:
        _check_range("horizons", horizon, 1, 1000, section="lerobot")
    default = OutputConfig()
    for name, instead in (
        ("max_frames", "--lerobot.fps says how many frames are kept"),
        ("fps", "give --lerobot.fps"),
        ("crf", "give --lerobot.crf"),
        ("use_video", "LeRobot datasets are written with video only"),
        ("frames_video", "LeRobot datasets have no such column"),
    ):
        if getattr(config.output, name) != getattr(default, name):
            raise UsageError(f"--output.{name}: has no use with --output.format=lerobot; {instead}")
    for name in ("packed", "viewer_video"):
        if getattr(config.hub, name):
            raise UsageError(f"--hub.{name}: has no use with --output.format=lerobot; its videos are packed already")
    if config.hub.hub_repo_id == HubConfig.hub_repo_id:  # where others may lie, but it takes a repo of its own
        config.hub.hub_repo_id = f"{PLACEHOLDER_OWNER}/{config.dataset.dataset_name}"


def check_hub_options(options: HubConfig) -> None:
    """Raises UsageError where they contradict each other."""
    if options.packed and options.viewer_video:
        raise UsageError("--hub.viewer_video: the viewer plays packed clips as they are; leave it out")


def _check_range(name: str, value: int, lowest: int, highest: int, section: str = "output") -> None:
    if not lowest <= value <= highest:
        raise UsageError(f"--{section}.{name}: {value} must be from {lowest} to {highest}")
