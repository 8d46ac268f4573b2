"""docs/actions.md has every representation, and of each its number of columns; its code runs."""

from __future__ import annotations

import re

import numpy as np
from project import PROJECT
from random_poses import as_trajectory, random_transforms

from dataset_upload.actions import REPRESENTATIONS, find_representation, guide15

PAGE = (PROJECT / "docs" / "actions.md").read_text()


def test_the_table_has_every_representation_with_its_number_of_columns() -> None:
    listed = {name: int(columns) for name, columns in re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)}
    names = guide15.names(guide15.PARTS)
    assert listed == {name: len(find_representation(name, names).action_names) for name in REPRESENTATIONS}


def test_its_example_of_a_chunk_runs() -> None:
    (example,) = re.findall(r"```python\n(from dataset_upload.actions import .*?)```", PAGE, re.DOTALL)
    transforms = random_transforms(40)
    variables = {
        "actions": find_representation("egodex48").action(as_trajectory(transforms), np.arange(40)),
        "camera_to_world": transforms["camera"],
    }
    exec(example, variables)
    assert variables["chunk"].actions.shape == (16, 48) and variables["chunk"].is_pad.sum() == 6  # type: ignore[attr-defined]
