"""The decoder: the readout and the query value, refined with f8 and f4 into one mask an object (Figure 2,
right)."""

from __future__ import annotations

from torch import Tensor, nn

from spvos_cli.model.encoders import Query
from spvos_cli.model.layers import ResidualBlock, upsample
from spvos_cli.sparse.conv import LayerRunner, SparseConv2d
from spvos_cli.sparse.conv_unit import repeat_rows


class UpBlock(nn.Module):
    """Twice the resolution: a skip convolution on the query encoder's features, added, and a residual
    block."""

    def __init__(self, skip_channels: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.skip = SparseConv2d(skip_channels, in_channels, 3, role="other", per_frame=True)
        self.labels: SparseConv2d | None = None
        self.block = ResidualBlock(in_channels, out_channels)

    def forward(self, x: Tensor, features: Tensor, run: LayerRunner | None = None) -> Tensor:
        """x: (B * K, in_channels, h, w), features: (B, skip_channels, 2h, 2w) -> (B * K, out_channels, 2h,
        2w)."""
        return self.block(upsample(x, 2).add_(repeat_rows(self.skip(features, run), len(x))), run)


class Decoder(nn.Module):
    """Residual blocks at strides 16, 8 and 4, then one logit a pixel.

    Args:
        value_channels: of the readout, and of the query value.
        channels: at strides 16, 8 and 4.
    """

    def __init__(self, value_channels: int, channels: tuple[int, int, int]) -> None:
        super().__init__()
        c16, c8, c4 = channels
        self.compress = ResidualBlock(2 * value_channels, c16)
        self.up8 = UpBlock(512, c16, c8)
        self.up4 = UpBlock(256, c8, c4)
        self.predict = SparseConv2d(c4, 1, 3, role="other")

    def forward(self, readout: Tensor, query: Query, run: LayerRunner | None = None) -> Tensor:
        """readout: (B, K, Cv, H/16, W/16) -> logits (B, K, H, W), each object for itself."""
        x = self.compress(readout.flatten(0, 1), run, shared=query.value)
        x = self.up8(x, query.f8, run)
        x = self.up4(x, query.f4, run)
        return upsample(self.predict(x.relu_(), run), 4).squeeze(1).unflatten(0, readout.shape[:2])
