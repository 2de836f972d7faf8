"""How many clips a second a card learns from, by the layout of tensors, their type and cuDNN's search."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

import torch

from spvos_cli.data.clips import MAX_OBJECTS
from spvos_cli.distributed import Processes
from spvos_cli.model.checkpoint import load_checkpoint
from spvos_cli.resources import weights_folder
from spvos_cli.training.clips.clip_loss import ClipLoss
from spvos_cli.training.learner import Learner
from spvos_cli.training.options import LongOptions
from spvos_cli.training.parameters import freeze
from spvos_cli.training.position import StepPosition
from tools.card.steps import emit

LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
CLIPS = {"start": (64, 3, 256), "end": (32, 6, 320)}  # of a batch, frames of each, side


def init_weights() -> Path:
    """What training starts from: $INIT, or what ships."""
    return Path(os.environ.get("INIT", weights_folder() / "lite.safetensors"))


def pace(rehearse: bool) -> None:
    """A row for each; the fastest is what training should take."""
    device = torch.device("cpu" if rehearse else "cuda")
    for layout, search in itertools.product(LAYOUTS, (False, True)):
        torch.backends.cudnn.benchmark = search
        for part, (batch, frames, side) in CLIPS.items():
            options = LongOptions(train_trunk=True)
            network = freeze(load_checkpoint(init_weights()), train_trunk=True)
            loss = ClipLoss(network, options, torch.bfloat16, Processes())
            learner = Learner(network, options, loss, device, torch.bfloat16, Processes())
            network.to(memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
            if rehearse:
                batch, frames, side = 2, 2, 64
            clips = torch.randint(0, 256, (batch, frames, 3, side, side), dtype=torch.uint8, device=device)
            ids = torch.zeros(batch, frames, side, side, dtype=torch.uint8, device=device)
            ids[..., : side // 2, : side // 2], ids[..., side // 2 :, side // 2 :] = 1, 2
            objects = torch.full((batch,), MAX_OBJECTS, device=device)
            seconds = []
            for iteration in range(2 if rehearse else 8):
                started = time.perf_counter()
                learner.step((clips, ids, objects), StepPosition(iteration, 0.5, range(batch)), 1e-6)
                if not rehearse:
                    torch.cuda.synchronize()
                seconds.append(time.perf_counter() - started)
            best = min(seconds)
            memory = 0 if rehearse else torch.cuda.max_memory_allocated() / 2**30
            row = {"layout": layout, "search": search, "clips": part, "first_s": seconds[0]}
            emit(**row, step_ms=1e3 * best, clips_per_s=batch / best, gib=memory)
            del learner, loss, network
