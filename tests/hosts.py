"""Every host at a size for tests: who adds one adds it here, and the tests of streams run over it."""

from __future__ import annotations

import dataclasses

from spvos_cli.model.config import ModelConfig
from spvos_cli.model.host import host_of

NARROW = {"value_channels": 16, "decoder_channels": (16, 8, 8)}
OTHER = {"lite": {}, "spvos": NARROW, "xmem": NARROW | {"hidden_channels": 8, "prototypes": 4}}


def small(host: str, **fields: object) -> ModelConfig:
    """A host's config, small, with some fields changed."""
    return dataclasses.replace(host_of(host).config, **OTHER[host] | fields)
