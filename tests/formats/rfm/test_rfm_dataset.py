"""What comes out: a folder that `datasets` reads as it stands, with columns that never change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import commands
import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from conversions import MODULE, arguments, convert
from dataset_reader import Dataset
from drawn_egodex import MiniEgoDex

from dataset_upload.formats.rfm.card import render, update_card
from dataset_upload.language import TextEncoder
from egodex_loader import get_egodex_iterator

# Changing any of this costs every user: names, order and types are frozen with schema_version 2.
MAIN_COLUMNS = [
    ("id", "string"),
    ("task", "string"),
    ("lang_vector", "list<float>"),
    ("data_source", "string"),
    ("frames", "string"),
    ("is_robot", "bool"),
    ("quality_label", "string"),
    ("partial_success", "float"),
    ("actions", "list<list<float>>"),
    ("confidences", "list<list<float>>"),
    ("camera_to_world", "list<list<list<float>>>"),
    ("intrinsics", "list<list<float>>"),
    ("frame_indices", "list<int32>"),
    ("timestamps", "list<double>"),
    ("source_seconds_left", "list<double>"),
    ("source_num_frames", "int32"),
    ("source_fps", "double"),
    ("source", "string"),
    ("part", "string"),
    ("task_name", "string"),
    ("session_name", "string"),
    ("collector", "string"),
    ("environment", "string"),
    ("object", "string"),
    ("llm_type", "string"),
    ("llm_verbs", "list<string>"),
    ("llm_objects", "list<string>"),
    ("llm_description", "string"),
    ("llm_description2", "string"),
    ("which_llm_description", "int32"),
    ("task_certain", "bool"),
    ("description", "string"),
    ("annotated_task", "string"),
    ("annotated_type", "string"),
    ("annotator_version", "double"),
    ("schema_version", "int32"),
]
HANDS_COLUMNS = [
    ("id", "string"),
    ("left_hand", "list<list<list<float>>>"),
    ("right_hand", "list<list<list<float>>>"),
    ("left_wrist_rotation", "list<list<list<float>>>"),
    ("right_wrist_rotation", "list<list<list<float>>>"),
]


def columns(table: Path) -> list[tuple[str, str]]:
    (shard,) = table.glob("train-*.parquet")
    return [(field.name, str(field.type).replace("element: ", "")) for field in pq.read_schema(shard)]


def test_the_columns_are_frozen(converted: Dataset) -> None:
    assert columns(converted.folder) == MAIN_COLUMNS
    assert columns(converted.folder / "hands") == HANDS_COLUMNS
    assert {row["schema_version"] for row in converted.rows} == {2}


def test_without_video_only_frames_has_another_type(images: Dataset) -> None:
    assert columns(images.folder) == [
        (name, "list<string>" if name == "frames" else kind) for name, kind in MAIN_COLUMNS
    ]
    assert columns(images.folder / "hands") == HANDS_COLUMNS


def test_the_folder_is_laid_out_as_designed(converted: Dataset) -> None:
    assert sorted(path.name for path in converted.output_dir.iterdir() if path.name[0] != ".") == [
        "README.md",
        "egodex_test",
    ]
    assert sorted(path.name for path in converted.folder.iterdir()) == [
        ".work",
        "README.md",
        "batch_0000",
        "conversion.json",
        "hands",
        "ledger.jsonl",
        "train-00000-of-00001.parquet",
    ]
    assert [path.name for path in (converted.folder / "hands").iterdir()] == ["train-00000-of-00001.parquet"]


# As `datasets` reads it ------------------------------------------------------------------------------------


def load(output_dir: Path, name: str) -> Any:
    return datasets.load_dataset(str(output_dir), name, cache_dir=str(output_dir.parent / "hf_cache"))


@pytest.fixture(scope="module")
def loaded(converted: Dataset) -> Any:
    return load(converted.output_dir, "egodex_test")["train"]


@pytest.fixture(scope="module")
def loaded_hands(converted: Dataset) -> Any:
    return load(converted.output_dir, "egodex_test_hands")["train"]


def test_load_dataset_reads_every_row(converted: Dataset, loaded: Any) -> None:
    assert loaded.column_names == [name for name, _ in MAIN_COLUMNS]
    assert loaded["id"][:] == [row["id"] for row in converted.rows]


def test_the_first_eight_columns_are_the_rfm_pipelines_own(converted: Dataset, loaded: Any) -> None:
    value = datasets.Value
    assert dict(list(loaded.features.items())[:8]) == {
        "id": value("string"),
        "task": value("string"),
        "lang_vector": datasets.List(value("float32")),
        "data_source": value("string"),
        "frames": value("string"),
        "is_robot": value("bool"),
        "quality_label": value("string"),
        "partial_success": value("float32"),
    }
    for row in loaded:
        assert row["data_source"] == "egodex_test"
        assert (row["is_robot"], row["quality_label"], row["partial_success"]) == (False, "successful", None)
        assert row["frames"].startswith("egodex_test/batch_0000/trajectory_")
        assert (converted.output_dir / row["frames"]).is_file()


def test_ids_are_unique_and_have_no_slash(loaded: Any) -> None:
    assert len(set(loaded["id"])) == len(loaded)
    assert not any("/" in text for text in loaded["id"])


def test_every_row_holds_one_entry_a_clip_frame(loaded: Any) -> None:
    for row in loaded:
        count = len(row["frame_indices"])
        assert 1 <= count <= 32
        assert np.shape(row["actions"]) == (count, 15)
        assert row["confidences"] is None or np.shape(row["confidences"]) == (count, 4)
        assert np.shape(row["camera_to_world"]) == (count, 4, 4)
        assert np.shape(row["intrinsics"]) == (3, 3)
        assert np.shape(row["timestamps"]) == (count,)


def test_rows_say_what_the_loader_says(mini: MiniEgoDex, loaded: Any) -> None:
    trajectories = {trajectory["id"]: trajectory for trajectory in iterate(mini)}
    assert set(trajectories) == set(loaded["id"][:])
    same = {name for name, _ in MAIN_COLUMNS} & trajectories[loaded[0]["id"]].keys()
    aligned = {"actions", "confidences", "camera_to_world", "intrinsics", "frames"}
    for row in loaded:
        trajectory: Mapping[str, Any] = trajectories[row["id"]]
        assert {name: row[name] for name in same - aligned} == {name: trajectory[name] for name in same - aligned}
        assert row["source_num_frames"] == len(trajectory["frames"])


def iterate(mini: MiniEgoDex) -> Iterator[Any]:
    return get_egodex_iterator(str(mini.path), dataset_name="egodex_test")


def test_unknown_confidences_are_null(mini: MiniEgoDex, loaded: Any) -> None:
    unknown = mini.with_irregularity("missing_confidences").key
    assert [row["source"] for row in loaded if row["confidences"] is None] == [unknown]


def test_a_copy_of_the_old_release_is_kept_and_marked_uncertain(mini: MiniEgoDex, loaded: Any) -> None:
    old = mini.with_irregularity("old_release").key
    assert [row["source"] for row in loaded if not row["task_certain"]] == [old]


def test_lang_vectors_are_those_of_the_task(loaded: Any) -> None:
    encoder = TextEncoder()
    for row in loaded:
        vector = np.array(row["lang_vector"])
        assert vector.shape == (384,)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
        np.testing.assert_array_equal(vector, encoder.encode(row["task"]))


def test_the_hands_are_a_config_of_their_own_keyed_by_id(loaded: Any, loaded_hands: Any) -> None:
    assert loaded_hands.column_names == [name for name, _ in HANDS_COLUMNS]
    assert loaded_hands["id"][:] == loaded["id"][:]
    for row, hands in zip(loaded, loaded_hands, strict=True):
        count = len(row["frame_indices"])
        for side in ("left", "right"):
            assert np.shape(hands[f"{side}_hand"]) == (count, 25, 3)
            assert np.shape(hands[f"{side}_wrist_rotation"]) == (count, 3, 3)


def test_actions_repeat_joints_of_the_sidecar(loaded: Any, loaded_hands: Any) -> None:
    wrist, index_tip = 0, 9
    for row, hands in zip(loaded, loaded_hands, strict=True):
        actions = np.array(row["actions"])
        for column, side, joint in [
            (0, "left", wrist),
            (3, "right", wrist),
            (6, "left", index_tip),
            (9, "right", index_tip),
        ]:
            np.testing.assert_array_equal(actions[:, column : column + 3], np.array(hands[f"{side}_hand"])[:, joint])


@pytest.fixture(scope="module")
def images(mini: MiniEgoDex, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two episodes, converted to JPEGs."""
    output_dir = tmp_path_factory.mktemp("images") / "out"
    convert(mini.path, output_dir, "--output.use_video=false", "--output.max_trajectories=2")
    return Dataset(output_dir)


