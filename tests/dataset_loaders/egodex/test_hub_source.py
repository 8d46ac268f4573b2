"""EgoDex in a private repo on the Hub: read in place, by ranges."""

from __future__ import annotations

import hashlib
from pathlib import Path

from archives import add_hole, pack
from drawn_egodex import MiniEgoDex
from hub_client import Client
from hub_server import File, HubServer

LIST_AND_LOAD = """
import json
from dataset_upload.storage.byte_source import take_fetched_bytes
from egodex_loader import get_egodex_iterator
sources = [t["source"] for t in get_egodex_iterator("hf://datasets/alice/egodex/test.zip", max_trajectories=3)]
print(json.dumps([sources, take_fetched_bytes()]))
"""


def test_an_archive_in_a_private_repo_is_read_by_ranges(mini: MiniEgoDex, tmp_path: Path) -> None:
    path = pack(mini.path, tmp_path / "test.zip")
    add_hole(path, "test/huge.bin", 50_000_000)
    content = path.read_bytes()
    with HubServer() as hub:
        repo = hub.create("alice/egodex", private=True)
        repo.commit({"test.zip": File(content, hashlib.sha256(content).hexdigest())}, "Add test.zip")
        sources, fetched_bytes = Client(hub, tmp_path / "home").evaluate(LIST_AND_LOAD)
        num_reads = hub.count(r"GET .*/resolve/.*/test\.zip")
    assert len(sources) == 3
    assert num_reads == 1 + 3  # the directory, then each pair
    assert fetched_bytes < 3_000_000
