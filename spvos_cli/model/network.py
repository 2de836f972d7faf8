"""The paper's network, read like its Figure 2: query encoder, memory encoder, matching, decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from spvos_cli.model.config import SPVOS, ModelConfig
from spvos_cli.model.decoder import Decoder
from spvos_cli.model.encoders import MemoryEncoder, Query, QueryEncoder
from spvos_cli.model.matching import TopKReadout, as_map, as_rows, readout, similarity, top_k_readout
from spvos_cli.sparse.conv import LayerRunner
from spvos_cli.sparse.conv_unit import ConvUnit
from spvos_cli.sparse.gate import TripleGate
from spvos_cli.sparse.module_gate import ModuleGate

RESNETS = {"query_encoder.trunk": "resnet50", "memory_encoder.trunk": "resnet18"}


class LastFrame(NamedTuple):
    """The previous frame alone.

    Attributes:
        key: (B, N, Ck), N = pixels at stride 16.
        value: (B, K, N, Cv), one an object.
        positions: (N, 2), the pixels' rows and columns on the query's grid; None where they are the query's
            pixels.
        query_positions: (L, 2), those of the query's pixels; None where they are a grid's, line by line.
    """

    key: Tensor
    value: Tensor
    positions: Tensor | None = None
    query_positions: Tensor | None = None


class Memory(NamedTuple):
    """What matching reads, for objects that share their memory frames.

    Attributes:
        key: (B, N, Ck), N = memory frames x pixels at stride 16.
        value: (B, K, N, Cv), one an object.
        last: the previous frame; None where that had another size.
        usage: (N,) float32, to which the affinities of each pixel are added when it is read with the largest
            alone; None: nobody asks how much the memory is used.
    """

    key: Tensor
    value: Tensor
    last: LastFrame | None
    usage: Tensor | None = None


class Network(nn.Module):
    """What can be trained and travels in weight files with its configuration.

    Attributes:
        gate: one for all that follows the query encoder, in the place of gates of convolutions.
    """

    config: ModelConfig
    mean: Tensor
    std: Tensor
    keeps_trunk = (
        False  # whether its trunk stays as ImageNet made it unless asked for, in an engine of its own
    )
    resnets: Mapping[
        str, str
    ] = {}  # its trunks that take torchvision's weights, by module: their names there

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.gate: ModuleGate | None = None
        self.memory_format = torch.contiguous_format
        for name, values in (("mean", config.mean), ("std", config.std)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    @property
    def gated_parts(self) -> str:
        """The modules whose convolutions have gates of their own: letters of Q, D and M."""
        return "" if self.config.method == "dense" or self.gate is not None else self.config.structure

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self._first_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of its convolutions."""
        return self._first_weight.dtype

    @property
    def _first_weight(self) -> Tensor:
        return next(module.weight for module in self.modules() if isinstance(module, nn.Conv2d))

    def normalize(self, image: Tensor) -> Tensor:
        """(..., 3, H, W) RGB in [0, 1] -> what the query encoder was trained on."""
        mean, std = set(self.config.mean), set(self.config.std)
        if len(mean) == len(std) == 1:  # the same for all channels, which is four times as fast
            return (image - mean.pop()).div_(std.pop())
        return (image - self.mean) / self.std

    def train(self, mode: bool = True) -> Self:
        """Batch normalisation stays in evaluation mode, as STCN does: batches are small."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class VOSNetwork(Network):
    """The four modules that every network for videos has; a subclass makes them.

    Frames are batched as B (one in a stream, more in training), objects as K; images are RGB in [0, 1], their
    sides multiples of 16. A run, where there is one, decides about the pixels of gated convolutions.
    """

    reads_last_frame = False
    follows_region = False  # whether a window about the objects does as well as the whole frame
    merges_background = False  # whether memory pixels far from all objects may be averaged
    drops_distractors = False  # whether small parts far from where an object was before are no parts of it
    openvino = ""  # the module whose `put_in` has OpenVINO run what no gates decide about; empty: none has
    openvino_always_pays = False  # whether OpenVINO is faster in any arithmetic
    on_cells = ""  # the module whose `CellDecoder` computes chosen cells alone; empty: none does
    query_encoder: nn.Module
    memory_encoder: nn.Module
    decoder: nn.Module

    def encode_query(self, image: Tensor, run: LayerRunner | None = None) -> Query:
        """image: (B, 3, H, W), normalised."""
        return self.query_encoder(image, run)

    def encode_memory(
        self, image: Tensor, query: Query, masks: Tensor, run: LayerRunner | None = None
    ) -> Tensor:
        """Memory values from a frame and its masks (B, K, H, W): (B, K, Cv, H/16, W/16)."""
        return self.memory_encoder(image, query, masks, run)

    @property
    def matched_channels(self) -> int:
        """Of the product that gives similarities."""
        return self.config.key_channels

    @property
    def carries_hidden(self) -> bool:
        """Whether it has a state of each object that goes from frame to frame beside the memory."""
        return self.config.hidden_channels > 0

    def encode_memory_step(
        self,
        image: Tensor,
        query: Query,
        masks: Tensor,
        hidden: Tensor | None,
        run: LayerRunner | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """As `encode_memory`, and the objects' hidden states after it; None where the network has none.

        Args:
            hidden: (B * K, Ch, H/16, W/16) float32, of the objects before it; None: zeros.
        """
        return self.encode_memory(image, query, masks, run), None

    def match(
        self,
        query: Query,
        memory: Memory,
        top_k: int | None = None,
        read_top_k: TopKReadout = top_k_readout,
    ) -> Tensor:
        """The readout: (B, K, Cv, H/16, W/16).

        Args:
            top_k: affinities kept for each pixel (inference); None: all of them (training).
            read_top_k: how the memory is read with the kept ones.
        """
        return as_map(self.match_rows(query, memory, top_k, read_top_k), *query.key.shape[2:])

    def match_rows(
        self,
        query: Query,
        memory: Memory,
        top_k: int | None = None,
        read_top_k: TopKReadout = top_k_readout,
        cells: Tensor | None = None,
    ) -> Tensor:
        """As `match`, in rows: (B, K, L, Cv).

        Args:
            cells: (L,), the pixels at stride 16 that are matched, line by line; None: all of them. Needs
                `top_k`.
        """
        key = as_rows(query.key)
        return self.read(key if cells is None else key[:, cells], memory, top_k, read_top_k)

    def read(self, query_key: Tensor, memory: Memory, top_k: int | None, read_top_k: TopKReadout) -> Tensor:
        """As `match`, in rows: (B, L, Ck) -> (B, K, L, Cv)."""
        if top_k is None:
            return readout(similarity(query_key, memory.key), memory.value)
        return read_top_k(query_key, memory.key, memory.value, top_k, memory.usage)

    def prototypes(self, key: Tensor, value: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Few memory pixels that stand for many: the chosen ones, with the values that they find among all
        (XMem, Section 3.3.2).

        Args:
            key: (1, N, Ck), value: (1, K, N, Cv).
            chosen: (P,), numbers of pixels.

        Returns:
            (1, P, Ck), (1, K, P, Cv)
        """
        found = key[:, chosen]
        return found, readout(similarity(found, key), value)

    def decode(self, readout: Tensor, query: Query, run: LayerRunner | None = None) -> Tensor:
        """Logits (B, K, H, W), each object for itself."""
        return self.decoder(readout, query, run)

    def decode_step(
        self,
        readout: Tensor,
        query: Query,
        hidden: Tensor | None,
        run: LayerRunner | None = None,
        *,
        memory_frame: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As `decode`, and the objects' hidden states after it.

        Args:
            hidden: as in `encode_memory_step`.
            memory_frame: whether `encode_memory_step` makes the hidden states after this frame.
        """
        return self.decode(readout, query, run), None

    def without_openvino(self) -> str | None:
        """What keeps OpenVINO from running what no gates decide about; None: nothing does."""
        return None if self.openvino else f"the {self.config.architecture} network"

    def for_inference(self, device: torch.device, dtype: torch.dtype) -> VOSNetwork:
        """Changed in place: normalisation folded into the convolutions, channels last, convolutions in
        `dtype`; on a CPU the large ones by Winograd's algorithm."""
        for module in self.modules():
            if isinstance(module, ConvUnit):
                module.fold_norm()
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(dtype)
        self.memory_format = torch.channels_last
        self.eval().requires_grad_(False).to(device)
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload]  # as torch documents it
        for module in self.modules():
            if isinstance(module, ConvUnit):
                module.prepare_winograd()
            elif isinstance(module, TripleGate):
                module.join_halves()
        return self


class SpVOS(VOSNetwork):
    """The paper's network; without gates it is exactly STCN: 54,434,180 parameters."""

    query_encoder: QueryEncoder
    resnets = RESNETS
    openvino = "spvos_cli.model.backends.resnet_engine"
    on_cells = "spvos_cli.model.cell_decoder"

    def __init__(self, config: ModelConfig = SPVOS) -> None:
        super().__init__(config)
        self.query_encoder = QueryEncoder(config.key_channels, config.value_channels)
        self.memory_encoder = MemoryEncoder(config.value_channels)
        self.decoder = Decoder(config.value_channels, config.decoder_channels)

    def without_openvino(self) -> str | None:
        """As in `VOSNetwork`."""
        return "gates in the query encoder" if "Q" in self.gated_parts else None
