"""A network ready to run, from the options that people give."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from spvos_cli.errors import InputError
from spvos_cli.inference.machine import choose_device, choose_dtype, use_threads
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.model.checkpoint import load_checkpoint
from spvos_cli.model.network import VOSNetwork
from spvos_cli.resources import shipped_weights
from spvos_cli.sparse.policy import without_reuse
from spvos_cli.ui import Reporter


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """Which network runs, and how. None: as the weights say.

    Attributes:
        model: "lite", or "spvos" (needs weights).
        weights: a weight file of ours or an official STCN checkpoint, instead of the shipped weights.
        method: "dense", "static", "residual" or "triple".
        sparse: the modules with gates: "Q", "D", "QD" or "QDM".
        gate_all: whether more than the residual branches has gates.
        strategy: "mixed", "semi-mixed" or "fully".
        size: the network sees frames with at most this short side, in pixels.
        mem_every: frames between memory frames.
        top_k: affinities kept for each pixel.
        max_memory: memory frames kept besides the annotated ones.
        reuse: False turns REUSE into SKIP, to see what reusing is worth; for the triple method.
        device: "auto", "cpu" or "cuda".
        dtype: "auto", "fp32", "bf16" or "fp16".
        threads: of the CPU; None: as many as this process may use.
    """

    model: str = "lite"
    weights: str | Path | None = None
    method: str | None = None
    sparse: str | None = None
    gate_all: bool | None = None
    strategy: str | None = None
    size: int = 480
    mem_every: int | None = None
    top_k: int | None = None
    max_memory: int | None = None
    reuse: bool = True
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None

    def overrides(self) -> dict[str, str | bool]:
        """The fields of `ModelConfig` that differ from what the weights say."""
        fields = {"method": self.method, "structure": self.sparse, "gate_all": self.gate_all}
        fields["strategy"] = self.strategy
        return {name: value for name, value in fields.items() if value is not None}

    def weights_path(self) -> Path:
        """The weight file.

        Raises:
            InputError: none is given and none ships for the model.
        """
        return Path(self.weights) if self.weights else shipped_weights(self.model, self.method)

    def shaping(self) -> dict[str, Any]:
        """Those that a resumed run must share with the run that it continues."""
        fields = dataclasses.asdict(self) | {"weights": self.weights and str(self.weights)}
        return {name: value for name, value in fields.items() if name not in ("device", "threads")}

    def network(self) -> VOSNetwork:
        """Loads the weights and prepares the network for inference.

        Raises:
            InputError: the weights, their gates, the device or the arithmetic cannot be had.
        """
        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        return load_checkpoint(self.weights_path(), self.overrides()).for_inference(device, dtype)

    def segmenter(self, reporter: Reporter) -> VideoSegmenter:
        """Sets the threads, loads the network, and says in one line what was chosen.

        Raises:
            InputError: as `network`, or a network without REUSE shall do without.
        """
        use_threads(self.threads)
        network = self.network()
        if not self.reuse and network.config.method != "triple":
            expected = "triple gates, which alone choose between REUSE and SKIP"
            raise InputError(
                "--no-reuse",
                found=f"method {network.config.method}",
                expected=expected,
                fix="--method triple",
            )
        segmenter = VideoSegmenter(
            network,
            size=self.size,
            mem_every=self.mem_every,
            top_k=self.top_k,
            max_memory=self.max_memory,
            inject=None if self.reuse else without_reuse,
        )
        config = segmenter.network.config
        weights = Path(self.weights).name if self.weights else "as shipped"
        method = config.method if config.method == "dense" else f"{config.method} in {config.structure}"
        place = f"{segmenter.device.type} {str(segmenter.dtype).removeprefix('torch.')}"
        reporter.note(
            f"model {config.architecture}, weights {weights}, {method}, {place}, short side up to {self.size}"
        )
        return segmenter


def load_model(model: str = "lite", weights: str | Path | None = None, **options: object) -> VOSNetwork:
    """A network for `VideoSegmenter`.

    Args:
        model: "lite", or "spvos" (needs weights).
        weights: a weight file, instead of the shipped one.
        options: method, sparse, gate_all, strategy, device and dtype, as in `EngineOptions`.

    Raises:
        InputError: the weights, their gates, the device or the arithmetic cannot be had.
    """
    return EngineOptions(model=model, weights=weights, **options).network()
