"""The networks that can host the sparse convolution, by name, and without importing them."""

from __future__ import annotations

from typing import NamedTuple


class Listed(NamedTuple):
    """A host.

    Attributes:
        module: that has its `HOST` (`model.host.Host`).
        published: where its owners publish a checkpoint, in words; empty where weights ship.
        example: how such a file is called.
    """

    module: str
    published: str = ""
    example: str = "FILE"


HOSTS = {
    "lite": Listed("spvos_cli.model.lite"),
    "spvos": Listed("spvos_cli.model.stcn", "STCN's checkpoint (github.com/hkchengrex/STCN)", "stcn.pth"),
    "xmem": Listed("spvos_cli.model.xmem.host", "XMem's checkpoint (github.com/hkchengrex/XMem)", "XMem.pth"),
}
