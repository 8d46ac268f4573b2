"""Which rows a path names, how they are split, and the cache of what the encoder saw."""

from __future__ import annotations

import logging
import os
import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from tiny_dataset import (
    EPISODES_PER_TASK,
    FRAMES,
    SIDE,
    TASKS,
    mark_as_drawn,
    write_card,
    write_dataset,
    write_datasets,
)

from dataset_upload.errors import UsageError
from reward_model.data import Rows, load_rows, read_clip
from reward_model.encoders import Encoder, choose_encoder, load_encoder
from reward_model.features import (
    Features,
    cache_folder,
    clip_checksums,
    dataset_fingerprint,
    encode_missing,
    feature_file,
)

ROWS = len(TASKS) * EPISODES_PER_TASK


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_datasets(tmp_path_factory.mktemp("data") / "egodex_dataset", "egodex_a", "egodex_b", "other")


@pytest.fixture(scope="module")
def rows(root: Path) -> Rows:
    return load_rows(f"{root}/egodex_a")


# Which rows ------------------------------------------------------------------------------------------------


def sources(rows: Rows) -> set[str]:
    return {row.id.split("-")[0] for row in rows.rows}


def test_a_folder_names_one_dataset(root: Path) -> None:
    assert sources(load_rows(f"{root}/egodex_a")) == {"egodex_a"}


