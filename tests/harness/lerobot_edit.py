"""Edits a dataset with lerobot's own tools, for the tests: runs in an environment of `lerobot_readers`.

    python lerobot_edit.py ROOT OUT

OUT/merged is the dataset twice, OUT/first its episode 0, OUT/rest all others, OUT/deleted what is left without
episode 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lerobot.datasets.dataset_tools import delete_episodes, merge_datasets, split_dataset
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def main(root: str, out: Path) -> None:
    dataset = LeRobotDataset("tests/whole", root=root)
    merge_datasets([dataset, dataset], "tests/merged", output_dir=out / "merged")
    split_dataset(dataset, {"first": [0], "rest": list(range(1, dataset.meta.total_episodes))}, output_dir=out)
    delete_episodes(dataset, [1], output_dir=out / "deleted", repo_id="tests/deleted")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
