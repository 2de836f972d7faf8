"""A frame looked at twice, as it is and mirrored: what the two find is averaged, which is more exact than
either and takes twice as long."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from torch import Tensor

from spvos_cli.inference.previous_frame import PreviousFrame, tensors_below
from spvos_cli.inference.stream import State, Stream
from spvos_cli.inference.views import Placed, View
from spvos_cli.sparse.run import ModuleRunner

MIRROR = "mirror"  # begins the names of what the mirrored stream goes on from


class MirroredView(NamedTuple):
    """A frame whose left is on the right."""

    view: View

    @property
    def height(self) -> int:
        return self.view.height

    @property
    def width(self) -> int:
        return self.view.width

    def crop(self, top: int, left: int, bottom: int, right: int) -> Tensor:
        return self.view.crop(top, self.width - right, bottom, self.width - left).flip(2)


class MirroredStream:
    """Two streams that see one video, one of them mirrored, and remember the mean of what they find; used as
    `Stream` is.

    Args:
        make: makes one of them.
    """

    def __init__(self, make: Callable[[], Stream]) -> None:
        self.plain, self.mirror = make(), make()

    @property
    def ids(self) -> list[int]:
        """As in `Stream`."""
        return self.plain.ids

    @property
    def runs(self) -> Mapping[str, ModuleRunner]:
        """What gates decided about the frame as it is."""
        return self.plain.runs

    @property
    def previous(self) -> PreviousFrame | None:
        """As it is."""
        return self.plain.previous

    def segment(self, view: View, given: Mapping[int, Tensor] | None = None) -> Placed:
        """As in `Stream`; the probabilities are means."""
        one = self.plain.segment(view, given).whole()
        mirrored = {i: mask.flip(1) for i, mask in (given or {}).items()}
        other = self.mirror.segment(MirroredView(view), mirrored).whole()
        prob = (one + other.flip(2)) / 2
        self.plain.revise(prob)
        self.mirror.revise(prob.flip(2))
        return Placed(prob, 0, 0, view.height, view.width)

    def forget_policies(self) -> None:
        """As in `Stream`."""
        self.plain.forget_policies()
        self.mirror.forget_policies()

    def remove(self, ids: Collection[int]) -> None:
        """As in `Stream`."""
        self.plain.remove(ids)
        self.mirror.remove(ids)

    def can_resume(self, given: Collection[int] = ()) -> bool:
        """As in `Stream`."""
        return self.plain.can_resume(given) and self.mirror.can_resume(given)

    def state(self) -> State:
        """As in `Stream`."""
        own, other = self.plain.state(), self.mirror.state()
        tensors = {f"{MIRROR}.{name}": x for name, x in other.tensors.items()}
        return State(own.tensors | tensors, own.facts | {MIRROR: other.facts})

    def restore(self, state: State) -> None:
        """As in `Stream`."""
        self.plain.restore(state)
        self.mirror.restore(State(tensors_below(f"{MIRROR}.", state.tensors), state.facts[MIRROR]))