def test_a_name_without_a_folder_names_a_family(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("reward_model").propagate = True
    caplog.set_level(logging.INFO, "reward_model")

    rows = load_rows(f"{root}/egodex")

    assert sources(rows) == {"egodex_a", "egodex_b"}
    assert len(rows) == 2 * ROWS
    assert "egodex names a family: egodex_a, egodex_b" in caplog.text


def test_the_whole_folder_names_all_its_datasets(root: Path) -> None:
    assert sources(load_rows(str(root))) == {"egodex_a", "egodex_b", "other"}


def names(rows: Rows) -> set[str]:
    return {row.id.split("-")[0] for row in rows.rows}


@pytest.fixture
def partly_drawn(tmp_path: Path) -> Path:
    """A folder of one dataset that is drawn and one that is not."""
    root = tmp_path / "egodex_dataset"
    for name in ("egodex_a", "egodex_b"):
        write_dataset(root, name, tasks=["open_box"], episodes=1)
    write_card(root, ["egodex_a", "egodex_b"])
    mark_as_drawn(root, "egodex_b")
    return root


@pytest.mark.parametrize("path", ["egodex", ""])
def test_a_family_leaves_out_what_is_drawn_and_says_so(
    partly_drawn: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with caplog.at_level("INFO", "reward_model"):
        assert names(load_rows(f"{partly_drawn}/{path}")) == {"egodex_a"}
    assert "Dataset egodex_b is left out: it is drawn" in caplog.text


def test_a_drawn_dataset_that_is_named_is_used(partly_drawn: Path) -> None:
    assert names(load_rows(f"{partly_drawn}/egodex_b")) == {"egodex_b"}


def test_a_family_of_drawn_datasets_is_used_and_it_is_said(
    partly_drawn: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mark_as_drawn(partly_drawn, "egodex_a")
    with caplog.at_level("INFO", "reward_model"):
        assert names(load_rows(f"{partly_drawn}/egodex")) == {"egodex_a", "egodex_b"}
    assert "All there is was drawn, not filmed: egodex_a, egodex_b" in caplog.text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"counts": 3}', '{"counts": {"drawn": 0}}', "\udcff"])
def test_a_description_of_another_kind_says_nothing_of_drawing(partly_drawn: Path, text: str) -> None:
    (partly_drawn / "egodex_b" / "conversion.json").write_text(text, errors="surrogateescape")
    assert names(load_rows(f"{partly_drawn}/egodex")) == {"egodex_a", "egodex_b"}


def test_commas_separate_datasets(root: Path) -> None:
    assert sources(load_rows(f"{root}/egodex_b,{root}/other")) == {"egodex_b", "other"}


def test_a_dataset_without_a_card_is_found_by_its_tables(root: Path, tmp_path: Path) -> None:
    (tmp_path / "egodex_a").symlink_to(root / "egodex_a")

    assert len(load_rows(f"{tmp_path}/egodex_a")) == ROWS


@pytest.mark.parametrize(
    "header",
    ["- a list", "configs: 3", "configs: [3]", "configs: [{config_name: a}]", "configs: [", "date: 2026-99-99"],
)
def test_a_card_of_another_kind_is_refused_in_one_line(tmp_path: Path, header: str) -> None:
    (tmp_path / "README.md").write_text(f"---\n{header}\n---\n")
    with pytest.raises(UsageError, match=r"README\.md is not a dataset card that can be read") as error:
        load_rows(f"{tmp_path}/a")
    assert "\n" not in str(error.value)


def test_a_path_that_names_nothing_is_refused_with_what_there_is(root: Path) -> None:
    with pytest.raises(UsageError, match=r"droid is not a dataset.*has egodex_a, egodex_b, other; convert one with"):
        load_rows(f"{root}/droid")


def test_rows_that_share_a_text_share_its_vector(rows: Rows) -> None:
    assert len(rows.texts) == len(rows.vectors) == 2 * len(TASKS)
    assert np.allclose(np.linalg.norm(rows.vectors, axis=1), 1)


def test_a_clip_is_read_as_its_frames(rows: Rows) -> None:
    assert read_clip(rows.clip_files(0)).shape == (FRAMES, SIDE, SIDE, 3)


# Features --------------------------------------------------------------------------------------------------

PIXELS = load_encoder("pixels16", torch.device("cpu"))


def test_features_are_float16_per_frame(rows: Rows, tmp_path: Path) -> None:
    folder, checksums = cache_folder(tmp_path, PIXELS), clip_checksums(rows)
    encode_missing(rows, checksums, PIXELS, folder)
    features = Features(folder, checksums)

    assert features[3].shape == (FRAMES, 16 * 16 * 3)
    assert features[3].dtype == np.float16
    pooled = read_clip(rows.clip_files(3)).reshape(FRAMES, 16, 2, 16, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2) / 255
    assert np.allclose(features[3], pooled.reshape(FRAMES, -1), atol=1e-3)


def test_features_of_any_number_of_clips_keep_no_file_open(tmp_path: Path) -> None:
    checksums = [f"{number:064x}" for number in range(100)]
    feature_file(tmp_path, checksums[0]).parent.mkdir()
    for checksum in checksums:
        np.save(feature_file(tmp_path, checksum), np.zeros((2, 3), np.float16))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 20, hard))

    try:
        features = Features(tmp_path, checksums)
        kept = [features[row] for row in range(100)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert len(kept) == 100


def test_an_interrupted_encoding_goes_on_where_it_was(rows: Rows, tmp_path: Path) -> None:
    folder, checksums = cache_folder(tmp_path, PIXELS), clip_checksums(rows)
    encode_missing(rows, checksums, PIXELS, folder, rank=0, ranks=2)  # as if stopped halfway
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}
    assert len(before) == -(-len(set(checksums)) // 2)

    encode_missing(rows, checksums, PIXELS, folder)

    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert all(feature_file(folder, checksum).exists() for checksum in checksums)


def test_ranks_that_look_at_different_moments_encode_all_clips_between_them(rows: Rows, tmp_path: Path) -> None:
    folder, checksums = cache_folder(tmp_path, PIXELS), clip_checksums(rows)
    for rank in range(3):  # each begins when those before it have finished
        encode_missing(rows, checksums, PIXELS, folder, rank=rank, ranks=3)

    assert all(feature_file(folder, checksum).exists() for checksum in checksums)


def test_other_weights_have_other_features(tmp_path: Path) -> None:
    other = Encoder("pixels16", "other weights", torch.device("cpu"), PIXELS.forward)

    assert cache_folder(tmp_path, PIXELS) != cache_folder(tmp_path, other)


def test_the_fingerprint_of_a_moved_dataset_is_the_same(root: Path, rows: Rows, tmp_path: Path) -> None:
    (tmp_path / "moved").symlink_to(root)
    moved = load_rows(f"{tmp_path}/moved/egodex_a")

    assert dataset_fingerprint(moved, clip_checksums(moved)) == dataset_fingerprint(rows, clip_checksums(rows))


def test_the_fingerprint_tells_everything_that_samples_depend_on(rows: Rows) -> None:
    checksums, first = clip_checksums(rows), rows.rows[0]
    changed = [first._replace(**change) for change in ({"id": "x"}, {"text": 1}, {"task": "x"}, {"session": "x"})]
    changed.append(first._replace(successful=False))
    fingerprints = [
        dataset_fingerprint(rows, checksums),
        dataset_fingerprint(rows, checksums[1:] + checksums[:1]),
        dataset_fingerprint(replace(rows, rows=rows.rows[::-1]), checksums[::-1]),
        dataset_fingerprint(replace(rows, vectors=-rows.vectors), checksums),
        *(dataset_fingerprint(replace(rows, rows=[row, *rows.rows[1:]]), checksums) for row in changed),
    ]

    assert len(set(fingerprints)) == len(fingerprints)


def test_a_clip_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    root = write_datasets(tmp_path / "data", "egodex_a")
    spoilt = root / "egodex_a/batch_0000/trajectory_0001.mp4"
    spoilt.write_bytes(b"no video")
    rows = load_rows(f"{root}/egodex_a")

    with pytest.raises(UsageError, match=r"trajectory_0001\.mp4 cannot be decoded"):
        encode_missing(rows, clip_checksums(rows), PIXELS, tmp_path / "features")


def test_a_cache_that_cannot_be_written_is_named(rows: Rows, tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()

    with pytest.raises(UsageError, match=r"--dataset\.feature_cache: .*a_file/pixels16-1 cannot be written"):
        encode_missing(rows, clip_checksums(rows), PIXELS, cache_folder(tmp_path / "a_file", PIXELS))


def test_a_clip_that_is_missing_is_named(tmp_path: Path) -> None:
    root = write_datasets(tmp_path / "data", "egodex_a")
    (root / "egodex_a/batch_0000/trajectory_0001.mp4").unlink()

    with pytest.raises(UsageError, match=r"trajectory_0001\.mp4"):
        clip_checksums(load_rows(f"{root}/egodex_a"))


# Encoders --------------------------------------------------------------------------------------------------


def test_without_a_hub_the_installed_encoder_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    assert choose_encoder("auto") == "effnet_lite0"
    assert choose_encoder("pixels16") == "pixels16"


def test_the_installed_encoder_sees_what_is_in_a_frame(rows: Rows) -> None:
    encoder = load_encoder("effnet_lite0", torch.device("cpu"))

    features = encoder(read_clip(rows.clip_files(0))[[0, 0, -1]])

    assert features.shape == (3, 1280)
    assert np.array_equal(features[0], features[1])
    assert not np.allclose(features[0], features[2], atol=0.1)


def test_a_model_of_the_hub_is_an_encoder(tmp_path: Path, rows: Rows) -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    transformers.Dinov2Model(transformers.Dinov2Config(**shape)).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 28}, "image_mean": [0.5, 0.5, 0.5]}')

    encoder = load_encoder(f"hf:{tmp_path}", torch.device("cpu"))

    assert encoder(read_clip(rows.clip_files(0))).shape == (FRAMES, 32)
    assert load_encoder(f"hf:{tmp_path}", torch.device("cpu")).fingerprint == encoder.fingerprint


def test_a_model_that_is_not_to_be_had_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--dataset\.encoder: hf:.* cannot be loaded"):
        load_encoder(f"hf:{tmp_path / os.sep.join(['no', 'model'])}", torch.device("cpu"))