def test_without_video_each_frame_is_a_jpeg(images: Dataset) -> None:
    for row in load(images.output_dir, "egodex_test")["train"]:
        assert len(row["frames"]) == len(row["frame_indices"])
        for number, path in enumerate(row["frames"]):
            assert path.startswith("egodex_test/batch_0000/trajectory_")
            assert path.endswith(f"/frame_{number:04d}.jpg")
            assert (images.output_dir / path).read_bytes().startswith(b"\xff\xd8\xff")
    assert not list(images.folder.rglob("*.mp4"))


def test_a_dataset_without_rows_is_a_table_without_rows(mini: MiniEgoDex, tmp_path: Path) -> None:
    record = mini.with_irregularity("missing_mp4")
    task = tmp_path / "test" / record.key.split("/")[0]
    task.mkdir(parents=True)
    (task / "0.hdf5").symlink_to(mini.path / f"{record.key}.hdf5")
    run = convert(tmp_path / "test", tmp_path / "out")
    assert run.stdout.count("Skipped: 1 (1 missing mp4)") == 1
    dataset = Dataset(tmp_path / "out")
    assert dataset.rows == []
    assert columns(dataset.folder) == MAIN_COLUMNS


# conversion.json -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def description(converted: Dataset) -> dict[str, Any]:
    text: dict[str, Any] = json.loads((converted.folder / "conversion.json").read_text())
    return text


