"""The rows of RFM datasets with their clips.

rows = load_rows("egodex_dataset/egodex")  # one dataset, or all whose names begin with egodex
frames = read_clip(rows.clip_files(0))  # (T, H, W, 3) uint8
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_upload.errors import UsageError
from dataset_upload.formats.rfm.layout import MAIN, has_tables, is_sidecar, table_pattern

logger = logging.getLogger("reward_model")

HUB_PREFIX = "hf://datasets/"
EXTRA_COLUMNS = ("task_name", "session_name")  # that converters other than ours may lack


class Row(NamedTuple):
    """One trajectory."""

    id: str
    text: int  # which of Rows.texts describes it
    task: str  # the name of the task, the same whatever the words and the direction
    session: str  # the recording session it comes from
    successful: bool
    frames: tuple[str, ...]  # its MP4, or its JPEGs, below `source`
    source: Source


@dataclass(frozen=True)
class Source:
    """A folder of datasets: a local one, or the snapshot of a Hub repo, whose clips come when they are asked for."""

    root: Path
    repo: str | None = None

    def file(self, name: str) -> Path:
        """Where a file of it lies on this machine."""
        path = self.root / name
        if self.repo is None or path.exists():
            return path
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(self.repo, name, repo_type="dataset", revision=self.root.name))

    def fetch(self, pattern: str) -> list[Path]:
        """The files that match, in order; of a Hub repo they are downloaded first."""
        if self.repo is not None:
            _snapshot(self.repo, pattern, revision=self.root.name)
        return sorted(self.root.glob(pattern))


@dataclass(frozen=True)
class Rows:
    """All rows, in the order of the tables.

    Attributes:
        rows: N of them.
        texts: the U different task texts.
        vectors: (U, 384) float32 of unit norm: the texts' `lang_vector`.
    """

    rows: list[Row]
    texts: list[str]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def clip_files(self, index: int) -> list[Path]:
        """The files of a row's clip on this machine."""
        row = self.rows[index]
        return [row.source.file(name) for name in row.frames]

    def text_vectors(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 384) of these rows' texts."""
        return self.vectors[[self.rows[index].text for index in indices]]

    def similarity(self, a: int, b: int) -> float:
        """Cosine of two texts, by their numbers."""
        return float(self.vectors[a] @ self.vectors[b])


# Finding ---------------------------------------------------------------------------------------------------


def load_rows(dataset_path: str) -> Rows:
    """The rows of every dataset that `dataset_path` names; the log says which these are.

    Raises UsageError where there is none.
    """
    rows: list[Row] = []
    texts: dict[str, int] = {}
    vectors: list[Any] = []
    for path in dataset_path.split(","):
        source, patterns = _find(path.strip())
        for name, pattern in patterns.items():
            count = len(rows)
            for shard in source.fetch(pattern):
                _read_shard(shard, source, rows, texts, vectors)
            logger.info(f"Dataset {name}: {len(rows) - count} trajectories, in {source.repo or source.root}")
    if not rows:
        raise UsageError(f"--dataset.dataset_path: {dataset_path} has no trajectories; convert some first")
    return Rows(rows, list(texts), np.array(vectors, np.float32))


def _find(path: str) -> tuple[Source, dict[str, str]]:
    """The folder that `path` points into, and name and table pattern of the datasets that it means."""
    if path.startswith(HUB_PREFIX):
        owner, repo, *rest = [*path.removeprefix(HUB_PREFIX).split("/"), "", ""][:3]
        if not (owner and repo):
            raise UsageError(f"--dataset.dataset_path: {path} must be {HUB_PREFIX}OWNER/REPO[/NAME]")
        repo_id = f"{owner}/{repo}"
        return _among(Source(_snapshot(repo_id, "README.md"), repo_id), rest[0], path)
    local = Path(path).expanduser().absolute()
    if has_tables(local):  # one dataset, whose own README.md lists no others
        return Source(local.parent), {local.name: f"{local.name}/{table_pattern(MAIN)}"}
    if (local / "README.md").exists():
        return _among(Source(local), "", path)
    return _among(Source(local.parent), local.name, path)


