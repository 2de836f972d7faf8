"""The server from its start to Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import time
import webbrowser
from collections.abc import Callable

import uvicorn

from spvos_cli.annotate.guard import Guard
from spvos_cli.annotate.server import make_app
from spvos_cli.annotate.session import Session
from spvos_cli.errors import InputError

LOOPBACK = "127.0.0.1"
IDLE = 12 * 3600.0  # seconds without a request after which the server ends
LOOK_EVERY = 60.0  # seconds


def serve(session: Session, port: int, *, browser: bool, say: Callable[[str], None]) -> None:
    """Answers a browser on this machine until Ctrl-C, or until nobody has asked for long.

    Args:
        port: 0: one that is free.
        browser: whether one is opened, where there is a display.
        say: takes the lines to print: the address, and at the end the command that makes the outputs.

    Raises:
        InputError: the port cannot be had.
    """
    token = secrets.token_hex(16)
    guard = Guard(make_app(session), token)
    with _listen(port) as listener:
        port = listener.getsockname()[1]
        address = f"http://{LOOPBACK}:{port}/?token={token}"
        say(address + _through_ssh(port))
        if browser and _has_display():
            webbrowser.open(address)
        config = uvicorn.Config(guard, log_level="warning", lifespan="off", timeout_graceful_shutdown=2)
        server = uvicorn.Server(config)
        threading.Thread(target=_end_when_idle, args=(server, guard), daemon=True).start()
        try:
            server.run([listener])
        except KeyboardInterrupt:  # raised once all is answered
            pass
        finally:
            session.close()
    say(session.command())


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen()
    except OSError as error:
        listener.close()
        found, expected = f"it cannot be had ({error.strerror})", "a port that is free, or 0 for any"
        raise InputError(f"--port {port}", found=found, expected=expected, fix="--port") from error
    return listener


def _through_ssh(port: int) -> str:
    """What somebody has to type on his own machine who is logged in from there."""
    connection = os.environ.get("SSH_CONNECTION", "").split()
    if len(connection) != 4:
        return ""
    return f"\n(over SSH, on your own machine first: ssh -L {port}:{LOOPBACK}:{port} {connection[2]})"


def _has_display() -> bool:
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _end_when_idle(server: uvicorn.Server, guard: Guard) -> None:
    while not server.should_exit:
        time.sleep(min(LOOK_EVERY, IDLE))
        server.should_exit = server.should_exit or time.monotonic() - guard.last_request > IDLE
