"""A finished LeRobot dataset in another version of the format: nothing is decoded, nothing encoded."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

from dataset_upload.config import LerobotVersion
from dataset_upload.dataset_folder import WORK, dataset_lock
from dataset_upload.errors import UsageError
from dataset_upload.formats.description import about as about_of
from dataset_upload.formats.lerobot import card
from dataset_upload.formats.lerobot.build import Build, finish_build, robot_type
from dataset_upload.formats.lerobot.finished_dataset import LerobotDataset
from dataset_upload.formats.lerobot.layout import find_layout


def rewrite(dataset: LerobotDataset, target: Path, version: LerobotVersion) -> None:
    """Write a dataset into a new folder.

    Args:
        dataset: which stays as it is.
        target: a folder that is not there yet, or empty.
        version: of the new one.

    Raises:
        UsageError: something is in `target`, or it lies in the dataset.
        DamagedFileError: the dataset is damaged.
        OSError: nothing can be read or written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not empty; give a new folder")
    if target.resolve().is_relative_to(dataset.folder.resolve()):
        raise UsageError(f"{target} lies in {dataset.folder}; give a folder outside it")
    about = about_of(dataset.description)
    target.mkdir(parents=True, exist_ok=True)
    with nullcontext() if dataset.is_copy else dataset_lock(dataset.folder):  # no run may change it meanwhile
        build = Build(
            target,
            find_layout(version, dataset.keys_name),
            dataset.features,
            about.columns,
            dataset.fps,
            robot_type(about),
            dataset.representation,
            dataset.keys_name,
            dataset.horizons,
            dataset.episodes,
            None,
        )
        columns = (dataset.column(name) for name in ("source", "clip_number"))
        files = build.run(list(zip(*columns, strict=True)))
        settings = {**dataset.description["settings"], "version": version}
        description = {**dataset.description, "dataset_name": target.name, "settings": settings}
        finish_build(target, files, lambda sizes: {**description, "files": sizes}, [])
        card.write(target, description)
        shutil.rmtree(target / WORK)  # it is a copy, without a ledger