def test_conversion_json_counts(mini: MiniEgoDex, converted: Dataset, description: dict[str, Any]) -> None:
    assert description["dataset_name"] == "egodex_test"
    assert description["counts"] == {
        "done": len(converted.rows),
        "skipped": {"missing hdf5": 1, "missing mp4": 1, "no description": 2},
        "failed": {},
        "drawn": len(converted.rows),
        "tasks": len({row["task_name"] for row in converted.rows}),
    }
    clips = [converted.output_dir / row["frames"] for row in converted.rows]
    sources = [mini.path / f"{row['source']}{suffix}" for row in converted.rows for suffix in (".hdf5", ".mp4")]
    assert description["bytes"] == {
        "source": sum(path.stat().st_size for path in sources),
        "clips": sum(path.stat().st_size for path in clips),
    }


def test_conversion_json_names_what_made_the_rows(description: dict[str, Any]) -> None:
    assert description["schema_version"] == 2
    settings = description["settings"]
    assert settings == settings | {
        "max_frames": 32,
        "frame_size": 256,
        "shortest_edge_size": None,
        "resize": "stretch",
        "use_video": True,
        "decode_scale": "exact",
        "fps": 30,
        "crf": 18,
        "actions": ["hands", "fingertips", "camera"],
        "max_frame_mismatch": 1,
    }
    assert {"dataset_upload", "av", "numpy", "pyarrow", "h5py"} <= description["versions"].keys()


