"""Secrets taken out of whatever people or files are told: errors, log lines, the ledger, tracebacks of libraries."""

from __future__ import annotations

import re
import sys
from typing import Any, TextIO, cast

# What ends a URL that stands in a sentence, in brackets or in quotes.
_END = r"(?=[)\]}>'\",.:;]*(?:\s|$))"

_RULES = [
    # scheme://user:password@host, also badly encoded, also without the scheme
    (re.compile(r"(\b[a-zA-Z][\w+.-]*:/{1,2})(?:[^/\s?#]*|[^/\s:]+:(?!:|\d+[/?#])[^\s@]*)@"), r"\1"),
    (re.compile(r"(?<![\w.])[\w.+%-]+:[^\s/:@'\"]+@(?=[\w\[])"), ""),
    # the query of a URL, which can be a signature
    (re.compile(rf"(\b[a-zA-Z][\w+.-]*://[^\s?]*)\?\S*?{_END}"), r"\1"),
    # the query of a URL of which only the path is shown
    (re.compile(rf"\?[^\s?=]+=\S*?{_END}"), "?…"),
    # headers and their names in any spelling; the Hub's tokens
    (re.compile(r"(\bauthorization\b\W*)(?:(?:basic|bearer|token|digest)\W+)?[^\s'\",]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"(\bbearer\s+)[^\s'\",]+", re.IGNORECASE), r"\1…"),
    (re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{10,}"), "hf_…"),
    # name=value and "name": "value"
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
