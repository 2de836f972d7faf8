"""The paper's network as a host; without gates it is STCN, whose checkpoints it takes."""

from __future__ import annotations

from spvos_cli.model.config import SPVOS
from spvos_cli.model.host import Host, Published, renamed
from spvos_cli.model.network import SpVOS

NAMES = (
    (r"^key_encoder\.conv1\.", "query_encoder.trunk.stem."),
    (r"^key_encoder\.bn1\.", "query_encoder.trunk.stem.norm."),
    (r"^key_encoder\.(?:res2|layer1)\.", "query_encoder.trunk.stages.0."),
    (r"^key_encoder\.layer2\.", "query_encoder.trunk.stages.1."),
    (r"^key_encoder\.layer3\.", "query_encoder.trunk.stages.2."),
    (r"^key_proj\.key_proj\.", "query_encoder.key."),
    (r"^key_comp\.", "query_encoder.value."),
    (r"^value_encoder\.conv1\.", "memory_encoder.trunk.stem."),
    (r"^value_encoder\.bn1\.", "memory_encoder.trunk.stem.norm."),
    (r"^value_encoder\.layer1\.", "memory_encoder.trunk.stages.0."),
    (r"^value_encoder\.layer2\.", "memory_encoder.trunk.stages.1."),
    (r"^value_encoder\.layer3\.", "memory_encoder.trunk.stages.2."),
    (r"^value_encoder\.fuser\.", "memory_encoder.fuser."),
    (r"attention\.ChannelGate\.mlp\.1\.", "attention.channel_mlp.0."),
    (r"attention\.ChannelGate\.mlp\.3\.", "attention.channel_mlp.2."),
    (r"attention\.SpatialGate\.spatial\.conv\.", "attention.spatial."),
    (r"^decoder\.up_16_8\.skip_conv\.", "decoder.up8.skip."),
    (r"^decoder\.up_16_8\.out_conv\.", "decoder.up8.block."),
    (r"^decoder\.up_8_4\.skip_conv\.", "decoder.up4.skip."),
    (r"^decoder\.up_8_4\.out_conv\.", "decoder.up4.block."),
    (r"^decoder\.pred\.", "decoder.predict."),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"\.downsample\.(?=weight|bias)", ".shortcut."),
)
HOST = Host(SpVOS, SPVOS, Published("key_comp.weight", lambda tensors: renamed(tensors, NAMES)))
