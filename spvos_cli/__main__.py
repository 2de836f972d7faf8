"""`spvos` and `python -m spvos_cli`: runs the app and turns what goes wrong into one line and an exit
code."""

from __future__ import annotations

import errno
import signal
import sys
from typing import Any

import typer

from spvos_cli.app import app
from spvos_cli.errors import InputError, ReaderGone, RunError, Terminated, raise_terminated
from spvos_cli.process import make_own
from spvos_cli.video.writers.stdout import forget_stdout

UsageError: Any = typer.BadParameter.__base__  # Typer names only the subclass
BAD_INPUT, FAILED, INTERRUPTED, TERMINATED = 2, 1, 130, 143


def main() -> None:
    """Exits with 0 done, 1 failed, 2 bad usage or input, 130 or 143 interrupted."""
    make_own()
    signal.signal(signal.SIGTERM, raise_terminated)
    try:
        code = app(standalone_mode=False)
        if code == INTERRUPTED:  # Typer turns the exception into this
            raise KeyboardInterrupt
        sys.exit(code)
    except UsageError as error:
        cure = f" (see {error.ctx.command_path if error.ctx else 'spvos'} --help)"
        _end(_usage(error), "", cure, code=BAD_INPUT)
    except InputError as error:
        _end(*error.parts, code=BAD_INPUT)
    except RunError as error:
        _end(str(error), code=FAILED)
    except KeyboardInterrupt:
        _end("interrupted", code=INTERRUPTED)
    except Terminated:
        _end("terminated", code=TERMINATED)
    except (BrokenPipeError, ReaderGone):
        forget_stdout()
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
            raise
        what = f"{error.filename or 'output'}: {error.strerror}"
        _end(what, "; what was written so far is kept", code=FAILED)


def _usage(error: Any) -> str:
    """What is wrong; where shells made many files of a glob, what to do about it."""
    text: str = error.format_message()
    if "unexpected extra argument" in text and error.ctx and error.ctx.info_name == "annotate":
        text = "more than one INPUT; several images are a folder, or a glob in quotes: 'frames/*.jpg'"
    return text


def _end(*parts: str, code: int) -> None:
    if sys.stderr.isatty():
        from rich.console import Console

        from spvos_cli.ui import print_error

        print_error(Console(stderr=True, highlight=False), *parts)
    else:
        print(f"spvos: {''.join(parts)}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
