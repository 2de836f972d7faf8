"""The command line: five commands. Nothing heavy is imported before one of them runs."""

from __future__ import annotations

from typing import Annotated

import typer

from spvos_cli import __version__
from spvos_cli.commands.annotate import annotate_command
from spvos_cli.commands.evaluate import eval_command
from spvos_cli.commands.profile import profile_command
from spvos_cli.commands.segment import segment_command
from spvos_cli.commands.train import train_command

app = typer.Typer(
    name="spvos",
    help="Video object segmentation: point at a video and the mask of a thing, get its mask in every frame.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="First: [bold]spvos segment --demo[/bold] shows how it goes, [bold]spvos annotate INPUT[/bold]"
    " makes masks of your own.",
)
app.command("segment")(segment_command)
app.command("annotate")(annotate_command)
app.command("train")(train_command)
app.command("eval")(eval_command)
app.command("profile")(profile_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spvos {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Video object segmentation: point at a video and the mask of a thing, get its mask in every frame."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
