"""Options that all commands share, and parts of the network's options that some of them take."""

from __future__ import annotations

import dataclasses

from spvos_cli.option import OUTPUT, option

GATES = ("method", "sparse", "gate_all", "strategy", "gate")
COMPUTER = ("device", "dtype", "threads")


@dataclasses.dataclass(frozen=True)
class Messages:
    """What a command says."""

    quiet: bool = option(
        False, "Nothing is said on stderr but errors.", panel=OUTPUT, names=("--quiet", "-q")
    )
    json: bool = option(False, "A summary is printed on stdout as JSON.", panel=OUTPUT)
