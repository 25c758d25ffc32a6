"""Convert a frozen config to options of the command line, and parsed options to a config.

Nested configs are flattened: their fields become options too. ``batch_size`` becomes ``--batch-size``.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, NamedTuple

from auricle.core.errors import AuricleError
from auricle.core.options import current

DATA = "what to work on"
PLAIN = "options"
GROUPS = {
    "this machine": ("device", "precision", "batch_size", "workers", "compile", "offline"),
    "answer": (
        "out",
        "json",
        "csv",
        "csv_events",
        "time_line",
        "summary",
        "format",
        "quiet",
        "verbose",
        "overwrite",
        "help",
    ),
}  # headings of options that mean the same in every verb
NOT_SET = ("none", "auto")


class VerbParser(argparse.ArgumentParser):
    """Parse the options of one verb. ``--help`` shows the usual options, ``--help all`` every one; errors take one line.

    Attributes:
        required: destination and spelling of the required arguments and options.
        heading: heading of an option in the help, by destination.
        advanced: destinations that only ``--help all`` shows.
    """

    def __init__(self, verb: str, description: str = ""):
        super().__init__(
            prog=f"auricle {verb}",
            description=inspect.cleandoc(description),
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.required: dict[str, str] = {}
        self.heading: dict[str, str] = {}
        self.advanced: set[str] = set()
        self.add_argument("-h", "--help", action=_Help, help="print this help; --help all: every option")

    def read(self, arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parse what follows the verb.

        Returns:
            The values, with ``typed`` (all arguments as typed), and the arguments that the verb does not take.

        Raises:
            AuricleError: An option is unknown, or a value cannot be read.
        """
        typed = with_dashes(arguments)
        values, rest = self.parse_known_args(typed, argparse.Namespace(typed=typed))
        options = (
            rest[: rest.index("--")] if "--" in rest else rest
        )  # what follows may be a name that begins with a dash
        for argument in options:
            if argument.startswith("-") and argument != "-":
                self._refuse(argument.partition("=")[0])
        return values, self._fill([argument for argument in rest if argument != "--"], values)

    def _fill(self, rest: list[str], values: argparse.Namespace) -> list[str]:
        """Assign arguments that followed an option to the positional arguments without a value; return the others."""
        for action in self._actions:
            if action.option_strings or not rest:
                continue
            if action.nargs == "*":
                setattr(values, action.dest, [*(getattr(values, action.dest) or ()), *rest])
                return []
            if getattr(values, action.dest) is action.default:
                setattr(values, action.dest, rest.pop(0))
        return rest

    def _refuse(self, name: str) -> typing.NoReturn:
        known = [option for option in self._option_string_actions if option.startswith("--")]
        close = difflib.get_close_matches(f"--{name.lstrip('-')}", known, n=1, cutoff=0.5)
        raise AuricleError(
            f"unknown option {name}; {f'did you mean {close[0]}?' if close else f'{self.prog} --help all lists them'}"
        )

    def check_required(self, values: argparse.Namespace) -> None:
        """Raise AuricleError if a required argument or option is missing."""
        missing = [
            name for dest, name in self.required.items() if getattr(values, dest) in (MISSING, [], [""], None, "")
        ]
        if missing:
            raise AuricleError(f"{self.prog} needs {' and '.join(missing)}; {self.prog} --help shows an example")

    def error(self, message: str) -> typing.NoReturn:
        missing = message.removeprefix("the following arguments are required: ")
        if missing != message:
            message = f"{self.prog} needs {missing.upper()}; {self.prog} --help shows an example"
        message = re.sub(r"ignored explicit argument .*", "takes no value", message.removeprefix("argument "))
        raise AuricleError(re.sub(r"expected (.*?) argument(s?)$", r"needs \1 value\2", message))

    def sections(self, *, everything: bool) -> dict[str, list[argparse.Action]]:
        """Return the visible options by heading, arguments first."""
        sections: dict[str, list[argparse.Action]] = {DATA: [], PLAIN: []}
        for action in sorted(self._actions, key=lambda action: (action.dest == "help", action.dest != "model")):
            if action.help == argparse.SUPPRESS or (action.dest in self.advanced and not everything):
                continue
            sections.setdefault(self._heading(action), []).append(action)
        for title in GROUPS:  # these come last
            sections[title] = sections.pop(title, [])
        return {title: actions for title, actions in sections.items() if actions}

    def _heading(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return DATA
        common = next((title for title, names in GROUPS.items() if action.dest in names), None)
        return common or self.heading.get(action.dest, PLAIN)

    def format_help(self, *, everything: bool = False) -> str:
        formatter = self._get_formatter()
        formatter.add_usage(self.usage_line(), [], [], prefix="usage: ")
        formatter.add_text(self.description)
        for title, actions in self.sections(everything=everything).items():
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        hidden = sum(action.dest in self.advanced and action.help != argparse.SUPPRESS for action in self._actions)
        if hidden and not everything:
            formatter.add_text(f"{hidden} more {'option' if hidden == 1 else 'options'}: {self.prog} --help all")
        return formatter.format_help()

    def usage_line(self) -> str:
        """Return the verb with its arguments and required options."""
        parts = [self.prog]
        for action in self._actions:
            if not action.option_strings and action.help != argparse.SUPPRESS:
                shown = f"{action.metavar or action.dest.upper()}{' …' if action.nargs in ('*', '+') else ''}"
                parts.append(shown if action.dest in self.required else f"[{shown}]")
            elif action.dest in self.required:
                parts.append(f"{action.option_strings[0]} {action.metavar or action.dest.upper()}")
        return " ".join([*parts, "[options]"])


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Show one spelling per option, and ``--[no-]x`` for a switch that is on by default."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=30)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings:
            return super()._format_action_invocation(action)
        if isinstance(action, _Switch):
            return (
                f"--[no-]{action.option_strings[0].removeprefix('--')}" if action.default else action.option_strings[0]
            )
        name = action.option_strings[-1]
        return name if action.nargs == 0 else f"{name} {self._format_args(action, str(action.metavar))}"


class _Help(argparse.Action):
    """Print the help: ``--help`` the usual options, ``--help all`` every one."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None):
        super().__init__(option_strings, dest, nargs="?", default=argparse.SUPPRESS, metavar="all", help=help)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        sys.stdout.write(parser.format_help(everything=values == "all"))
        parser.exit()


def with_dashes(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with dashes in the names of options: ``--batch_size=8`` becomes ``--batch-size=8``."""
    return [_dashed(text) if text.startswith("--") and "_" in text else text for text in arguments]


def _dashed(option: str) -> str:
    name, equals, value = option.partition("=")
    return name.replace("_", "-") + equals + value


class Leaf(NamedTuple):
    """A field with a plain value, and what the configs that contain it determine: default, heading, advanced or not."""

    field: Field
    kind: Any
    default: Any
    group: str
    advanced: bool

    @property
    def option(self) -> str:
        return "--" + (self.field.metadata.get("flag") or self.field.name).replace("_", "-")


def leaves(config: type, made: Any = None, group: str = "", advanced: bool = False) -> Iterator[Leaf]:
    """Yield every field of a config and of the configs nested in it.

    Args:
        config: the class.
        made: an instance whose values are the defaults (those of a factory may differ from those of the class).
        group, advanced: for fields that do not set them.
    """
    hints = typing.get_type_hints(config)
    for item in fields(config):
        default = default_of(item) if made is None else getattr(made, item.name)
        title, mark = item.metadata.get("group") or group, item.metadata.get("advanced")
        hidden = advanced if mark is None else mark
        if is_dataclass(hints[item.name]):
            yield from leaves(hints[item.name], None if default is MISSING else default, title, hidden)
        else:
            yield Leaf(item, hints[item.name], default, title, hidden)


def default_of(item: Field) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def add_flags(parser: VerbParser, config: type) -> None:
    """Add one option per field of ``config`` and of the configs nested in it."""
    for leaf in leaves(config):
        if leaf.field.metadata.get("positional"):
            _add_positional(parser, leaf)
        else:
            _add_option(parser, leaf)


def _add_positional(parser: VerbParser, leaf: Leaf) -> None:
    item = leaf.field
    shape = "*" if item.metadata["many"] else "?"
    default: Any = [] if item.metadata["many"] and leaf.default is MISSING else leaf.default
    if leaf.default is MISSING:
        parser.required[item.name] = item.name.upper()
    text = item.metadata["help"].replace("%", "%%")
    parser.add_argument(
        item.name, help=text, nargs=shape, type=element_of(leaf.kind), default=default, metavar=item.name.upper()
    )


def _add_option(parser: VerbParser, leaf: Leaf) -> None:
    item, kind, default, name = leaf.field, leaf.kind, leaf.default, leaf.option
    text = item.metadata.get("help", "").replace("%", "%%")
    common: dict[str, Any] = {"dest": item.name, "default": default, "help": _with_default(text, leaf)}
    if default is MISSING:
        parser.required[item.name] = name
    if leaf.group:
        parser.heading[item.name] = leaf.group
    if leaf.advanced:
        parser.advanced.add(item.name)
    if kind is bool:
        parser.add_argument(name, action=_Switch, **common)
    elif typing.get_origin(kind) is tuple:
        parser.add_argument(name, nargs="*", type=reader_of(leaf), metavar=_metavar(leaf), **common)
    else:
        parser.add_argument(name, type=reader_of(leaf), metavar=_metavar(leaf), **common)


class _Switch(argparse.Action):
    """Set True with ``--x`` and False with ``--no-x``."""

    def __init__(self, option_strings: Sequence[str], dest: str, default: Any, help: str):
        names = [option_strings[0], f"--no-{option_strings[0].removeprefix('--')}"]
        super().__init__(names, dest, nargs=0, default=default, help=help)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, not str(option_string).startswith("--no-"))


