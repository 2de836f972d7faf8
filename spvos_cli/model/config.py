"""What a network is made of: a frozen dataclass that travels inside every checkpoint."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal, get_args

from spvos_cli.model.hosts import HOSTS

Method = Literal["dense", "static", "residual", "triple"]
Structure = Literal["Q", "D", "QD", "QDM"]
Strategy = Literal["mixed", "semi-mixed", "fully"]
GateScope = Literal["conv", "module"]
Trunk = Literal["lite0", "lite1", "lite2"]
CHOICES: dict[str, tuple[str, ...]] = {
    "architecture": (*HOSTS, "clicks"),
    "method": get_args(Method),
    "structure": get_args(Structure),
    "strategy": get_args(Strategy),
    "gate": get_args(GateScope),
    "trunk": get_args(Trunk),
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """The shape of a network and the defaults it is run with.

    Attributes:
        architecture: the host's name (`model.hosts`): `spvos` is the paper's network (STCN's, with ResNets),
            `lite` the small one whose weights ship, `xmem` that of the paper's Table VI; or `clicks`, the one
            that makes masks of boxes and clicks.
        key_channels: channels of query and memory keys (Ck).
        value_channels: channels of query and memory values (Cv).
        decoder_channels: channels of the decoder at strides 16, 8 and 4.
        hidden_channels: channels of the hidden state that goes from frame to frame; 0 for networks without
            one.
        trunk: which EfficientNet-Lite `lite` and `clicks` look through.
        mem_every: frames between memory frames.
        top_k: affinities kept for each query pixel at inference; training uses all.
        max_memory: how many memory frames stay in the bank at inference, and how many annotated frames
            besides the first.
        long_memory: how many pixels at stride 16 of frames that leave the bank stay in it as prototypes; 0:
            none.
        prototypes: how many of them come at a time.
        mean, std: of the RGB input in [0, 1], per channel.
        method: what the gated convolutions do; dense has no gates.
        structure: the modules that have gates: letters of Q (query encoder), D (decoder), M (memory encoder).
        gate_all: gates also on shortcuts, heads, skip convolutions and the prediction.
        strategy: which frames are sparse: mixed, all but memory frames; semi-mixed, all but annotated ones;
            fully.
        gate: what has a gate: each convolution of the structure, or all that follows the query encoder
            together, which is triple whatever the structure.

    Raises:
        ValueError: a name that is none of those above.
    """

    architecture: str = "spvos"
    key_channels: int = 64
    value_channels: int = 512
    decoder_channels: tuple[int, int, int] = (512, 256, 256)
    hidden_channels: int = 0
    trunk: Trunk = "lite0"
    mem_every: int = 5
    top_k: int = 20
    max_memory: int = 10
    long_memory: int = 0
    prototypes: int = 128
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    method: Method = "dense"
    structure: Structure = "QD"
    gate_all: bool = False
    strategy: Strategy = "mixed"
    gate: GateScope = "conv"

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} {getattr(self, name)!r}; expected {', '.join(choices)}")

    def to_json(self) -> str:
        """An object with all fields."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """The inverse of `to_json`.

        Raises:
            ValueError: the text is no such object, or names something that this version does not know.
        """
        fields: dict[str, Any] = json.loads(text)
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise ValueError(f"unknown settings {', '.join(unknown)}: made by a newer spvos")
        lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return cls(**(fields | lists))


SPVOS = ModelConfig()
LITE = ModelConfig(
    architecture="lite",
    value_channels=96,
    decoder_channels=(96, 64, 32),
    top_k=50,
    mem_every=3,
    max_memory=8,
    structure="D",
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
)
CLICKS = ModelConfig(
    architecture="clicks", decoder_channels=LITE.decoder_channels, mean=LITE.mean, std=LITE.std
)
