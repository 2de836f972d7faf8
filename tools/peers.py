"""How fast others are on this machine: lite beside Cutie (PyPI `rf-cutie`), frame by frame in turn.

    pip install rf-cutie
    python tools/peers.py --clip VIDEO_OR_FOLDER --mask FIRST_MASK [--dtype bf16] [--threads 2] [--json FILE]

Cutie has random weights, as time does not depend on them, and runs through its own `InferenceCore.step`:
memory every five frames, five frames in the memory. lite runs through `VideoSegmenter.step`, which scales the
frame and makes the label map as well. All see the same frames, threads and type. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spvos_cli.inference.engine import EngineOptions
from spvos_cli.inference.machine import DTYPES, choose_dtype, cpu_name, use_threads
from spvos_cli.inference.segmenter import VideoSegmenter
from spvos_cli.profiling.measure import measured_clip

WARM_UP = 10  # frames that are not counted: the memory fills
Step = Callable[[np.ndarray, np.ndarray | None], Any]  # a frame and, with the first one, its mask


def lite(dtype: str, threads: int, engine: str, region: str) -> Step:
    """This project's, with an engine and region as the options have them."""
    network = EngineOptions(dtype=dtype, threads=threads, engine=engine).network()
    return VideoSegmenter(network, region=region == "auto").step


def cutie(size: str, dtype: torch.dtype) -> Step:
    """Cutie with random weights: "small" or "base"."""
    import cutie.config as config
    from cutie.inference.inference_core import InferenceCore
    from cutie.model.cutie import CUTIE
    from cutie.model.utils import resnet
    from omegaconf import OmegaConf

    folder = Path(next(iter(config.__path__)))
    options = OmegaConf.load(folder / "eval_config.yaml")
    files = [folder / "model" / f"{name}.yaml" for name in ("base", size)]
    options.model = OmegaConf.merge(*(OmegaConf.load(file) for file in files))
    options.merge_with({"use_long_term": False, "mem_every": 5})
    resnet.model_zoo.load_url = lambda *_, **__: {}  # ImageNet's weights would be downloaded
    resnet.load_weights_add_extra_dim = lambda *_, **__: None
    torch.manual_seed(0)
    core = InferenceCore(CUTIE(options).eval(), cfg=options)

    def step(frame: np.ndarray, mask: np.ndarray | None) -> torch.Tensor:
        image = torch.from_numpy(frame).permute(2, 0, 1) / 255
        ids = [] if mask is None else np.unique(mask[mask > 0]).tolist()
        with torch.inference_mode(), _autocast(dtype):
            if mask is None:
                return core.step(image)
            return core.step(image, torch.from_numpy(mask), objects=ids)

    return step


def _autocast(dtype: torch.dtype) -> contextlib.AbstractContextManager[Any]:
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast("cpu", dtype=dtype)


def in_turn(peers: dict[str, Step], frames: Iterator[np.ndarray], mask: np.ndarray) -> dict[str, list[float]]:
    """Milliseconds of each frame after the warm-up, by peer."""
    times: dict[str, list[float]] = {name: [] for name in peers}
    for number, frame in enumerate(frames):
        for name, step in peers.items():
            start = time.perf_counter()
            step(frame, mask if number == 0 else None)
            if number >= WARM_UP:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clip", type=Path, help="a video or a folder of images; default: a rendered clip")
    parser.add_argument("--mask", type=Path, help="the mask of its first frame")
    parser.add_argument("--frames", type=int, default=40, help="of the clip, at most")
    parser.add_argument("--dtype", default="auto", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default="small", help="of Cutie: small, base, or both with a comma")
    parser.add_argument("--json", type=Path, help="also write what is found to this file")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    dtype = choose_dtype(arguments.dtype, torch.device("cpu"))
    name = next(name for name, each in DTYPES.items() if each == dtype)
    peers = {f"lite, engine {e}, region {r}": lite(name, arguments.threads, e, r) for e, r in VARIANTS}
    peers |= {f"Cutie-{size}": cutie(size, dtype) for size in arguments.peers.split(",") if size}
    frames, mask = measured_clip(arguments.clip, arguments.mask)
    times = in_turn(peers, itertools.islice(iter(frames), arguments.frames), mask)
    print(f"{cpu_name()}, {arguments.threads} threads, {name}; milliseconds a frame")
    rows = {}
    for peer, each in times.items():
        median, high = statistics.median(each), statistics.quantiles(each, n=20)[-1]
        rows[peer] = {"ms_median": median, "ms_p95": high, "fps": 1e3 / median, "frames": len(each)}
        print(f"{peer:36s} median {median:7.1f}  p95 {high:7.1f}  {1e3 / median:5.1f} frames a second")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


VARIANTS = (("auto", "auto"), ("auto", "off"), ("torch", "off"))

if __name__ == "__main__":
    main()
