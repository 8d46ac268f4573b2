"""What lies in an output folder: what is published of it, what its ledgers say."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from conversions import NAME


def published(output_dir: Path) -> dict[str, bytes]:
    """What is to be the same however a dataset was made: every file but ledgers and what lies in hidden folders."""
    files = (path for path in sorted(output_dir.rglob("*")) if path.is_file())
    names = {path.relative_to(output_dir).as_posix(): path for path in files}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if path.name != "ledger.jsonl" and not any(part.startswith(".") for part in Path(name).parts)
    }


def identities(output_dir: Path) -> dict[str, tuple[int, int]]:
    """(inode, modification time) of what `published` reads: a file that was written anew has others."""
    return {
        name: (os.stat(output_dir / name).st_ino, os.stat(output_dir / name).st_mtime_ns)
        for name in published(output_dir)
    }


def ledger_lines(output_dir: Path, name: str = NAME) -> list[dict[str, Any]]:
    """The ledger's whole lines about episodes."""
    path = output_dir / name / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    facts = [json.loads(line) for line in lines[1:] if line.endswith(b"\n")]
    return [fact for fact in facts if "key" in fact]


def with_checksum(line: str) -> bytes:
    """A line of a ledger, a JSON object, as the converter writes it."""
    text = line.removesuffix("}").encode()
    return b'%b,"crc32":"%08x"}\n' % (text, zlib.crc32(text))


def outcomes(output_dir: Path, name: str = NAME) -> dict[str, tuple[str, str | None]]:
    """(status, reason) of every episode, as the ledger's last line about it says."""
    return {line["key"]: (line["status"], line.get("reason")) for line in ledger_lines(output_dir, name)}
