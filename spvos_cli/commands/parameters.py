"""Commands for Typer, made from functions that take dataclasses: each field that declares an option becomes a
parameter."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import typer

from spvos_cli.option import EXPERT, Declaration, Use, declaration, option_names, refuse_unused

WIDE = 18  # characters of choices that a narrow terminal has room for


class Only(NamedTuple):
    """In an annotation, `Annotated[EngineOptions, Only(...)]`: the fields that the command takes."""

    names: tuple[str, ...]


class AnyOf(NamedTuple):
    """In an annotation, `Annotated[dict[str, Any], AnyOf(...)]`: dataclasses of which the command will make
    one. It takes the fields of all, and the function gets those that were given, by name.

    Attributes:
        kinds: by the value of the option that chooses, the default first.
        chooser: that option.
    """

    kinds: Mapping[str, type]
    chooser: str


class Typed(NamedTuple):
    """An argument of this type gets the names of the options that were typed, whatever their value."""

    names: frozenset[str]


class Parameter(NamedTuple):
    """An option of a command.

    Attributes:
        name: of the field.
        kind: the type of its value on the command line.
        default: where it is not given.
        declared: by the field.
        names: as typed, or empty for an argument.
    """

    name: str
    kind: Any
    default: Any
    declared: Declaration
    names: tuple[str, ...]

    @property
    def shown(self) -> str:
        """What it is called in messages."""
        return self.names[0] if self.names else self.name.upper()

    @property
    def metavar(self) -> str:
        """What --help shows in the place of a value; nothing for a flag."""
        choices = "|".join(self.declared.choices)
        if self.declared.metavar or choices:
            return self.declared.metavar or (choices if len(choices) <= WIDE else "NAME")
        typed = {self.kind, *get_args(self.kind)}
        kinds = {bool: " ", int: "N", float: "X", Path: "FILE"}
        return next((shown for kind, shown in kinds.items() if kind in typed), "TEXT")

    @property
    def help(self) -> str:
        """With the choices that the place of a value has no room for."""
        choices = self.declared.choices
        long = self.metavar == "NAME" and choices
        return f"{self.declared.help} One of {', '.join(choices)}." if long else self.declared.help

    def signature(self) -> inspect.Parameter:
        """As Typer reads it."""
        d = self.declared
        if d.positional:
            info = typer.Argument(help=d.help, metavar=d.metavar, show_default=False)
        else:
            info = typer.Option(
                *self.names,
                help=self.help,
                metavar=self.metavar,
                min=d.least,
                max=d.most,
                rich_help_panel=d.panel,
                show_default=self.default not in (None, False, ""),
            )
        form: Any = Annotated  # a type checker wants types that it can read
        kind, keyword = form[self.kind, info], inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.name, keyword, default=self.default, annotation=kind)

    def value(self, typed: Any) -> Any:
        """The field's value, from that of the command line."""
        plain = typed.value if isinstance(typed, Enum) else typed
        return self.declared.parse(plain) if self.declared.parse and plain is not None else plain


def parameters_of(options: type, only: tuple[str, ...] = ()) -> Iterator[Parameter]:
    """An option for each field of a dataclass that declares one; of `only`, where it is not empty."""
    hints = get_type_hints(options)
    for field in dataclasses.fields(options):
        declared = declaration(field)
        if declared is None or (only and field.name not in only):
            continue
        default = None if isinstance(field.default, tuple) else field.default
        kind = _kind(field.name, declared, hints[field.name], default)
        names = () if declared.positional else option_names(field)
        yield Parameter(field.name, kind, default, declared, names)


def parameters_of_any(choice: AnyOf) -> Iterator[Parameter]:
    """An option for each field of any of the dataclasses, not given by default; its help says which of them
    have it, and their defaults."""
    found: dict[str, dict[str, Parameter]] = {}
    for value, options in choice.kinds.items():
        for parameter in parameters_of(options):
            found.setdefault(parameter.name, {})[value] = parameter
    for name, by_value in found.items():
        first = next(iter(by_value.values()))
        text = f"{first.declared.help} {_defaults(by_value)}".strip()
        if len(by_value) < len(choice.kinds):
            text += f" Only with --{choice.chooser} {either(list(by_value))}."
        declared = first.declared._replace(help=text)
        kind = first.kind if first.default is None else first.kind | None
        yield Parameter(name, kind, None, declared, first.names)