def _among(source: Source, name: str, path: str) -> tuple[Source, dict[str, str]]:
    """The dataset of that name; if there is none, all whose names begin with it."""
    datasets = _datasets_of_card(source.root / "README.md")
    if name in datasets:
        return source, {name: datasets[name]}
    family = {each: pattern for each, pattern in datasets.items() if each.startswith(name)}
    if not family:
        there = f"has {', '.join(datasets)}" if datasets else "is no dataset card"
        raise UsageError(
            f"--dataset.dataset_path: {path} is not a dataset, nor the beginning of one's name: "
            f"{source.root / 'README.md'} {there}; convert one with python -m dataset_upload.generate_hf_dataset"
        )
    drawn = [each for each in family if _is_drawn(source, each)]
    if len(drawn) < len(family):
        family = {each: pattern for each, pattern in family.items() if each not in drawn}
        for each in drawn:
            logger.info(f"Dataset {each} is left out: it is drawn, not filmed; name it alone to learn from it")
    elif drawn:
        logger.info(f"All there is was drawn, not filmed: {', '.join(drawn)}")
    if name:
        logger.info(f"{path} names a family: {', '.join(family)}")
    return source, family


def _is_drawn(source: Source, name: str) -> bool:
    """Whether conversion.json says that episodes of a dataset were drawn; datasets of other converters have none."""
    for path in source.fetch(f"{name}/conversion.json"):
        try:
            return bool(json.loads(path.read_text(encoding="utf-8"))["counts"]["drawn"])
        except (OSError, ValueError, TypeError, LookupError, RecursionError):  # nor is it one of ours
            return False
    return False


def _datasets_of_card(card: Path) -> dict[str, str]:
    """Name and table pattern of each dataset that a card's YAML lists; without the sidecars.

    Raises UsageError where the card is not as a dataset card should be.
    """
    import yaml

    try:
        text = card.read_text(encoding="utf-8") if card.exists() else ""
        header = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
        configs = (yaml.safe_load(header[1]) or {}).get("configs") or [] if header else []
        patterns = {str(config["config_name"]): str(config["data_files"][0]["path"]) for config in configs}
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"--dataset.dataset_path: {card} is not a dataset card that can be read ({reason})") from error
    return {name: pattern for name, pattern in patterns.items() if not is_sidecar(name)}


def _snapshot(repo: str, pattern: str, revision: str | None = None) -> Path:
    """The local folder of a Hub dataset repo's commit, with the files that match."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=[pattern]))
    except Exception as error:  # the errors of the HTTP client share no narrower class
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise UsageError(f"--dataset.dataset_path: {HUB_PREFIX}{repo} cannot be read ({reason})") from error


def _read_shard(shard: Path, source: Source, rows: list[Row], texts: dict[str, int], vectors: list[Any]) -> None:
    """Append a table's rows, and its new texts with their vectors."""
    import pyarrow.parquet as pq

    names = pq.read_schema(shard).names
    columns = ["id", "task", "lang_vector", "frames", "quality_label", *(set(EXTRA_COLUMNS) & set(names))]
    for batch in pq.ParquetFile(shard).iter_batches(columns=columns):
        vector_of = batch.column("lang_vector")
        for i, row in enumerate(batch.drop_columns("lang_vector").to_pylist()):
            text = texts.setdefault(row["task"], len(texts))
            if text == len(vectors):
                vectors.append(vector_of[i].values.to_numpy())
            frames = row["frames"]
            rows.append(
                Row(
                    id=row["id"],
                    text=text,
                    task=row.get("task_name") or row["task"],
                    session=row.get("session_name") or row["id"],
                    successful=row["quality_label"] == "successful",
                    frames=(frames,) if isinstance(frames, str) else tuple(frames),
                    source=source,
                )
            )


# Reading ---------------------------------------------------------------------------------------------------


def read_clip(files: list[Path]) -> NDArray[np.uint8]:
    """The frames, (T, H, W, 3) RGB, of an MP4 or of as many JPEGs."""
    from dataset_upload.video.plain_decoding import decode_clip

    return np.stack(list(decode_clip(file.read_bytes() for file in files)))