def reader_of(leaf: Leaf) -> Any:
    """Return the function that converts the text of an option: a special value ("auto", "none"), or a value of its type.

    Values of the first edition (``option(old=...)``) are translated, with a message on stderr.
    """
    special, element, item = leaf.field.metadata.get("special") or {}, element_of(leaf.kind), leaf.field
    choices = item.metadata.get("choices") or ()

    def read(text: str) -> Any:
        if text in special:
            return special[text]
        if text == "none" and _optional(leaf.kind):
            return None
        try:
            value = element(text)
        except ValueError:
            known = [name for name in special if name in NOT_SET]
            kind = "a whole number" if element is int else "a number" if element is float else element.__name__
            raise argparse.ArgumentTypeError(f"'{text}' is not {' or '.join([kind, *known])}") from None
        except TypeError:
            raise argparse.ArgumentTypeError(f"'{text}' cannot be read") from None
        new = current(item, value)
        if new is not value and new != value:
            from auricle.cli.aliases import note

            note(f"{leaf.option} {text or repr('')}", f"{leaf.option} {shown(leaf, new)}")
        if choices and new is not None and new not in choices:
            raise argparse.ArgumentTypeError(f"'{text}' is none of {', '.join(map(str, choices))}")
        return new

    return read


def shown(leaf: Leaf, value: Any) -> str:
    """Return a value as it is typed on the command line: for None the name of the special value."""
    if value is None:
        special = leaf.field.metadata.get("special") or {}
        return next((name for name, value in special.items() if value is None), "none")
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _with_default(text: str, leaf: Leaf) -> str:
    if leaf.default in (MISSING, "", (), False, True) or (leaf.default is None and "default" in text):
        return text + (" (default: on)" if leaf.default is True else "")
    value = shown(leaf, leaf.default)
    return text if value == "none" and not leaf.field.metadata.get("special") else f"{text} (default: {value})"