def either(names: list[str]) -> str:
    """ "a, b or c" """
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def _defaults(by_value: Mapping[str, Parameter]) -> str:
    """ "By default 256, with paper 384." """
    defaults = {value: parameter.default for value, parameter in by_value.items()}
    usual = next(iter(defaults.values()))
    other = [f"with {value} {default}" for value, default in defaults.items() if default != usual]
    if usual is None or isinstance(usual, bool):
        return ""
    return f"By default {', '.join([str(usual), *other])}."


class Command:
    """A function that takes dataclasses, as its annotations say, with the options that are made of them."""

    def __init__(self, run: Callable[..., None]) -> None:
        self.run = run
        self.groups: dict[str, list[Parameter]] = {}
        self._makers: dict[str, Callable[..., Any]] = {}
        self._typed: list[str] = []
        for argument, hint in get_type_hints(run, include_extras=True).items():
            kind, *notes = get_args(hint) if get_origin(hint) is Annotated else (hint,)
            choice = next((note for note in notes if isinstance(note, AnyOf)), None)
            if kind is Typed:
                self._typed.append(argument)
            elif choice is not None:
                self.groups[argument], self._makers[argument] = list(parameters_of_any(choice)), dict
            elif dataclasses.is_dataclass(kind) and isinstance(kind, type):
                only = next((note.names for note in notes if isinstance(note, Only)), ())
                self.groups[argument], self._makers[argument] = list(parameters_of(kind, only)), kind
        names = [parameter.name for parameter in self]
        if twice := {name for name in names if names.count(name) > 1}:
            raise TypeError(f"two options {', '.join(sorted(twice))}")

    def __iter__(self) -> Iterator[Parameter]:
        """All options."""
        return (parameter for group in self.groups.values() for parameter in group)

    def call(self, values: Mapping[str, Any], typed: Iterable[str]) -> None:
        """Runs the function.

        Args:
            values: of all options; None: the field's default.
            typed: names of those that the user gave.
        """
        arguments: dict[str, Any] = dict.fromkeys(self._typed, Typed(frozenset(typed)))
        for argument, group in self.groups.items():
            given = {p.name: values[p.name] for p in group if values[p.name] is not None}
            arguments[argument] = self._makers[argument](**given)
        self.run(**arguments)


def typer_command(run: Callable[..., None], uses: Mapping[str, tuple[Use, ...]]) -> Callable[..., None]:
    """A function that Typer makes a command of.

    Args:
        run: takes dataclasses, as its annotations say; its docstring is the command's help.
        uses: when each option has an effect, for `refuse_unused`.
    """
    command = Command(run)

    def call(context: typer.Context, **typed: Any) -> None:
        values = {parameter.name: parameter.value(typed[parameter.name]) for parameter in command}
        given = typed_names(context)
        refuse_unused(uses, values, given, {parameter.name: parameter.shown for parameter in command})
        command.call(values, given)

    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    shown = sorted(command, key=lambda parameter: parameter.declared.panel == EXPERT)
    signature = inspect.Signature([first, *(parameter.signature() for parameter in shown)])
    call.__signature__ = signature  # type: ignore[attr-defined] # a function's attribute that inspect reads
    call.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    paragraphs = (inspect.getdoc(run) or "").split("\n\n")  # --help breaks lines where a terminal ends
    call.__doc__ = "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
    call.__name__ = run.__name__
    return call


def typed_names(context: typer.Context) -> list[str]:
    """Names of the options that were typed, whatever their value."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def _kind(name: str, declared: Declaration, hint: Any, default: Any) -> Any:
    """A type that Typer knows, from a field's."""
    kind = declared.kind or _without_none(hint)
    if declared.choices:
        kind = _enumeration(name, declared.choices)
    return kind | None if default is None else kind


def _enumeration(name: str, choices: tuple[str, ...]) -> Any:
    """Typer knows no other form of choices in all its versions."""
    make: Any = Enum  # a type checker wants the name spelled out
    return make(name, {choice: choice for choice in choices}, type=str)


def _without_none(hint: Any) -> Any:
    """int for int | None."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    (kind,) = (part for part in get_args(hint) if part is not NoneType)
    return kind
