"""What a network brings that hosts the sparse convolution."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from spvos_cli.model.config import ModelConfig
from spvos_cli.model.hosts import HOSTS
from spvos_cli.model.network import VOSNetwork

Tensors = dict[str, Tensor]
Names = tuple[tuple[str, str], ...]  # patterns, and what takes their place


class Published(NamedTuple):
    """A checkpoint as a network's owners publish it: tensors by their names, in PyTorch's format.

    Attributes:
        mark: the name of a tensor that no other host's checkpoint has.
        convert: makes tensors by our names of it.
    """

    mark: str
    convert: Callable[[Tensors], Tensors]


class Host(NamedTuple):
    """A network, and how it is made and loaded.

    Attributes:
        network: its class.
        config: of a fresh one.
        published: how its owners' checkpoints are read; None: there are none.
    """

    network: type[VOSNetwork]
    config: ModelConfig
    published: Published | None = None


def host_of(name: str) -> Host:
    """The host of a name in `HOSTS`."""
    host: Host = importlib.import_module(HOSTS[name].module).HOST
    return host


def renamed(tensors: Mapping[str, Tensor], names: Names) -> Tensors:
    """The tensors by other names."""

    def other(name: str) -> str:
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        return name

    return {other(name): tensor for name, tensor in tensors.items()}
