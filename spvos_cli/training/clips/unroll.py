"""A clip through the network as in inference: memory grows frame by frame, predicted masks are remembered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from spvos_cli.data.clips import MEMORY_FRAMES
from spvos_cli.model.encoders import Query
from spvos_cli.model.layers import aggregate_logits
from spvos_cli.model.matching import as_rows
from spvos_cli.model.network import LastFrame, Memory, VOSNetwork
from spvos_cli.sparse.plan import runs_sparsely
from spvos_cli.training.clips.gumbel import TrainingRun, recomputed
from spvos_cli.training.seeding import seeded_generator


def one_hot(ids: Tensor, objects: int) -> Tensor:
    """(..., H, W) ids in 0..objects -> (..., objects, H, W) masks of the objects."""
    return torch.stack([ids == i for i in range(1, objects + 1)], dim=-3).float()


def unroll(
    network: VOSNetwork,
    frames: Tensor,
    first_masks: Tensor,
    real: Tensor,
    runs: Mapping[str, TrainingRun],
    *,
    memory_frames: Collection[int] = range(MEMORY_FRAMES),
    checkpointed: bool = False,
) -> Tensor:
    """Segments a batch of clips from the masks of their first frames.

    Args:
        frames: (B, T, 3, H, W) in [0, 1].
        first_masks: (B, K, H, W) in {0, 1}.
        real: (B, K) bool; False for slots that hold no object.
        runs: of the modules that have gates, by their letter; fresh ones.
        memory_frames: those that gates see as such. Where the network carries hidden states, the others are
            not remembered: hidden states go through them.
        checkpointed: activations of the modules are computed again for the backward pass instead of kept.

    Returns:
        (B, T - 1, 1 + K, H, W): logits over background and objects for every frame but the first.
    """
    length = frames.shape[1]
    images = network.normalize(frames)
    call = recomputed if checkpointed else _plain
    schedule = [t in memory_frames for t in range(length)]
    queries = _encode_queries(network, images, runs.get("Q"), schedule, call)
    masks, hidden = first_masks, None
    logits: list[Tensor] = []
    keys: list[Tensor] = []
    values: list[Tensor] = []
    for t in range(length):
        if t > 0:
            memory = Memory(torch.cat(keys, dim=1), torch.cat(values, dim=2), LastFrame(keys[-1], values[-1]))
            with torch.autocast(frames.device.type, enabled=False):
                readout = network.match(queries[t], memory)
            run = _at(network, runs.get("D"), t, memory_frame=schedule[t])
            decode = partial(network.decode_step, memory_frame=schedule[t])
            found, hidden = call(decode, run, readout, queries[t], hidden)
            prob = found.float().sigmoid()
            logits.append(aggregate_logits(prob * real[:, :, None, None]))
            masks = logits[-1].softmax(dim=1)[:, 1:] * real[:, :, None, None]
        if t < length - 1 and (schedule[t] or not network.carries_hidden):
            run = _at(network, runs.get("M"), t, memory_frame=True)
            keys.append(as_rows(queries[t].key))
            encode = network.encode_memory_step
            value, hidden = call(encode, run, images[:, t], queries[t], masks, hidden)
            values.append(as_rows(value))
    return torch.stack(logits, dim=1)


def _plain(function: Callable[..., Any], run: TrainingRun | None, *inputs: Any) -> Any:
    return function(*inputs, run)


def _encode_queries(
    network: VOSNetwork,
    images: Tensor,
    run: TrainingRun | None,
    schedule: Sequence[bool],
    call: Callable[..., Any],
) -> list[Query]:
    """A query for each moment: of all frames at once, or one after the other where gates look back."""
    batch, length = images.shape[:2]
    if run is not None:
        return [
            call(network.encode_query, _at(network, run, t, memory_frame=schedule[t]), images[:, t])
            for t in range(length)
        ]
    query = call(network.encode_query, None, images.flatten(0, 1))
    parts = [feature.unflatten(0, (batch, length)).unbind(1) for feature in query]
    return [Query(*moment) for moment in zip(*parts, strict=True)]


def memory_frames_of_clip(network: VOSNetwork, seed: int, iteration: int) -> Collection[int]:
    """The first two frames; where hidden states go through the others, the first and one of the next two, so
    that they go from a memory frame to a frame without memory and back (Section IV-B5)."""
    if not network.carries_hidden:
        return range(MEMORY_FRAMES)
    other = torch.randint(1, 3, (), generator=seeded_generator(seed, iteration))
    return (0, int(other))


def _at(network: VOSNetwork, run: TrainingRun | None, t: int, *, memory_frame: bool) -> TrainingRun | None:
    """The run, set to what the strategy says of a frame."""
    if run is not None:
        run.sparse = runs_sparsely(network.config.strategy, annotated=t == 0, memory_frame=memory_frame)
    return run
