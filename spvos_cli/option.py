"""Options are declared once, as fields of dataclasses: name, type, default, help and limits. The command line
is made from the fields (`commands.parameters`), and the Python API takes them under the same names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

from spvos_cli.errors import InputError

KEY = "option"
MODEL, MACHINE, OUTPUT = "Model", "Machine", "Output"  # panels of --help
EXPERT = "Expert"  # the last one


class Declaration(NamedTuple):
    """What a field says of its option beside name, type and default.

    Attributes:
        help: whole sentences that need no neighbour.
        panel: of --help; None: the first one.
        choices: the values that a text may have.
        least, most: the limits of a number.
        metavar: what --help shows in the place of a value.
        names: as given on the command line, where they are not made from the field's name.
        kind: the type on the command line, where the field takes more than that.
        parse: makes the field's value of the command line's.
        positional: whether it is an argument without a name.
    """

    help: str
    panel: str | None = None
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    metavar: str | None = None
    names: tuple[str, ...] = ()
    kind: Any = None
    parse: Callable[[Any], Any] | None = None
    positional: bool = False


def option(
    default: Any,
    help: str,
    *,
    panel: str | None = None,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    metavar: str | None = None,
    names: tuple[str, ...] = (),
    kind: Any = None,
    parse: Callable[[Any], Any] | None = None,
    positional: bool = False,
) -> Any:
    """A field of a dataclass that is an option; see `Declaration`."""
    declared = Declaration(help, panel, choices, least, most, metavar, names, kind, parse, positional)
    return dataclasses.field(default=default, metadata={KEY: declared})


def declaration(field: dataclasses.Field[Any]) -> Declaration | None:
    """What a field declares; None where it is no option."""
    return field.metadata.get(KEY)


def option_names(field: dataclasses.Field[Any]) -> tuple[str, ...]:
    """As given on the command line: ("--size",), or ("--reuse/--no-reuse",)."""
    declared = declaration(field)
    return (declared.names if declared else ()) or ("--" + field.name.replace("_", "-"),)


def check_values(options: Any) -> None:
    """Compares every value of a dataclass's instance with the limits that its field declares.

    Raises:
        InputError: it is none of the choices, too small, too large or not a number.
    """
    for field in dataclasses.fields(options):
        declared, value = declaration(field), getattr(options, field.name)
        if declared is None or value is None:
            continue
        name = option_names(field)[-1].split("/")[0]
        if declared.choices and value not in declared.choices:
            expected = f"one of {', '.join(declared.choices)}"
            raise InputError(f"{name} {value}", found="no such choice", expected=expected, fix=name)
        if declared.least is not None or declared.most is not None:
            _check_number(name, value, declared)


def _check_number(name: str, value: Any, declared: Declaration) -> None:
    least, most = declared.least, declared.most
    limits = [(least, "or more"), (most, "or less")]
    expected = " and ".join(f"{limit:g} {text}" for limit, text in limits if limit is not None)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{name} {value!r}", found="no number", expected=expected, fix=name)
    if not ((least is None or value >= least) and (most is None or value <= most)):
        raise InputError(f"{name} {value}", found="out of range", expected=expected, fix=name)


class Use(NamedTuple):
    """When an option has an effect.

    Attributes:
        holds: whether it has one, among the values of all options (attributes by the fields' names).
        beside: what must be given with it, for the message.
    """

    holds: Callable[[SimpleNamespace], bool]
    beside: str


ALWAYS = Use(lambda values: True, "")


def refuse_unused(
    uses: Mapping[str, tuple[Use, ...]],
    values: Mapping[str, Any],
    given: Iterable[str],
    shown: Mapping[str, str] | None = None,
) -> None:
    """The one place where options that would be taken and ignored are refused.

    Args:
        uses: by an option's name, what must hold for it to have an effect.
        values: of all options.
        given: names of those that the user gave.
        shown: what they are called in messages, where it is not "--" and the name.

    Raises:
        InputError: one of them has no effect beside the others.
    """
    space = SimpleNamespace(**values)
    for name in given:
        for use in uses[name]:
            if not use.holds(space):
                title = (shown or {}).get(name) or "--" + name.replace("_", "-")
                fix = f"leave {title} out"
                raise InputError(title, found="it has no effect here", expected=use.beside, fix=fix)


def given_fields(options: Any) -> set[str]:
    """Names of an instance's fields that differ from their defaults."""
    fields = dataclasses.fields(options)
    return {field.name for field in fields if getattr(options, field.name) != field.default}
