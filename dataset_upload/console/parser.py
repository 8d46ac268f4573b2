"""Command lines: argparse, with refusals of one line, and option names in either spelling."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from dataset_upload.errors import UsageError


class Parser(argparse.ArgumentParser):
    """Parses the options of a command.

    Options are declared with underscores; hyphens in their place are understood, too. What cannot be understood is a
    UsageError, which names the option and the cure.
    """

    def __init__(self, prog: str, description: str, **settings: Any) -> None:
        called = Path(sys.argv[0]).name
        prog = called if called.startswith("egodex-") else prog  # a console script's own name
        super().__init__(prog=prog, description=description, allow_abbrev=False, **settings)

    def parse(self, args: Sequence[str] | None) -> argparse.Namespace:
        """The options; None: of this process's command line. Raises UsageError; SystemExit after `--help`."""
        given = list(with_underscores(sys.argv[1:] if args is None else args))
        if not {"-h", "--help"} & set(given):
            for name in option_names(given):
                if name not in self._option_string_actions:
                    raise UsageError(f"{name}: {no_such_option(name, self._option_string_actions)}")
        return self.parse_args(given)

    def error(self, message: str) -> NoReturn:
        """Raise the UsageError that says what argparse says."""
        raise UsageError(_reworded(message))


def number_from(lowest: int, *, or_all: bool = False) -> Callable[[str], int | None]:
    """A `type` of whole numbers from `lowest` on; with `or_all`, "all" is None."""

    def parse(text: str) -> int | None:
        if or_all and text == "all":
            return None
        if not re.fullmatch(r"-?\d+", text, re.ASCII) or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} must be a number from {lowest} on{', or all' * or_all}")
        return int(text)

    return parse


def add_num_workers(parser: Parser) -> None:
    """The option of all commands that use all cores."""
    parser.add_argument(
        "--num_workers",
        metavar="N",
        type=number_from(-1),
        default=-1,
        help="worker processes; -1: one per core, or none where little is to do; 0: none (default: -1)",
    )


def boolean(text: str) -> bool:
    """A `type` of true and false."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} must be true or false")
    return text.lower() == "true"


def with_underscores(arguments: Iterable[str]) -> Iterable[str]:
    """The arguments, with underscores for hyphens in the names of options."""
    for argument in arguments:
        name, equals, value = argument.partition("=")
        yield f"--{name[2:].replace('-', '_')}{equals}{value}" if name.startswith("--") else argument


def option_names(arguments: Sequence[str]) -> Iterable[str]:
    """The names of the options among arguments."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return (argument.partition("=")[0] for argument in arguments[:end] if re.match("--[^=]|-[A-Za-z]", argument))


def no_such_option(name: str, options: Iterable[str]) -> str:
    """What to say of an option that is none of `options`: which one was probably meant."""
    near = difflib.get_close_matches(name, list(options), n=1)
    return "no such option" + (f"; did you mean {near[0]}?" if near else "; --help lists them all")


# How argparse phrases what it refuses, and how we say it: naming the option, then the cure.
_REWORDINGS: tuple[tuple[str, str], ...] = (
    (r"argument (?P<option>\S+): expected one argument", "{option}: needs a value, like {option}=…"),
    (r"argument (?P<option>\S+): expected (?P<number>\d+) arguments", "{option}: needs {number} values"),
    (r"argument (?P<option>\S+): invalid \w+ value: (?P<value>.*)", "{option}: {value} is not understood"),
    (
        r"argument (?P<option>\S+): invalid choice: (?P<value>.*) \(choose from (?P<choices>.*)\)",
        "{option}: {value} is none of {choices}",
    ),
    (r"argument (?P<option>\S+): not allowed with argument (?P<other>\S+)", "{option}: give it or {other}, not both"),
    (r"argument (?P<option>\S+): ignored explicit argument '(?P<value>.*)'", "{option}: takes no value"),
    (r"argument (?P<option>\S+): (?P<message>.*)", "{option}: {message}"),
    (r"the following arguments are required: (?P<names>.*)", "{names}: missing; --help explains"),
    (r"one of the arguments (?P<names>.*) is required", "one of {names} is needed; --help explains"),
    (r"unrecognized arguments: (?P<name>\S+).*", "{name}: one argument too many; --help lists what is understood"),
)


def _reworded(message: str) -> str:
    text = " ".join(message.split())
    for pattern, words in _REWORDINGS:
        if match := re.fullmatch(pattern, text):
            return words.format(**match.groupdict())
    return text
