"""The convolution that the networks are made of, with what directly follows it, and how features that the
objects of a frame share are convolved once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from spvos_cli.model.cpu.products import fast_conv2d
from spvos_cli.model.cpu.winograd import (
    LEAST_PIXELS,
    transform_tile_weight,
    transform_weight,
    winograd_conv2d,
)


class ConvUnit(nn.Conv2d):
    """A convolution with the batch normalisation and the ReLU that directly follow it, padded to keep the
    size.

    The three are one unit because the sparse convolution keeps their joint output (REUSE copies what comes
    out last) and because inference folds the normalisation into the weights.
    """

    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    constant: Tensor
    winograd_weight: Tensor | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        bias: bool = True,
        norm: bool = False,
        relu: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=bias)
        self.norm = nn.BatchNorm2d(out_channels) if norm else None
        self.relu = relu
        self.register_buffer("constant", torch.zeros(out_channels), persistent=False)
        self.register_buffer("winograd_weight", None, persistent=False)
        self._tile_weights: dict[int, Tensor | None] = {}

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x)

    def dense(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """(B, Cin, H, W) -> (B, Cout, ceil(H / stride), ceil(W / stride)), every pixel computed.

        Args:
            shared: the last of the input's channels, where they are the same for all objects of a frame:
                (B / objects, C, H, W); x has the channels before them.
        """
        return self.finish(self.convolve(x, shared))

    def convolve(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """The convolution with its bias, nothing after it."""
        return split_conv2d(
            x, shared, self.weight, self.bias, self.stride, self.padding, self.winograd_weight
        )

    def finish(self, x: Tensor) -> Tensor:
        """Batch normalisation and ReLU, as far as the unit has them; may overwrite x."""
        if self.norm is not None:
            x = self.norm(x)
        return x.relu_() if self.relu else x

    def skipped(self) -> Tensor:
        """(Cout,): what the unit puts out where its convolution puts out 0; batch normalisation must be
        folded."""
        return self.constant.relu() if self.relu else self.constant

    @torch.no_grad()
    def fold_norm(self) -> None:
        """Folds the batch normalisation (evaluation mode) into weight and bias; for inference only."""
        if self.norm is None:
            return
        norm, self.norm = self.norm, None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        statistics = norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        _, constant = fuse_conv_bn_weights(self.weight, None, *statistics)
        self.constant = constant.detach()
        self.weight, self.bias = fuse_conv_bn_weights(self.weight, self.bias, *statistics)

    def prepare_winograd(self) -> None:
        """Keeps the weight also as Winograd's algorithm needs it, where that pays; for inference only."""
        self.winograd_weight = transform_weight(self.weight) if self.stride == (1, 1) else None
        self._tile_weights = {}

    def tile_weight(self, edge: int) -> Tensor | None:
        """The weight for tiles of that height and width, borders included, by Winograd's algorithm; None
        where that does not pay. It is made when it is first asked for; for inference only."""
        if edge not in self._tile_weights:
            self._tile_weights[edge] = transform_tile_weight(self.weight, edge)
        return self._tile_weights[edge]


def split_conv2d(
    x: Tensor,
    shared: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    winograd_weight: Tensor | None = None,
) -> Tensor:
    """conv2d on the channels of x and then those of `shared`, which are convolved once for all objects.

    Args:
        winograd_weight: the weight for `winograd_conv2d`, which takes the place of conv2d on all but small
            images.
    """
    if shared is None:
        if winograd_weight is None or x[0, 0].numel() < LEAST_PIXELS:
            return fast_conv2d(x, weight, bias, stride, padding)
        return winograd_conv2d(x, winograd_weight, bias)
    sizes = [x.shape[1], shared.shape[1]]
    own, common = weight.split(sizes, dim=1)
    own_winograd, common_winograd = (
        (None, None) if winograd_weight is None else winograd_weight.split(sizes, dim=3)
    )
    once = split_conv2d(shared, None, common, bias, stride, padding, common_winograd)
    return split_conv2d(x, None, own, None, stride, padding, own_winograd) + repeat_rows(once, x.shape[0])


def join_channels(x: Tensor, shared: Tensor | None) -> Tensor:
    """The channels of x and then those of `shared`, repeated for every object."""
    return x if shared is None else torch.cat([x, repeat_rows(shared, x.shape[0])], dim=1)


def repeat_rows(x: Tensor, rows: int) -> Tensor:
    """Repeats what belongs to a frame for each of its objects: (B, C, H, W) -> (rows, C, H, W), rows = B *
    objects."""
    if x.shape[0] == 1:
        return x.expand(rows, -1, -1, -1)
    return x.unsqueeze(1).expand(-1, rows // x.shape[0], -1, -1, -1).flatten(0, 1)