def test_conversion_json_names_the_action_columns_and_hand_joints(description: dict[str, Any]) -> None:
    poses = ["leftHand", "rightHand", "leftIndexFingerTip", "rightIndexFingerTip", "camera"]
    assert description["action_names"] == [f"{pose}_{axis}" for pose in poses for axis in "xyz"]
    assert description["hand_joints"][:2] == ["Hand", "ThumbKnuckle"]
    assert len(set(description["hand_joints"])) == 25


def test_conversion_json_has_the_statistics_of_the_actions(converted: Dataset, description: dict[str, Any]) -> None:
    actions = np.concatenate([row["actions"] for row in converted.rows])
    statistics = description["action_statistics"]
    np.testing.assert_allclose(statistics["mean"], actions.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(statistics["std"], actions.std(axis=0), atol=1e-4)
    for name, share in (("q01", 0.01), ("q50", 0.5), ("q99", 0.99)):
        exact = np.quantile(actions, share, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(statistics[name], exact, atol=0.6e-3)


def test_nothing_tells_where_or_when_it_was_made(mini: MiniEgoDex, converted: Dataset) -> None:
    texts = [converted.output_dir / "README.md", converted.folder / "conversion.json"]
    for path in (*texts, *converted.folder.rglob("*.parquet"), *converted.folder.rglob("*.mp4")):
        data = path.read_bytes()
        assert str(mini.path.parent).encode() not in data
        assert str(converted.output_dir).encode() not in data


# Several datasets in one folder ----------------------------------------------------------------------------


def files(folder: Path) -> dict[Path, tuple[bytes, int]]:
    """Content and modification time of every file."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def part1(mini: MiniEgoDex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output_dir = tmp_path_factory.mktemp("part1")
    convert(mini.path, output_dir, "--output.max_trajectories=2", name="egodex_part1")
    return output_dir


@pytest.fixture
def output_dir(part1: Path, tmp_path: Path) -> Path:
    """A folder with one dataset, egodex_part1, of two rows."""
    return shutil.copytree(part1, tmp_path / "out")


def configs(output_dir: Path) -> dict[str, str]:
    """Names of the card's configs, with the path of their only split."""
    return {config["config_name"]: config["data_files"][0]["path"] for config in header(output_dir)["configs"]}


def header(output_dir: Path) -> dict[str, Any]:
    _, text, _ = (output_dir / "README.md").read_text().split("---\n", 2)
    metadata: dict[str, Any] = yaml.safe_load(text)
    return metadata


def test_another_dataset_adds_its_configs_and_touches_nothing_else(mini: MiniEgoDex, output_dir: Path) -> None:
    before = files(output_dir / "egodex_part1")
    convert(mini.path, output_dir, "--output.max_trajectories=3", name="egodex_part2")
    assert files(output_dir / "egodex_part1") == before
    assert configs(output_dir) == {
        "egodex_part1": "egodex_part1/train-*.parquet",
        "egodex_part1_hands": "egodex_part1/hands/train-*.parquet",
        "egodex_part2": "egodex_part2/train-*.parquet",
        "egodex_part2_hands": "egodex_part2/hands/train-*.parquet",
    }
    sizes = {name: load(output_dir, name)["train"].num_rows for name in configs(output_dir)}
    assert sizes == {"egodex_part1": 2, "egodex_part1_hands": 2, "egodex_part2": 3, "egodex_part2_hands": 3}


def test_a_run_with_nothing_to_do_touches_nothing(mini: MiniEgoDex, output_dir: Path) -> None:
    def published() -> dict[Path, tuple[bytes, int]]:
        return {path: state for path, state in files(output_dir).items() if path.name != "ledger.jsonl"}

    before = published()
    convert(mini.path, output_dir, "--output.max_trajectories=2", name="egodex_part1")
    assert published() == before


@pytest.mark.parametrize(
    "lost", ["train-00000-of-00001.parquet", "hands", "batch_0000/trajectory_0001.mp4", "conversion.json"]
)
def test_what_somebody_deleted_is_made_again(mini: MiniEgoDex, output_dir: Path, part1: Path, lost: str) -> None:
    path = output_dir / "egodex_part1" / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    convert(mini.path, output_dir, "--output.max_trajectories=2", name="egodex_part1")
    for original in part1.rglob("*"):
        if original.is_file() and original.suffix in (".parquet", ".mp4", ".md", ".json"):
            assert (output_dir / original.relative_to(part1)).read_bytes() == original.read_bytes()


@pytest.mark.usefixtures("sentence_model")
def test_two_runs_side_by_side_both_end_up_in_the_card(mini: MiniEgoDex, tmp_path: Path) -> None:
    names = ("egodex_part1", "egodex_part2", "egodex_part3")
    runs = [
        commands.start("-m", MODULE, *arguments(mini.path, tmp_path, "--output.max_trajectories=1", name=name))
        for name in names
    ]
    assert [commands.end(run).exit_code for run in runs] == [0, 0, 0]
    assert configs(tmp_path).keys() == {f"{name}{suffix}" for name in names for suffix in ("", "_hands")}


def test_datasets_may_differ_in_their_settings(mini: MiniEgoDex, output_dir: Path) -> None:
    options = ("--output.use_video=false", "--output.actions=[camera]", "--output.max_trajectories=1")
    convert(mini.path, output_dir, *options, name="pictures")
    for name in ("egodex_part1", "pictures"):
        (row, *_) = load(output_dir, name)["train"]
        assert isinstance(row["frames"], list) is (name == "pictures")
    card = (output_dir / "README.md").read_text()
    assert "in `pictures`: `camera_x`, `camera_y`, `camera_z`" in card
    assert "in `egodex_part1`: `leftHand_x`" in card


# The card --------------------------------------------------------------------------------------------------


def test_the_card_names_licence_counts_and_columns(converted: Dataset) -> None:
    card = (converted.output_dir / "README.md").read_text()
    assert header(converted.output_dir)["license"] == "cc-by-nc-nd-4.0"
    tasks = len({row["task_name"] for row in converted.rows})
    assert f"| `egodex_test` | {len(converted.rows)} | {tasks} |" in card
    for name, _ in (*MAIN_COLUMNS, *HANDS_COLUMNS):
        assert name in card
    assert "`leftHand_x`, `leftHand_y`, `leftHand_z`, `rightHand_x`" in card
    assert "`Hand`, `ThumbKnuckle`" in card
    assert 'load_dataset("PATH_OR_REPO", "egodex_test", split="train")' in card


def test_text_and_fields_that_others_wrote_survive(output_dir: Path) -> None:
    card = output_dir / "README.md"
    own = card.read_text()
    edited = own.replace("pretty_name: EgoDex for reward models", "pretty_name: Ours\nlanguage: en", 1)
    foreign = "- config_name: extra\n  data_files: extra/*.csv\n"
    edited = edited.replace("configs:\n", f"configs:\n{foreign}", 1)
    edited = (
        edited.replace("---\n<!--", "---\nRead this first.\n\n<!--", 1) + "\n## Notes of ours\n\nKeep the lid on.\n"
    )
    card.write_text(edited)
    update_card(output_dir)
    after = card.read_text()
    assert (
        after.index("Read this first.")
        < after.index("# EgoDex")
        < after.index("## Notes of ours\n\nKeep the lid on.\n")
    )
    metadata = header(output_dir)
    assert (metadata["pretty_name"], metadata["language"]) == ("Ours", "en")
    assert {config["config_name"] for config in metadata["configs"]} == {"egodex_part1", "egodex_part1_hands", "extra"}


def test_a_card_without_a_header_as_a_repo_may_have_is_kept_below_ours(description: dict[str, Any]) -> None:
    card = render("Notes: \n--- dashes ---\n", [description])
    assert card.endswith("\nNotes: \n--- dashes ---\n")
    assert card.startswith("---\n") and "config_name: egodex_test_hands" in card


def test_writing_the_card_again_changes_nothing(converted: Dataset, description: dict[str, Any]) -> None:
    card = (converted.output_dir / "README.md").read_text()
    assert render(card, [description]) == card
    assert render("", [description]) == card
