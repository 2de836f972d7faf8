"""Commands for Typer, made from functions that take dataclasses: each field that declares an option becomes a
parameter."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import typer

from spvos_cli.option import Declaration, Use, declaration, option_names, refuse_unused


class Only(NamedTuple):
    """In an annotation, `Annotated[EngineOptions, Only(...)]`: the fields that the command takes."""

    names: tuple[str, ...]


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

    def signature(self) -> inspect.Parameter:
        """As Typer reads it."""
        d = self.declared
        if d.positional:
            info = typer.Argument(help=d.help, metavar=d.metavar, show_default=False)
        else:
            info = typer.Option(
                *self.names,
                help=d.help,
                metavar=d.metavar,
                min=d.least,
                max=d.most,
                rich_help_panel=d.panel,
                show_default=self.default not in (None, False, ""),
            )
        form: Any = Annotated  # a type checker wants types that it can read
        kind, keyword = form[self.kind, info], inspect.Parameter.KEYWORD_ONLY
        return inspect.Parameter(self.name, keyword, default=self.default, annotation=kind)

    def value(self, given: Any) -> Any:
        """The field's value, from that of the command line."""
        if isinstance(given, Enum):
            given = given.value
        return self.declared.parse(given) if self.declared.parse and given is not None else given


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


def options_of(run: Callable[..., None]) -> dict[str, Parameter]:
    """All options of a command, by name.

    Raises:
        TypeError: two of its dataclasses have a field of one name.
    """
    found: dict[str, Parameter] = {}
    for options, only in _dataclasses(run).values():
        for parameter in parameters_of(options, only):
            if parameter.name in found:
                raise TypeError(f"two options {parameter.name}")
            found[parameter.name] = parameter
    return found


def typer_command(
    run: Callable[..., None], uses: Mapping[str, tuple[Use, ...]] | None = None
) -> Callable[..., None]:
    """A function that Typer makes a command of.

    Args:
        run: takes dataclasses, as its annotations say; its docstring is the command's help.
        uses: when each option has an effect, for `refuse_unused`; None: `run` refuses by itself.
    """
    parameters, classes = options_of(run), _dataclasses(run)

    def call(context: typer.Context, **typed: Any) -> None:
        values = {name: parameters[name].value(value) for name, value in typed.items()}
        if uses is not None:
            shown = {p.name: p.names[0] if p.names else p.name.upper() for p in parameters.values()}
            refuse_unused(uses, values, given_on_command_line(context), shown)
        arguments = {}
        for argument, (options, only) in classes.items():
            own = [p.name for p in parameters_of(options, only)]
            arguments[argument] = options(**{n: values[n] for n in own if values[n] is not None})
        run(**arguments)

    first = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    signature = inspect.Signature([first, *(p.signature() for p in parameters.values())])
    call.__signature__ = signature  # type: ignore[attr-defined] # a function's attribute that inspect reads
    call.__annotations__ = {name: p.annotation for name, p in signature.parameters.items()}
    call.__doc__, call.__name__ = run.__doc__, run.__name__
    return call


def given_on_command_line(context: typer.Context) -> list[str]:
    """Names of the options that were typed, whatever their value."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]


def _dataclasses(run: Callable[..., None]) -> dict[str, tuple[type, tuple[str, ...]]]:
    """The dataclasses that a function takes, by argument, with the fields that are options of it."""
    found = {}
    for name, hint in get_type_hints(run, include_extras=True).items():
        options, *rest = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        if dataclasses.is_dataclass(options) and isinstance(options, type):
            only = next((note.names for note in rest if isinstance(note, Only)), ())
            found[name] = (options, only)
    return found


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
