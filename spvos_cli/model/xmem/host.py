"""XMem as a host, which takes its owners' checkpoints."""

from __future__ import annotations

import re

from spvos_cli.model.host import Host, Published, Tensors, renamed
from spvos_cli.model.stcn import NAMES as STCN_NAMES
from spvos_cli.model.xmem.network import XMEM, XMem

NAMES = (
    *STCN_NAMES,
    (r"^key_proj\.d_proj\.", "query_encoder.shrinkage."),
    (r"^key_proj\.e_proj\.", "query_encoder.selection."),
    (r"^value_encoder\.hidden_reinforce\.", "memory_encoder.hidden_update."),
    (r"^decoder\.hidden_update\.g(\d+)_conv\.", r"decoder.hidden_update.g\1."),
    (r"^decoder\.hidden_update\.transform\.", "decoder.hidden_update.state.transform."),
)
FUSED = re.compile(
    r"fuser\.block1\.(conv1|shortcut)\.weight$"
)  # convolutions on f16 and an object's features
F16 = 1024  # channels


def convert(tensors: Tensors) -> Tensors:
    """By our names; where features are fused, ours have the frame's after the object's, XMem's before."""
    own = renamed(tensors, NAMES)
    return {
        name: tensor.roll(-F16, dims=1) if FUSED.search(name) and tensor.ndim == 4 else tensor
        for name, tensor in own.items()
    }


HOST = Host(XMem, XMEM, Published("key_proj.d_proj.weight", convert))
