"""A command's options from dataclasses: a YAML file by `--config_path`, dotted overrides, `--help`.

A configuration is a dataclass of sections, a section a dataclass whose fields are made by `option`, which says all that
is to be known of one. draccus makes values of what YAML says; its refusals are put into our words here.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from dataset_upload.console.parser import Parser, no_such_option
from dataset_upload.errors import UsageError

T = TypeVar("T")
Config = TypeVar("Config")


def option(default: T, help: str, *, unit: str = "", decides_bytes: bool = True, secret: bool = False) -> T:
    """A field of a section: an option with its default.

    Args:
        help: what `--help` says of it, beside its unit and default.
        unit: of its value, as in "frames per second"; "" where there is none.
        decides_bytes: whether another value makes another result, so that a run with it must not add to what is there.
            Whoever forgets to say so gets a refusal too many, never a mixture. The default of a new one must be what
            was done before there was a choice: that is what results from before then are taken for.
        secret: whether the section's `repr` leaves it out.
    """
    metadata = {"help": help, "unit": unit, "decides_bytes": decides_bytes}
    if isinstance(default, list):
        return cast(T, field(default_factory=default.copy, metadata=metadata, repr=not secret))
    return field(default=default, metadata=metadata, repr=not secret)


def result_settings(section: Any) -> dict[str, Any]:
    """The options of a section that decide the bytes of the result, with their values."""
    values = asdict(section)
    return {each.name: values[each.name] for each in fields(section) if each.metadata["decides_bytes"]}


@contextmanager
def naming_options(config_class: type) -> Iterator[None]:
    """Within the block, a UsageError speaks of options where it spoke of arguments, which is what Python callers know.

    Its `argument` and names in backticks become options of the configuration: `overwrite=true` --output.overwrite=true.
    """
    options = {
        argument: f"--{section}.{each.name}"
        for section, section_class in get_type_hints(config_class).items()
        for each in fields(section_class)
        for argument in (each.name, f"{section}.{each.name}")
    }

    def as_option(quoted: re.Match[str]) -> str:
        return options[quoted[1]] + (quoted[2] or "") if quoted[1] in options else quoted[0]

    try:
        yield
    except UsageError as error:
        error.argument = options.get(error.argument or "", error.argument)
        error.args = (re.sub(r"`([\w.]+)(=[^`]*)?`", as_option, error.args[0]),)
        raise


def parse_options(config_class: type[Config], arguments: Sequence[str] | None, *, prog: str, configs: Path) -> Config:
    """Read the command line, and the YAML file that `--config_path` names; the command line has the last word.

    Args:
        config_class: dataclass whose fields are dataclasses of options.
        arguments: of the command line; None: this process's.
        prog: the command, as `--help` shows it.
        configs: folder of the package's YAML files, which `--config_path` finds by name from any folder.

    Raises:
        UsageError: one line that names the option and says what to do.
        SystemExit: after `--help`.
    """
    sections = {section: _options(section_class) for section, section_class in get_type_hints(config_class).items()}
    given = vars(_parser(config_class, sections, prog).parse(arguments))
    path = given.pop("config_path", None)
    values: dict[str, dict[str, Any]] = {} if path is None else _read_file(_find_file(path, configs), sections)
    for name, text in given.items():
        section, _, option = name.partition(".")
        value = _read_value(name, text)
        if option:
            values.setdefault(section, {})[option] = value
        else:
            values[section] = values.get(section, {}) | _section_values(section, value, sections)

    import draccus  # only now: --help need not wait for it

    for section, options in values.items():
        for option, value in options.items():
            if value is None and not sections[section][option].takes_null:
                raise UsageError(f"--{section}.{option}: needs a value, not null")
    try:
        return draccus.decode(config_class, values)  # type: ignore[no-any-return]
    except draccus.utils.DraccusException as error:
        raise UsageError(_reworded(" ".join(str(error).split()))) from error


# What options there are -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Option:
    """One option.

    Attributes:
        type: its annotation.
        default: as it would be given.
        help, unit: see `option`.
    """

    type: Any
    default: str
    help: str
    unit: str

    @property
    def takes_null(self) -> bool:
        return type(None) in get_args(self.type)


Sections = dict[str, dict[str, _Option]]


def _options(section_class: Any) -> dict[str, _Option]:
    """The options of a section, by name."""
    types = get_type_hints(section_class)
    return {
        option.name: _Option(
            types[option.name], _default(option), help=option.metadata["help"], unit=option.metadata["unit"]
        )
        for option in fields(section_class)
    }


def _default(option: Field[Any]) -> str:
    value = option.default_factory() if callable(option.default_factory) else option.default
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _type_name(annotation: Any) -> str:
    """`INT|NULL`, `{exact,auto,fast}`, `LIST`."""
    parts = get_args(annotation)
    if parts and all(isinstance(part, str) for part in parts):
        return f"{{{','.join(parts)}}}"
    if parts and get_origin(annotation) is not list:
        return "|".join(map(_type_name, parts))
    return "NULL" if annotation is type(None) else str((get_origin(annotation) or annotation).__name__).upper()


_CONFIG_PATH_HELP = "YAML file of options; the package's own are found by name from any folder; what is given here wins"


def _parser(config_class: Any, sections: Sections, prog: str) -> Parser:
    """Takes every option as text."""
    usage = "%(prog)s [--config_path FILE] [--SECTION.OPTION VALUE …]"
    parser = Parser(prog, config_class.__doc__, usage=usage, argument_default=argparse.SUPPRESS)
    parser.add_argument("--config_path", metavar="FILE", help=_CONFIG_PATH_HELP)
    for section, options in sections.items():
        parser.add_argument(f"--{section}", help=argparse.SUPPRESS)  # all of it, as a YAML mapping
        group = parser.add_argument_group(section, get_type_hints(config_class)[section].__doc__)
        for name, option in options.items():
            unit = f"; unit: {option.unit}" if option.unit else ""
            group.add_argument(
                f"--{section}.{name}",
                metavar=_type_name(option.type),
                help=f"{option.help} (default: {option.default}{unit})".replace("%", "%%"),
            )
    return parser


# What is given ----------------------------------------------------------------------------------------------


def _find_file(path: str, configs: Path) -> str:
    """The path as it is; where it is the name of a file in `configs`, and of none here, that file's."""
    own = os.path.join(configs, os.path.basename(path))
    return own if path == os.path.basename(path) and os.path.isfile(own) and not os.path.exists(path) else path


