"""Which engine runs what is dense in every frame: PyTorch, or OpenVINO where it is installed."""

from __future__ import annotations

import torch

from spvos_cli.errors import InputError
from spvos_cli.model.backends.trunk import openvino_is_there, openvino_trunk
from spvos_cli.model.lite import LiteVOS
from spvos_cli.model.network import VOSNetwork


def use_engine(
    network: VOSNetwork, name: str, device: torch.device, dtype: torch.dtype, threads: int
) -> None:
    """Puts the trunk of the lite network into OpenVINO, as far as that is wanted and there.

    Args:
        network: prepared by `VOSNetwork.for_inference`; changed in place.
        name: "auto", "torch" or "openvino".
        threads: of the CPU.

    Raises:
        InputError: OpenVINO is asked for, and not installed or not for this network.
    """
    wanted = name == "openvino"
    if not isinstance(network, LiteVOS) or device.type != "cpu":
        if wanted:
            found = f"the {network.config.architecture} network on {device.type}"
            expected = "the lite network on a CPU"
            raise InputError("--engine openvino", found=found, expected=expected, fix="--engine auto")
        return
    if name == "torch" or not (wanted or openvino_is_there()):
        return
    encoder = network.query_encoder
    try:
        encoder.engine = openvino_trunk(encoder.trunk, dtype, threads)
    except ImportError as error:
        if wanted:
            found = f"OpenVINO cannot be imported: {error}"
            expected = "it installed: pip install openvino"
            raise InputError(
                "--engine openvino", found=found, expected=expected, fix="--engine torch"
            ) from error
