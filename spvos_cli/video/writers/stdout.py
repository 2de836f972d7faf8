"""Standard output as an output."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from spvos_cli.errors import ReaderGone

STDOUT = Path("-")
STDOUT_NAME = "standard output"


def to_stdout(data: bytes) -> None:
    """Sends data on at once.

    Raises:
        ReaderGone: nobody reads any more.
        OSError: it cannot be written.
    """
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        forget_stdout()
        raise ReaderGone from error
    except OSError as error:
        forget_stdout()
        number = error.errno or errno.EIO
        raise OSError(number, os.strerror(number), STDOUT_NAME) from error


def forget_stdout() -> None:
    """What is still buffered goes nowhere, else the interpreter would try again when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
