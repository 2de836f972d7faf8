"""Networks' modules in OpenVINO: two to four times as fast as PyTorch on a CPU, as it fuses what lies between
convolutions and has better depthwise ones.

Graphs are built from the modules and their weights, operation by operation (`nodes`): nothing has to be
converted or stored, and building and compiling take a tenth of a second together.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from spvos_cli.model.backends.nodes import channels_first, channels_last
from spvos_cli.model.backends.signal_stack import same_signal_stack
from spvos_cli.model.backends.telemetry import without_telemetry

with without_telemetry():
    import openvino as ov

TYPES = {torch.float32: (ov.Type.f32, "f32"), torch.bfloat16: (ov.Type.bf16, "bf16")}


class Compiled:
    """A graph ready to run, for tensors of any size; several threads may call it at once.

    Args:
        graph: all of whose inputs and outputs have the type.
        dtype: float32 or bfloat16; in bfloat16 products are, too.
        threads: of the CPU.
    """

    def __init__(self, graph: ov.Model, dtype: torch.dtype, threads: int) -> None:
        self.dtype = dtype
        self._type, hint = TYPES[dtype]
        settings = {
            "INFERENCE_PRECISION_HINT": hint,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # PyTorch's threads run between its own: where each must keep to one core, both wait
            "ENABLE_CPU_PINNING": False,
        }
        with same_signal_stack():
            self._compiled = ov.Core().compile_model(graph, "CPU", settings)
        self._requests = threading.local()

    def __call__(self, inputs: Sequence[Tensor], shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
        """The outputs, of the given shapes; inputs may be of another type and not contiguous."""
        request = self._request()
        given = [x.to(self.dtype).contiguous() for x in inputs]
        # new memory for every frame: features are looked at again when the next one comes
        outputs = [torch.empty(shape, dtype=self.dtype) for shape in shapes]
        for number, each in enumerate(given):
            request.set_input_tensor(number, self._shared(each))
        for number, each in enumerate(outputs):
            request.set_output_tensor(number, self._shared(each))
        request.infer()
        return outputs

    def features(self, image: Tensor, outputs: Sequence[tuple[int, int]]) -> list[Tensor]:
        """What the graph of an encoder makes of an image.

        Args:
            image: (B, 3, H, W), sides multiples of 16.
            outputs: stride and channels of each.

        Returns:
            (B, channels, H / stride, W / stride) of each.
        """
        batch, _, height, width = image.shape
        shapes = [(batch, height // stride, width // stride, channels) for stride, channels in outputs]
        return [channels_first(x) for x in self([channels_last(image)], shapes)]

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
