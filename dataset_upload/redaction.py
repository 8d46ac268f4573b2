"""Secrets taken out of whatever people or files are told: errors, log lines, the ledger, tracebacks of libraries."""

from __future__ import annotations

import re
import sys
from typing import Any, TextIO, cast

# What ends a URL that stands in a sentence, in brackets or in quotes.
_END = r"(?=[)\]}>'\",.:;]{0,4}(?:\s|$))"
_SCHEME = r"\b[a-zA-Z][\w+.-]{0,30}"

# Nothing here looks for long from any one place: a server may say what it likes, and as much as it likes.
_RULES = [
    # scheme://user:password@host, also badly encoded, also without the scheme
    (re.compile(rf"({_SCHEME}:/{{1,2}})(?:[^/\s?#]{{0,4000}}|[^/\s:]{{1,99}}:(?!:|\d+[/?#])[^\s@]{{0,4000}})@"), r"\1"),
    (re.compile(r"(?<![\w.+%-])[\w.+%-]+:[^\s/:@'\"]+@(?=[\w\[])"), ""),
    # the query of a URL, which can be a signature
    (re.compile(rf"({_SCHEME}://[^\s?]{{0,4000}})\?\S*?{_END}"), r"\1"),
    # the query of a URL of which only the path is shown
    (re.compile(rf"\?[^\s?=]+=\S*?{_END}"), "?…"),
    # headers and fields, as they are sent or as Python prints them; the Hub's tokens
    (
        re.compile(
            r"(\bauthorization['\"]?\s*[:=]\s*['\"]?)(?:(?:basic|bearer|token|digest)\s+)?[^\s'\",]+", re.IGNORECASE
        ),
        r"\1…",
    ),
    (re.compile(r"(\bbearer\s+)[^\s'\",]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{10,}"), "hf_…"),
    (
        re.compile(
            r"((?:token|password|passwd|secret|signature|credential|api[_-]?key|access[_-]?key)"
            r"(?:['\"]\s*:\s*['\"]|['\"]?\s*=\s*['\"]?))[^\s'\",;&)}\]]+",
            re.IGNORECASE,
        ),
        r"\1…",
    ),
]


def redact(text: str) -> str:
    """A text without users and passwords, queries of URLs, tokens, and values of fields so named."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class _RedactedStream:
    """A stream that redacts what is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redact(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def redact_output() -> None:
    """From now on, redact what this process prints: libraries print tracebacks and warnings without being asked."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _RedactedStream):
            setattr(sys, name, cast(TextIO, _RedactedStream(stream)))