def _read_file(path: str, sections: Sections) -> dict[str, dict[str, Any]]:
    """The values of a YAML file, by section and option."""
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except FileNotFoundError as error:
        raise UsageError(f"--config_path: {path} does not exist") from error
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--config_path: cannot be read ({error})") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"--config_path: {path} is not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise UsageError(f"--config_path: {path}: expected a YAML mapping with the sections {', '.join(sections)}")
    return {
        section: _section_values(section, values, sections, place="--config_path: ")
        for section, values in content.items()
    }


def _section_values(section: str, values: Any, sections: Sections, *, place: str = "") -> dict[str, Any]:
    """A section's values, once its name and those of its options are checked."""
    known = [f"--{section}.{option}" for section, options in sections.items() for option in options]
    if section not in sections:
        raise UsageError(f"{place}{section}: {no_such_option(f'--{section}', known)}")
    if not isinstance(values, dict):
        raise UsageError(f"{place}--{section}: {str(values)!r} is not a mapping of options")
    for option in values:
        if option not in sections[section]:
            raise UsageError(f"{place}{section}.{option}: {no_such_option(f'--{section}.{option}', known)}")
    return values


def _read_value(name: str, text: str) -> Any:
    """The YAML that was given for an option."""
    import yaml

    if not text:
        return text
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(
            f"--{name}: {text!r} is not valid YAML; put quotes in quotes: --{name}=\"'{text}'\""
        ) from error


# How draccus phrases what it refuses, and how we say it: naming the option, then the cure.
_REWORDINGS: tuple[tuple[str, str], ...] = (
    (
        r"`(?P<option>[\w.]+)`: Couldn't parse '(?P<value>.*)' into an? (?P<type>\w+)",
        "{value!r} is not of type {type}",
    ),
    (
        r"`(?P<option>[a-z_.]+?)[\d.]*`: Cannot convert '(?P<value>.*)' .*one of: (?P<choices>.*)",
        "{value!r} is none of {choices}",
    ),
    (
        r"`(?P<option>[\w.]+)`: Failed when parsing value='(?P<value>.*?)' into",
        "{value!r} is not a list; write [{value}]",
    ),
)


def _reworded(message: str) -> str:
    for pattern, words in _REWORDINGS:
        if match := re.match(pattern, message):
            return f"--{match['option']}: {words.format(**match.groupdict())}"
    return message
