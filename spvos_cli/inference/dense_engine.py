"""Which engine runs what is dense in every frame: PyTorch, OpenVINO where it is installed, or CUDA graphs."""

from __future__ import annotations

import importlib

import torch

from spvos_cli.errors import InputError
from spvos_cli.measured import read_measured
from spvos_cli.model.backends.engines import openvino_is_there
from spvos_cli.model.clicks import ClickNetwork
from spvos_cli.model.network import VOSNetwork

MEASURED_ENGINES = "cuda_engines"  # the kind of what is measured: milliseconds by type and engine


def use_engine(
    network: VOSNetwork,
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    threads: int,
    *,
    learns: bool = False,
) -> None:
    """Puts what no gates decide about into OpenVINO, as far as that is wanted and there.

    Args:
        network: prepared by `VOSNetwork.for_inference`; changed in place.
        name: "auto", "torch", "openvino" or "graphs". On a CPU auto leaves ResNets in float32 to PyTorch,
            which is as fast and starts two seconds earlier; on a GPU it takes graphs where `profile --tune`
            found them faster.
        threads: of the CPU.
        learns: whether the network learns, but for its trunk, which alone is put there.

    Raises:
        InputError: OpenVINO is asked for, and not installed or not for this network, or graphs on a CPU.
    """
    if name == "auto" and device.type == "cuda" and not learns:
        name = fastest_engine(torch.cuda.get_device_name(device), dtype)
    if name == "graphs":
        if device.type == "cpu":
            found, expected = "the device is a CPU", "an NVIDIA GPU, whose graphs they are"
            raise InputError("--engine graphs", found=found, expected=expected, fix="--engine auto")
        importlib.import_module("spvos_cli.model.backends.graphs").put_in(network)
        return
    wanted = name == "openvino"
    reason = f"the device {device.type}" if device.type != "cpu" else network.without_openvino()
    if reason is not None:
        if wanted:
            expected = "a query encoder without gates on a CPU"
            raise InputError("--engine openvino", found=reason, expected=expected, fix="--engine auto")
        return
    pays = network.openvino_always_pays or dtype == torch.bfloat16
    if name == "torch" or not (wanted or (pays and openvino_is_there())):
        return
    try:
        importlib.import_module(network.openvino).put_in(network, dtype, threads, learns=learns)
    except ImportError as error:
        if wanted:
            found = f"OpenVINO cannot be imported: {error}"
            expected = "it installed: pip install openvino"
            raise InputError(
                "--engine openvino", found=found, expected=expected, fix="--engine torch"
            ) from error


def fastest_engine(card: str, dtype: torch.dtype) -> str:
    """As it was measured on a card of this name; PyTorch where nothing was."""
    times = read_measured(MEASURED_ENGINES, card).get(str(dtype).removeprefix("torch."), {})
    return min(times, key=times.__getitem__, default="torch")


def use_trunk_engine(network: ClickNetwork, device: torch.device, dtype: torch.dtype, threads: int) -> None:
    """Puts the trunk of the network of clicks into OpenVINO, where that is installed and the device a CPU.

    Args:
        dtype: float32 or bfloat16.
        threads: of the CPU.
    """
    if device.type != "cpu" or not openvino_is_there():
        return
    try:
        from spvos_cli.model.backends.lite_engine import LiteTrunkEngine
    except ImportError:
        return
    network.trunk_engine = LiteTrunkEngine(network.trunk, dtype, threads)
