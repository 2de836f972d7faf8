"""The trunk in OpenVINO: two to four times as fast as PyTorch on a CPU, as it fuses what lies between
convolutions and has better depthwise ones.

The graph is built from the modules and their weights, operation by operation: nothing has to be converted or
stored, and building and compiling take a tenth of a second together.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spvos_cli.model.backends.signal_stack import same_signal_stack
from spvos_cli.model.backends.telemetry import without_telemetry
from spvos_cli.model.efficientnet import EfficientNetLite, InvertedResidual, SameConv2d, same_padding

with without_telemetry():
    import openvino as ov
    from openvino import opset13 as op

TYPES = {torch.float32: (ov.Type.f32, "f32"), torch.bfloat16: (ov.Type.bf16, "bf16")}
STRIDES = (4, 8, 16)


class OpenVINOTrunk:
    """As `EfficientNetLite`, for frames of any size; several threads may call it at once.

    Args:
        trunk: whose weights are copied.
        dtype: float32 or bfloat16, of image and features; in bfloat16 products are, too.
        threads: of the CPU.
    """

    def __init__(self, trunk: EfficientNetLite, dtype: torch.dtype, threads: int) -> None:
        self.dtype, self.channels = dtype, trunk.channels
        self._type, hint = TYPES[dtype]
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # PyTorch's threads run between its own: where each must keep to one core, both wait
            "ENABLE_CPU_PINNING": False,
        }
        with same_signal_stack():
            self._compiled = ov.Core().compile_model(_graph(trunk, self._type), "CPU", settings)
        self._requests = threading.local()

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 3, H, W), normalised, sides multiples of 16 -> f4, f8, f16, channels last."""
        batch, _, height, width = image.shape
        request = self._request()
        pixels = image.permute(0, 2, 3, 1).to(self.dtype).contiguous()
        request.set_input_tensor(self._shared(pixels))
        shapes = [
            (batch, height // stride, width // stride, channels)
            for stride, channels in zip(STRIDES, self.channels, strict=True)
        ]
        # new memory for every frame: features are looked at again when the next one comes
        features = [torch.empty(shape, dtype=self.dtype) for shape in shapes]
        for number, each in enumerate(features):
            request.set_output_tensor(number, self._shared(each))
        request.infer()
        f4, f8, f16 = (each.permute(0, 3, 1, 2) for each in features)
        return f4, f8, f16

    def _request(self) -> Any:
        if not hasattr(self._requests, "request"):
            with same_signal_stack():
                self._requests.request = self._compiled.create_infer_request()
        return self._requests.request

    def _shared(self, x: Tensor) -> ov.Tensor:
        """The same memory, which must live until it was used; NumPy has no bfloat16, so that passes as
        integers."""
        array = x.view(torch.int16).numpy() if x.dtype == torch.bfloat16 else x.numpy()
        return ov.Tensor(array, ov.Shape(list(x.shape)), self._type)


def _graph(trunk: EfficientNetLite, dtype: ov.Type) -> ov.Model:
    """From an image (B, H, W, 3) to features (B, h, w, C) at the three strides."""
    image = op.parameter([-1, -1, -1, 3], dtype, name="image")
    x = op.convert(op.transpose(image, np.array([0, 3, 1, 2])), "f32")
    x = op.clamp(_convolution(x, trunk.stem), 0.0, 6.0)
    features = []
    for stage in trunk.stages.children():
        for block in stage.children():
            assert isinstance(block, InvertedResidual)
            x = _block(x, block)
        features.append(op.convert(op.transpose(x, np.array([0, 2, 3, 1])), dtype))
    return ov.Model([op.result(features[stage]) for stage in trunk.taps], [image], "trunk")


def _block(x: Any, block: InvertedResidual) -> Any:
    y = x if block.expand is None else op.clamp(_convolution(x, block.expand), 0.0, 6.0)
    y = op.clamp(_convolution(y, block.depthwise), 0.0, 6.0)
    y = _convolution(y, block.project)
    return op.add(x, y) if block.residual else y


def _convolution(x: Any, conv: SameConv2d) -> Any:
    weight = conv.weight.detach().float().cpu().numpy()
    before, after = same_padding(conv)
    geometry = list(conv.stride), [before] * 2, [after] * 2, [1, 1]
    if conv.groups > 1:
        y = op.group_convolution(x, weight.reshape(conv.groups, 1, *weight.shape[1:]), *geometry)
    else:
        y = op.convolution(x, weight, *geometry)
    assert conv.bias is not None
    return op.add(y, conv.bias.detach().float().cpu().numpy().reshape(1, -1, 1, 1))
