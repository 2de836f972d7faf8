"""A network ready to run, from the options that people give."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spvos_cli.errors import InputError
from spvos_cli.model.hosts import HOSTS
from spvos_cli.option import EXPERT, MACHINE, MODEL, check_values, option
from spvos_cli.process import load_torch
from spvos_cli.resources import clicks_file, named_weights, shipped_weights, weight_file
from spvos_cli.ui import Reporter

if TYPE_CHECKING:  # PyTorch is imported when a network is wanted: --help must not wait for it
    from spvos_cli.inference.segmenter import VideoSegmenter
    from spvos_cli.model.config import ModelConfig
    from spvos_cli.model.network import VOSNetwork
    from spvos_cli.video.suggest import Suggest


@dataclasses.dataclass(frozen=True)
class EngineOptions:
    """Which network runs, and how; the fields are the options of the command line. None: as the weights
    say.

    Raises:
        InputError: a value is out of its range.
    """

    model: str = option(
        "lite",
        "The network: lite is small and its weights ship; spvos is the paper's, xmem is XMem, and both need"
        " --weights.",
        panel=MODEL,
        choices=tuple(HOSTS),
    )
    weights: str | Path | None = option(
        None,
        "Instead of the weights that ship for the model: large, which ships too, a larger lite network that"
        " is more exact and a sixth slower; a file that spvos train wrote; or an official checkpoint of STCN"
        " or XMem (.pth).",
        panel=MODEL,
        kind=Path,
    )
    method: str | None = option(
        None,
        "What gated convolutions do with a pixel: dense computes all of them, static skips, residual adds"
        " changes, triple skips, reuses or computes. By default as the weights were trained.",
        panel=EXPERT,
        choices=("dense", "static", "residual", "triple"),
    )
    sparse: str | None = option(
        None,
        "The modules whose convolutions have gates: Q is the query encoder, D the decoder, M the memory"
        " encoder. By default as the weights were trained.",
        panel=EXPERT,
        choices=("Q", "D", "QD", "QDM"),
    )
    gate_all: bool | None = option(
        None,
        "Whether all convolutions of those modules have gates, or those of residual branches alone. By"
        " default as the weights were trained.",
        panel=EXPERT,
        names=("--gate-all/--gate-branches",),
    )
    strategy: str | None = option(
        None,
        "Which frames gates decide on: mixed leaves out memory frames, semi-mixed annotated frames, fully"
        " none. By default as the weights were trained.",
        panel=EXPERT,
        choices=("mixed", "semi-mixed", "fully"),
    )
    gate: str | None = option(
        None,
        "What has a gate: conv, each convolution by itself, as in the paper; or module, all that follows the"
        " query encoder together, which also saves matching. By default as the weights were trained.",
        panel=EXPERT,
        choices=("conv", "module"),
    )
    size: int = option(
        480,
        "The short side, in pixels, to which frames are scaled for the network; smaller frames are not"
        " enlarged, and masks come out at the frames' own size. For small objects in larger frames --region"
        " auto takes up to 2.25 times as much.",
        panel=MODEL,
        least=32,
    )
    mem_every: int | None = option(
        None,
        "Every how many frames the network remembers one. By default as the weights were trained.",
        panel=EXPERT,
        least=1,
    )
    top_k: int | None = option(
        None,
        "How many of the most similar remembered positions a pixel reads. By default as the weights were"
        " trained.",
        panel=EXPERT,
        least=1,
    )
    max_memory: int | None = option(
        None,
        "How many memory frames the network remembers, and as many of the annotated frames besides the first:"
        " of those the newest stay, of the others some of every age. By default as the weights were trained.",
        panel=EXPERT,
        least=0,
    )
    long_memory: int | None = option(
        None,
        "How many positions of frames that leave the memory stay in it, those read most; with 0 none"
        " does. By default as the weights were trained.",
        panel=EXPERT,
        least=0,
    )
    reuse: bool = option(
        True,
        "Whether triple gates may keep what the frame before had; --no-reuse skips there instead, to see what"
        " reusing is worth.",
        panel=EXPERT,
        names=("--reuse/--no-reuse",),
    )
    region: str = option(
        "auto",
        "Whether only windows about the objects go through the network: auto does so on a CPU where all"
        " objects were to be seen in the frame before, and looks at whole frames otherwise; off always does."
        " What is small in the first mask it looks at closer, as far as windows cost nothing more.",
        panel=EXPERT,
        choices=("auto", "off"),
    )
    flip: bool = option(
        False,
        "Each frame is looked at mirrored as well, and what is found averaged: more exact, half as fast.",
        panel=MODEL,
        names=("--flip/--no-flip",),
    )
    device: str = option(
        "auto",
        "Where to compute; auto takes an NVIDIA GPU where there is one.",
        panel=MACHINE,
        choices=("auto", "cpu", "cuda"),
    )
    dtype: str = option(
        "auto",
        "The arithmetic; auto takes what is fastest on this device.",
        panel=MACHINE,
        choices=("auto", "fp32", "bf16", "fp16"),
    )
    engine: str = option(
        "auto",
        "What runs modules without gates. On a CPU OpenVINO is twice as fast as PyTorch; auto takes it where"
        " it is installed. On a GPU graphs has all kernels of a module started at once, and not one by one.",
        panel=EXPERT,
        choices=("auto", "torch", "openvino", "graphs"),
    )
    threads: int | None = option(
        None,
        "How many threads of the CPU to use. By default as many as this process may use.",
        panel=MACHINE,
        least=1,
    )

    def __post_init__(self) -> None:
        check_values(self)
        if self.weights:
            object.__setattr__(self, "weights", named_weights(self.weights))

    def overrides(self) -> dict[str, str | bool]:
        """The fields of `ModelConfig` that differ from what the weights say."""
        fields = {"method": self.method, "structure": self.sparse, "gate_all": self.gate_all}
        fields |= {"strategy": self.strategy, "gate": self.gate}
        return {name: value for name, value in fields.items() if value is not None}

    def weights_path(self) -> Path:
        """The weight file.

        Raises:
            InputError: none is given and none ships for the model.
        """
        if self.weights:
            return Path(self.weights)
        listed = HOSTS[self.model]
        published = (listed.published, listed.example) if listed.published else None
        return shipped_weights(self.model, self.method, self.gate, published)

    def shaping(self) -> dict[str, Any]:
        """Those that a resumed run must share with the run that it continues; the weights by their
        content."""
        fields = dataclasses.asdict(self) | {"weights": self.weights_digest()}
        return {name: value for name, value in fields.items() if name not in ("device", "threads", "engine")}

    def weights_digest(self) -> str:
        """SHA-256 of the weight file, in hexadecimal; empty where there is none."""
        path = Path(self.weights) if self.weights else weight_file(self.model, self.method, self.gate)
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    def network(self) -> VOSNetwork:
        """Loads the weights and prepares the network for inference.

        Raises:
            InputError: the weights, their gates, the device or the arithmetic cannot be had.
        """
        load_torch()
        import torch

        from spvos_cli.inference.dense_engine import use_engine
        from spvos_cli.inference.machine import choose_device, choose_dtype, prepare_arithmetic
        from spvos_cli.model.checkpoint import load_checkpoint

        device = choose_device(self.device)
        dtype = choose_dtype(self.dtype, device)
        prepare_arithmetic(device, dtype)
        with torch.random.fork_rng(devices=[]):  # a network starts with random weights
            network = load_checkpoint(self.weights_path(), self.overrides(), architecture=self.architecture())
        self._check_effect(network.config)
        network = network.for_inference(device, dtype)
        use_engine(network, self.engine, device, dtype, self.threads or torch.get_num_threads())
        return network

    def suggest(self, given: Path | None = None) -> Suggest:
        """What makes masks of boxes and clicks: the network of clicks, which is loaded when it is asked for
        the first time; GrabCut where its weights are not there.

        Args:
            given: its weights; None: those that ship.
        """
        from spvos_cli.video.grab_cut import suggest_with_grab_cut

        path = given or clicks_file()
        if given is None and not path.is_file():
            return suggest_with_grab_cut

        @functools.cache
        def network() -> Suggest:
            from spvos_cli.inference.clicks import load_suggest

            return load_suggest(path, self.device, self.dtype, self.engine, self.threads)

        return lambda frame, prompts, previous: network()(frame, prompts, previous)

    def architecture(self) -> str | None:
        """That the weights must be of; None: any, where no model or `lite` is named."""
        return None if self.model == "lite" else self.model

    def _check_effect(self, config: ModelConfig) -> None:
        """Refuses what the weights make an option without effect of."""
        of_convolutions = {"--sparse": self.sparse, "--gate-all": self.gate_all}
        given = of_convolutions | {"--strategy": self.strategy, "--gate": self.gate}
        for name, value in given.items() if config.method == "dense" else ():
            if value is not None:
                found = "a network without gates"
                raise InputError(name, found=found, expected="a method with gates", fix="--method triple")
        for name, value in of_convolutions.items() if config.gate == "module" else ():
            if value is not None:
                found = "one gate for all that follows the query encoder"
                raise InputError(name, found=found, expected="gates of convolutions", fix="--gate conv")

    def segmenter(self, reporter: Reporter, network: VOSNetwork | None = None) -> VideoSegmenter:
        """Says in one line what was chosen.

        Args:
            network: one that is loaded already; by default it is loaded.

        Raises:
            InputError: as `network`, or a network without REUSE shall do without.
        """
        from spvos_cli.inference.segmenter import VideoSegmenter
        from spvos_cli.sparse.policy import without_reuse

        given, network = network is not None, self.network() if network is None else network
        if not self.reuse and network.config.method != "triple":
            found = f"method {network.config.method}"
            expected = "triple gates, which alone choose between REUSE and SKIP"
            raise InputError("--no-reuse", found=found, expected=expected, fix="--method triple")
        segmenter = VideoSegmenter(
            network,
            size=self.size,
            mem_every=self.mem_every,
            top_k=self.top_k,
            max_memory=self.max_memory,
            long_memory=self.long_memory,
            inject=None if self.reuse else without_reuse,
            region=self.region == "auto",
            flip=self.flip,
        )
        config = segmenter.network.config
        weights = "given" if given else Path(self.weights).name if self.weights else "as shipped"
        scope = "one gate for all" if network.gate is not None else f"in {config.structure}"
        method = config.method if config.method == "dense" else f"{config.method}, {scope}"
        place = f"{segmenter.device.type} {str(segmenter.dtype).removeprefix('torch.')}"
        place += " with OpenVINO" if getattr(network.query_encoder, "engine", None) else ""
        reporter.note(
            f"model {config.architecture}, weights {weights}, {method}, {place}, short side up to {self.size}"
        )
        return segmenter
