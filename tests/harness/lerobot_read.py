"""Reads a dataset with whichever lerobot is installed, for the tests: runs in an environment of `lerobot_readers`.

    python lerobot_read.py REPO_ID ROOT OUT VIEWS

ROOT may be empty: then the dataset comes from the Hub. VIEWS is JSON: {name: options}, each view a way to read; what
it gives is saved as OUT/NAME.npz, an array for each key of the items, in the order in which they came. Options:

    episodes            only these
    delta_timestamps    {key: [seconds]}
    indices             of the items to read; all without
    video_backend       "torchcodec" or "pyav"
    num_workers         a DataLoader with so many workers and shuffling reads all; comes before views without, as
                        lerobot's workers inherit the files that their parent has open, and break where it read
    streaming           StreamingLeRobotDataset reads all

Images are reduced to `SMALL`, 0 to 255, (…, height, width, channel).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset

SMALL = (64, 64)


def items(repo_id: str, root: str | None, view: dict[str, Any]) -> Any:
    """What this view iterates over, an item a frame."""
    chosen = {name: view[name] for name in ("episodes", "delta_timestamps", "video_backend") if name in view}
    if view.get("streaming"):
        from lerobot.datasets.streaming_dataset import StreamingLeRobotDataset

        return StreamingLeRobotDataset(repo_id, root=root, **chosen)
    dataset = LeRobotDataset(repo_id, root=root, **chosen)
    if "num_workers" in view:
        loader = torch.utils.data.DataLoader(dataset, batch_size=8, shuffle=True, num_workers=view["num_workers"])
        return (
            {key: values[i] for key, values in batch.items()} for batch in loader for i in range(len(batch["index"]))
        )
    return (dataset[index] for index in view.get("indices", range(len(dataset))))


def plain(key: str, value: Any) -> Any:
    """As NumPy has it."""
    if not isinstance(value, torch.Tensor):
        return value
    if "image" in key and not key.endswith("_is_pad"):
        pictures = value.flatten(0, -4) if value.ndim > 3 else value[None]
        pictures = torch.nn.functional.adaptive_avg_pool2d(pictures, SMALL) * 255
        value = pictures.reshape(*value.shape[:-3], 3, *SMALL).movedim(-3, -1)
    return value.numpy()


def main(repo_id: str, root: str, out: str, views: str) -> None:
    torch.set_num_threads(1)
    for name, view in json.loads(views).items():
        read = [{key: plain(key, value) for key, value in item.items()} for item in items(repo_id, root or None, view)]
        arrays: dict[str, Any] = {key: np.stack([item[key] for item in read]) for key in read[0]}
        np.savez(Path(out) / f"{name}.npz", **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
