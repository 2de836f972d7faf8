"""Which engine runs what is dense in every frame: PyTorch, or OpenVINO where it is installed."""

from __future__ import annotations

import torch

from spvos_cli.errors import InputError
from spvos_cli.model.backends.engines import openvino_is_there
from spvos_cli.model.encoders import QueryEncoder
from spvos_cli.model.lite import LiteVOS
from spvos_cli.model.network import VOSNetwork


def use_engine(
    network: VOSNetwork,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    threads: int,
    *,
    learns: bool = False,
) -> None:
    """Puts what no gates decide about into OpenVINO, as far as that is wanted and there: the modules of the
    lite network, or the query encoder of the paper's.

    Args:
        network: prepared by `VOSNetwork.for_inference`; changed in place.
        name: "auto", "torch" or "openvino"; auto leaves the paper's network in float32 to PyTorch, which is
            as fast and starts two seconds earlier.
        threads: of the CPU.
        learns: whether the network learns, but for the trunk of the lite network, which alone is put there.

    Raises:
        InputError: OpenVINO is asked for, and not installed or not for this network.
    """
    wanted = name == "openvino"
    if reason := _why_not(network, device):
        if wanted:
            expected = "a query encoder without gates on a CPU"
            raise InputError("--engine openvino", found=reason, expected=expected, fix="--engine auto")
        return
    pays = isinstance(network, LiteVOS) or dtype == torch.bfloat16
    if name == "torch" or not (wanted or (pays and openvino_is_there())):
        return
    try:
        _put_in(network, dtype, threads, learns=learns)
    except ImportError as error:
        if wanted:
            found = f"OpenVINO cannot be imported: {error}"
            expected = "it installed: pip install openvino"
            raise InputError(
                "--engine openvino", found=found, expected=expected, fix="--engine torch"
            ) from error


def _why_not(network: VOSNetwork, device: torch.device) -> str | None:
    """What keeps OpenVINO from running a network."""
    if device.type != "cpu":
        return f"the device {device.type}"
    if "Q" in network.gated_parts and not isinstance(network, LiteVOS):
        return "gates in the query encoder"
    if not isinstance(network, LiteVOS) and not isinstance(network.query_encoder, QueryEncoder):
        return f"the {network.config.architecture} network"
    return None


def _put_in(network: VOSNetwork, dtype: torch.dtype, threads: int, *, learns: bool) -> None:
    if isinstance(network, LiteVOS):
        from spvos_cli.model.backends.lite_engine import (
            LiteDecoderEngine,
            LiteMemoryEngine,
            LiteQueryEngine,
            LiteTrunkEngine,
        )

        encoder = network.query_encoder
        if learns or "Q" in network.gated_parts:
            encoder.trunk_engine = LiteTrunkEngine(encoder.trunk, dtype, threads)
        if learns:
            return
        encoder.engine = LiteQueryEngine(encoder, dtype, threads)
        network.memory_encoder.engine = LiteMemoryEngine(network.memory_encoder, dtype, threads)
        network.decoder.engine = LiteDecoderEngine(network.decoder, dtype, threads)
        return
    from spvos_cli.model.backends.resnet_engine import ResNetQueryEngine

    assert isinstance(network.query_encoder, QueryEncoder)
    network.query_encoder.engine = ResNetQueryEngine(network.query_encoder, dtype, threads)
