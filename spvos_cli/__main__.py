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
        _end(f"{_usage(error)} (see {error.ctx.command_path if error.ctx else 'spvos'} --help)", BAD_INPUT)
    except InputError as error:
        _end(str(error), BAD_INPUT)
    except RunError as error:
        _end(str(error), FAILED)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)
    except Terminated:
        _end("terminated", TERMINATED)
    except (BrokenPipeError, ReaderGone):
        forget_stdout()
        sys.exit(0)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
            raise
        _end(f"{error.filename or 'output'}: {error.strerror}; what was written so far is kept", FAILED)


def _usage(error: Any) -> str:
    """What is wrong; where shells made many files of a glob, what to do about it."""
    text: str = error.format_message()
    if "unexpected extra argument" in text and error.ctx and error.ctx.info_name == "annotate":
        text = "more than one INPUT; several images are a folder, or a glob in quotes: 'frames/*.jpg'"
    return text


def _end(text: str, code: int) -> None:
    print(f"spvos: {text}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
