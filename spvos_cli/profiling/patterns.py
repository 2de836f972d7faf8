"""Pictures of what gates decide: by layer as in the paper's Figure 5, by position as in its Figure 6."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spvos_cli.errors import InputError
from spvos_cli.policy_names import NAMES
from spvos_cli.profiling.drawing import new_figure, save_figure
from spvos_cli.sparse.plan import PARTS
from spvos_cli.sparse.policy import COMPUTE
from spvos_cli.sparse.run import ModuleRunner
from spvos_cli.sparse.tally import PolicyTally

COLOURS = {"skip": "#c9ccd1", "reuse": "#5b9bd5", "compute": "#e07b39"}
HEIGHT = 120  # rows of the maps: 480 lines at stride 4


class PatternTally(PolicyTally):
    """Also adds up where pixels were computed.

    Attributes:
        maps: by module, (HEIGHT, W): how many layers times steps computed each position.
        counts: by module, layers times steps.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.maps: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, runs: Iterable[ModuleRunner]) -> None:
        runs = list(runs)
        super().add(runs)
        for run in runs:
            for conv, policy in run.policies.items():
                part = self.names[conv].split(".")[0]
                computed = (policy == COMPUTE).float().mean(dim=0).cpu()
                if part not in self.maps:
                    width = round(HEIGHT * computed.shape[1] / computed.shape[0])
                    self.maps[part] = torch.zeros(HEIGHT, width)
                total = self.maps[part]
                total += F.interpolate(computed[None, None], size=total.shape)[0, 0]
                self.counts[part] = self.counts.get(part, 0) + 1


def draw_patterns(tally: PatternTally, path: Path) -> None:
    """Writes the picture, in the format of the file's suffix.

    Raises:
        InputError: nothing ran sparsely, the file cannot be written, or Matplotlib is not installed.
    """
    if not tally.layers:
        expected = "weights with gates, and a clip of more than two frames"
        raise InputError(
            "--patterns", found="no gate decided about anything", expected=expected, fix="--weights FILE"
        )
    rows = len(tally.layers)
    figure = new_figure("--patterns", (10, 4.5 + 0.22 * rows))
    panels: Any = figure.subfigures(2, 1, height_ratios=(0.22 * rows + 1.5, 3))  # an array, of two
    upper, lower = panels
    bars, pie = upper.subplots(1, 2, width_ratios=(3, 1))
    _draw_layers(bars, tally)
    shares = tally.shares()
    pie.pie(
        list(shares.values()), labels=list(shares), colors=[COLOURS[n] for n in shares], autopct="%.1f %%"
    )
    parts = [module for module in PARTS.values() if module in tally.maps]
    for axes, part in zip(lower.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        image = axes.imshow(tally.maps[part] / tally.counts[part], vmin=0, vmax=1, cmap="magma")
        axes.set_title(f"{part.replace('_', ' ')}: share of layers and frames computed")
        axes.set_axis_off()
        lower.colorbar(image, ax=axes, shrink=0.7)
    save_figure(figure, path, "--patterns")


def _draw_layers(axes: Any, tally: PolicyTally) -> None:
    names = list(tally.layers)
    pixels = torch.stack([tally.layers[name].pixels for name in names]).double()
    shares, left = pixels / pixels.sum(dim=1, keepdim=True), torch.zeros(len(names))
    for choice, name in reversed(list(enumerate(NAMES))):
        axes.barh(names, shares[:, choice], left=left, color=COLOURS[name], label=name)
        left = left + shares[:, choice]
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of pixels on sparse frames")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    axes.tick_params(labelsize=7)
