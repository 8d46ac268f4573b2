"""The card of a repo that many datasets share, and people write into."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dataset_upload.dataset_loaders.egodex.about import EGODEX
from dataset_upload.errors import UsageError
from dataset_upload.formats.description import about_as_json
from dataset_upload.formats.rfm.card import listed, render, without_datasets

FOREIGN = """---
license: cc-by-nc-nd-4.0
language:
- en
configs:
- config_name: photos
  data_files: photos/*.jpg
---
# Our lab's data

Ask before you use it.
"""


def description(name: str, *, trajectories: int = 3, action_names: tuple[str, ...] = ("leftHand_x",)) -> dict[str, Any]:
    return {
        "dataset_name": name,
        "counts": {"done": trajectories, "tasks": 2},
        "bytes": {"clips": 1_234_567},
        "settings": {"max_frames": 32},
        "action_names": list(action_names),
        "hand_joints": ["Hand"],
        "about": about_as_json(EGODEX),
    }


def metadata(card: str) -> dict[str, Any]:
    header: dict[str, Any] = yaml.safe_load(card.split("---\n")[1])
    return header


def config_names(card: str) -> list[str]:
    return [config["config_name"] for config in metadata(card)["configs"]]


def test_a_card_says_what_the_hub_and_its_readers_need() -> None:
    card = render("", [description("egodex_test", trajectories=3243)], location="alice/egodex_rfm")
    assert metadata(card)["license"] == "cc-by-nc-nd-4.0"
    assert "robotics" in metadata(card)["task_categories"]
    assert "| `egodex_test` | 3,243 | 2 | at most 32 | 1.2 |" in card
    assert 'load_dataset("alice/egodex_rfm", "egodex_test", split="train")' in card
    assert "@article{hoque2025egodex" in card
    for column in ("id", "task", "lang_vector", "frames", "actions", "camera_to_world", "timestamps"):
        assert f"| {column}" in card or f", {column}" in card


def test_a_card_made_twice_is_the_same() -> None:
    descriptions = [description("egodex_part1"), description("egodex_test")]
    card = render(FOREIGN, descriptions)
    assert render(card, descriptions) == card


def test_what_others_wrote_stays() -> None:
    card = render(FOREIGN, [description("egodex_test")])
    assert "# Our lab's data\n\nAsk before you use it." in card
    assert metadata(card)["language"] == ["en"]
    assert config_names(card) == ["egodex_test", "egodex_test_hands", "photos"]
    updated = render(card, [description("egodex_test", trajectories=5)])
    assert updated == card.replace("| `egodex_test` | 3 |", "| `egodex_test` | 5 |")


def test_datasets_that_are_gone_leave_the_card_and_nothing_else_does() -> None:
    card = render(FOREIGN, [description("egodex_part1"), description("egodex_test")])
    names = ["egodex_test", "egodex_test_hands", "photos"]
    assert config_names(render(card, [description("egodex_test")], gone=["egodex_part1", "photos"])) == names
    alike = "configs:\n- config_name: mine\n  data_files: [{split: train, path: mine/train-*.parquet}]\n"
    assert config_names(render(f"---\n{alike}---\n", [], gone=["mine"])) == ["mine"]


def test_a_key_without_configs_is_none() -> None:
    card = render("---\nconfigs:\n---\n", [description("egodex_test")])
    assert listed(card) == ["egodex_test"]
    assert listed("---\nconfigs:\n---\n") == []


def test_metadata_of_others_is_added_to_and_not_replaced() -> None:
    card = render("---\nlicense: mit\ntags: [lab]\n---\n", [description("egodex_test")])
    assert metadata(card)["license"] == ["mit", "cc-by-nc-nd-4.0"]
    assert metadata(card)["tags"][:2] == ["lab", "egodex"]


def test_text_around_our_section_stays_where_it_is() -> None:
    card = "Before.\n\n" + render("", [description("a")]).split("---\n")[2] + "\nAfter.\n"
    updated = render(card, [description("b")])
    assert updated.index("Before.") < updated.index("| `b` |") < updated.index("After.")
    assert "| `a` |" not in updated


def test_action_columns_are_told_apart_where_they_differ() -> None:
    card = render("", [description("a"), description("b", action_names=("camera_x",))])
    assert "in `a`: `leftHand_x`; in `b`: `camera_x`" in card


def test_the_datasets_of_a_card_can_be_listed_and_left_out(tmp_path: Path) -> None:
    card = render(FOREIGN, [description("egodex_test")])
    assert listed(card) == ["egodex_test", "photos"]
    (tmp_path / "README.md").write_text(card)
    bare = without_datasets(tmp_path)
    assert listed(bare) == []
    assert "Ask before you use it." in bare


@pytest.mark.parametrize(
    "header",
    [
        *("configs: [a", "configs: [a]", "- a list", "configs: [{config_name: [a]}]", "date: 2026-99-99"),
        "configs: " + 5000 * "[",
    ],
    ids=lambda header: header[:30],
)
def test_a_damaged_header_is_named(header: str) -> None:
    with pytest.raises(UsageError, match=r"README\.md: its .*header"):
        render(f"---\n{header}\n---\n", [])