def _metavar(leaf: Leaf) -> str:
    choices = leaf.field.metadata.get("choices")
    if choices:
        return f"{{{','.join(choices)}}}"
    return {int: "N", float: "NUMBER"}.get(element_of(leaf.kind)) or leaf.option.rpartition("-")[2].upper()


def _optional(kind: Any) -> bool:
    return type(None) in typing.get_args(kind)


def element_of(kind: Any) -> Any:
    """Return the type of one value: int of ``int | None``, str of ``tuple[str, ...]``."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return element_of(next(part for part in typing.get_args(kind) if part is not type(None)))
    if typing.get_origin(kind) is tuple:
        return element_of(typing.get_args(kind)[0])
    return kind


def config_from(config: type, values: argparse.Namespace) -> Any:
    """Build ``config``, nested configs included, from parsed values."""
    hints = typing.get_type_hints(config)
    parts = {}
    for item in fields(config):
        kind = hints[item.name]
        nested = is_dataclass(kind)
        parts[item.name] = (
            config_from(typing.cast(type, kind), values) if nested else _value(getattr(values, item.name), kind)
        )
    return config(**parts)


def typed_options(values: argparse.Namespace, config: type) -> dict[str, Any]:
    """Return the fields of ``config`` whose options are on the command line, with their values."""
    names = {text.split("=")[0].removeprefix("--no-").removeprefix("--") for text in values.typed if text[:2] == "--"}
    return {
        leaf.field.name: _value(getattr(values, leaf.field.name), leaf.kind)
        for leaf in leaves(config)
        if leaf.option.removeprefix("--") in names
    }


def _value(value: Any, kind: Any) -> Any:
    return tuple(value) if isinstance(value, list) and typing.get_origin(kind) is tuple else value
