"""Every option of every command: declared once, explained in sentences, and never taken and ignored."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

from spvos_cli.commands import annotate, evaluate, profile, segment, train
from spvos_cli.commands.parameters import Command, Parameter, typer_command
from spvos_cli.errors import InputError
from spvos_cli.option import Use

ENGINE = {
    "model": "lite",
    "weights": "w.safetensors",
    "method": "triple",
    "sparse": "D",
    "gate_all": "",
    "strategy": "fully",
    "gate": "conv",
    "size": "100",
    "mem_every": "2",
    "top_k": "3",
    "max_memory": "4",
    "long_memory": "100",
    "reuse": "--no-reuse",
    "device": "cpu",
    "dtype": "fp32",
    "threads": "1",
    "region": "off",
    "flip": "",
    "engine": "torch",
    "quiet": "",
    "json": "",
}
RUNS = ("plot", "vary", "length", "region")  # of profile: whole runs, and their growth
NETWORK = {"model", "weights", "method", "sparse", "gate_all", "strategy", "gate"}


class Case(NamedTuple):
    """A command, and what each of its options is tried with.

    Attributes:
        values: by the option's name; "" for a flag, a text that starts with - as it is typed.
        modes: arguments -> the options that have no effect beside them.
    """

    run: Callable[..., None]
    uses: Mapping[str, tuple[Use, ...]]
    values: dict[str, str]
    modes: dict[str, set[str]]


NOT_TRAINED = {"weights", "size", "mem_every", "top_k", "max_memory", "long_memory"}
NOT_TRAINED |= {"reuse", "region", "flip", "engine"}
LONG = {
    *("stills_share", "videos_share", "final_share", "final_frames", "final_side", "final_batch_size"),
    "trunk_share",
}
GAPS = {"max_gap", "sparse_gap", "sparse_motion"}
CLIPS = {
    *("frames", "train_trunk", "trunk_rate", "gamma", "beta", "objective", "relaxing", "tau", "noise"),
    "checkpoint_activations",
}
MANY = {"mask_dir", "jobs", "workers", "cluster"}
CLICKS = {"turns", "crowded"}
SEGMENT_LOOKS = {"overlay_alpha", "contour", "show_names"}
CASES = {
    "segment": Case(
        segment.segment,
        segment.USES,
        ENGINE
        | {
            "input": "other.mp4",
            "mask": "m.png",
            "box": "1,2,3,4",
            "click": "1,2",
            "output": "out",
            "demo": "",
            "mask_dir": "masks",
            "jobs": "j.csv",
            "workers": "2",
            "cluster": "auto",
            "start": "3",
            "end": "12.5s",
            "stride": "2",
            "backward": "",
            "live": "",
            "allow_network": "",
            "track": "1",
            "range": "0,4095",
            "fps": "30",
            "format": "jsonl",
            "preview": "3",
            "overlay_alpha": "0.3",
            "contour": "0",
            "show_names": "",
            "colours": "red",
            "resume": "",
            "save_every": "1",
            "overwrite": "",
        },
        {
            "in.mp4 --mask a.png": {"format", "demo", *MANY},
            "in.mp4 --mask a.png -o -": {"demo", "save_every", "colours", *SEGMENT_LOOKS, *MANY},
            "in.mp4 --mask a.png -o a.mkv": {"demo", "format", "colours", *SEGMENT_LOOKS, *MANY},
            "in.mp4 --mask a.png -o a.soft --preview 2": {"demo", "format", *MANY},
            "in.mp4 --mask a.png -o masks/": {"demo", "format", *SEGMENT_LOOKS, *MANY},
            "in.mp4 --mask a.png --backward": {"demo", "format", "live", *MANY},
            "in.mp4 --mask a.png --method dense": {
                *("demo", "format", "sparse", "gate_all", "strategy", "gate", "reuse"),
                *MANY,
            },
            "in.mp4 --mask-dir masks": {"mask", "box", "click", "jobs", "format", "demo"},
            "--jobs j.csv -o {name}/": {"input", "mask", "box", "click", "format", "demo"},
            "--demo": {
                *MANY,
                *("input", "mask", "box", "click", "start", "end", "stride", "backward", "live"),
                "allow_network",
                *("track", "range", "fps", "format", "resume", "save_every"),
            },
        },
    ),
    "annotate": Case(
        annotate.annotate,
        annotate.USES,
        {name: value for name, value in ENGINE.items() if name != "json"}
        | {
            "input": "other.mp4",
            "masks": "m",
            "port": "8765",
            "browser": "--no-browser",
            "track": "1",
            "range": "0,4095",
            "fps": "30",
        },
        {
            "in.mp4": set(),
            "in.mp4 --method dense": {"sparse", "gate_all", "strategy", "reuse"},
        },
    ),
    "eval": Case(
        evaluate.evaluate,
        evaluate.USES,
        ENGINE
        | {
            "dataset": "davis",
            "data": "d",
            "year": "2017",
            "split": "train",
            "frames": "all",
            "only": "a,b",
            "clicks": "",
            "compare": "dense,triple",
            "pred": "p",
            "truth": "t",
            "merge_objects": "",
            "late_objects": "",
            "all_frames": "",
            "strict": "",
            "out": "o",
            "fresh": "",
            "report": "r.html",
            "csv": "c",
            "overwrite": "",
        },
        {
            "--pred p --truth t": {
                *("data", "year", "split", "frames", "only", "clicks", "compare", "out", "fresh"),
                *(set(ENGINE) - {"threads", "quiet", "json"}),
            },
            "--dataset davis": {"frames", "pred", "truth"},
            "--dataset youtube-vos": {"year", "pred", "truth", "clicks"},
            "--dataset folder": {"year", "split", "frames", "pred", "truth"},
            "--dataset davis --compare dense,triple": {
                *("frames", "pred", "truth", "csv", "method", "clicks"),
            },
            "--dataset davis --clicks": {
                *("frames", "compare", "pred", "truth", "late_objects", "all_frames", "strict", "out"),
                *("fresh", "report", "csv", "overwrite", "size", "mem_every", "top_k", "max_memory"),
                *("long_memory", "reuse", "region", "flip"),
                *(NETWORK - {"weights"}),
            },
            "--dataset davis --method dense": {
                *("frames", "pred", "truth", "sparse", "gate_all", "strategy", "gate", "reuse", "compare"),
                "clicks",
            },
        },
    ),
    "profile": Case(
        profile.profile,
        profile.USES,
        {
            n: value
            for n, value in ENGINE.items()
            if n not in ("size", "max_memory", "long_memory", "reuse", "flip")
        }
        | {
            "params": "",
            "flops": "",
            "layers": "",
            "speed": "",
            "paper": "",
            "patterns": "p.png",
            "tune": "",
            "compare": "dense,triple",
            "frame": "96x64",
            "objects": "2",
            "video_list": "l.csv",
            "density": "D=0.1",
            "video": "v.mp4",
            "mask": "m.png",
            "cycles": "2",
            "growth": "g.png",
            "length": "100",
            "plot": "s.png",
            "vary": "dtype",
        },
        {
            "": {"compare", "mask", "cycles", "top_k", *RUNS},
            "--params": {
                *("compare", "frame", "objects", "video_list", "density", "video", "mask", "cycles"),
                *("mem_every", "top_k", "device", "engine", "dtype", "threads", *RUNS),
            },
            "--flops --video-list l.csv": {"compare", "frame", "objects", "mask", "cycles", "top_k", *RUNS},
            "--flops --density D=0.1": {"compare", "video", "mask", "cycles", "top_k", *RUNS},
            "--layers": {
                *("compare", "video_list", "density", "video", "mask", "cycles"),
                *("mem_every", "top_k", "device", "engine", "dtype", "threads", *RUNS),
            },
            "--speed": {"video_list", "mask", *RUNS},
            "--speed --video v.mp4": {"video_list", "compare", "frame", "density", "length"},
            "--growth g.png": {
                *("compare", "frame", "objects", "video_list", "density", "mask", "cycles", "plot", "vary"),
            },
            "--speed --compare dense,triple": {"video_list", "video", "mask", "method", *RUNS},
            "--paper": {
                *("compare", "frame", "objects", "video_list", "density", "video", "mask", "cycles"),
                *("mem_every", "top_k", "device", "engine", "dtype", "threads", *RUNS, *NETWORK),
            },
            "--patterns p.png --video v.mp4": {
                *("compare", "frame", "objects", "video_list", "density", "cycles", "mem_every", "top_k"),
                *RUNS,
            },
            "--tune": {
                *("compare", "frame", "objects", "video_list", "density", "video", "mask", "cycles"),
                *("mem_every", "top_k", "engine", "dtype", "threads", *NETWORK, *RUNS),
            },
        },
    ),
    "train": Case(
        train.train,
        train.USES,
        {name: value for name, value in ENGINE.items() if name not in NOT_TRAINED}
        | {
            "recipe": "lite",
            "resume": "",
            "dataset": "davis",
            "data": "d",
            "out": "o",
            "init": "w.safetensors",
            "pretrained": "download",
            "year": "2017",
            "teacher": "w.safetensors",
            "save_every": "5",
            "max_minutes": "1",
            "tensorboard": "",
            "workers": "2",
            "iterations": "3",
            "batch_size": "3",
            "accumulate": "2",
            "learning_rate": "0.1",
            "average": "0.5",
            "start_share": "0.5",
            "side": "64",
            "seed": "3",
            "gate_rate": "2",
            "target": "0.2",
            "anneal": "0.3",
            "learn": "gates",
            "held_out": "a,b",
            "eval_every": "5",
            "frames": "4",
            "train_trunk": "",
            "trunk_rate": "0.5",
            "gamma": "2",
            "beta": "3",
            "objective": "cost",
            "relaxing": "0.5",
            "tau": "2",
            "noise": "0.5",
            "checkpoint_activations": "",
            "max_gap": "4",
            "sparse_gap": "3",
            "sparse_motion": "0.5",
            "turns": "4",
            "crowded": "0.5",
            "stills_share": "0.2",
            "videos_share": "0.3",
            "final_share": "0.1",
            "final_frames": "4",
            "final_side": "128",
            "final_batch_size": "2",
            "trunk_share": "0.1",
        },
        {
            "--dataset davis": {*LONG, *CLICKS},
            "--dataset davis --recipe lite --method dense": {
                *(*LONG, *CLICKS, "sparse", "gate_all", "strategy", "gate"),
            },
            "--dataset davis --recipe long": CLICKS,
            "--dataset davis --recipe paper": {*LONG, *GAPS, *CLICKS},
            "--dataset davis --recipe stream": {*LONG, *GAPS, *CLIPS, *CLICKS},
            "--dataset stills --recipe clicks": {*LONG, *GAPS, *CLIPS},
            "--dataset davis --resume": set(),
        },
    ),
}
TRIALS = [
    pytest.param(command, mode, id=f"{command} {mode}")
    for command, case in CASES.items()
    for mode in case.modes
]


def options(command: str) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in Command(CASES[command].run)}


@pytest.fixture
def attempt() -> Callable[[str, list[str]], dict[str, Any] | str]:
    """What a command's function got, or the line with which the options were refused."""

    def attempt(command: str, arguments: list[str]) -> dict[str, Any] | str:
        case, got = CASES[command], dict[str, Any]()

        def run(**given: Any) -> None:
            for group in given.values():
                got.update(
                    group if isinstance(group, dict) else vars(group) if hasattr(group, "__dict__") else {}
                )

        run.__annotations__ = get_type_hints(case.run, include_extras=True)
        app = typer.Typer()
        app.command()(typer_command(run, case.uses))
        result = CliRunner().invoke(app, arguments, catch_exceptions=True)
        if isinstance(result.exception, InputError):
            return str(result.exception)
        assert result.exit_code == 0, result.output
        return got

    return attempt


def typed(parameter: Parameter, value: str) -> list[str]:
    if value.startswith("--"):
        return [value]
    name = parameter.names[0].split("/")[0] if parameter.names else None
    return [part for part in (name, value) if part]


@pytest.mark.parametrize("command", CASES)
def test_no_option_is_forgotten(command: str) -> None:
    """Each says when it has an effect, and is tried below."""
    assert set(CASES[command].uses) == set(options(command)) == set(CASES[command].values)


@pytest.mark.parametrize(("command", "mode"), TRIALS)
def test_an_option_is_taken_or_refused(command: str, mode: str, attempt: Any) -> None:
    case, refused, words = CASES[command], set(), mode.split()
    there = {p.shown: p for p in options(command).values() if set(p.names) & set(words) or is_given(p, words)}
    for name, parameter in options(command).items():
        if parameter.shown in there:
            continue
        found = attempt(command, [*words, *typed(parameter, case.values[name])])
        if isinstance(found, str):
            title = found.split(": it has no effect here; expected ")[0]
            assert title in {parameter.shown, *there}, found
            assert found.endswith(f"(leave {title} out)")
            refused.add(name)
        else:
            assert found[name] not in (None, (), [])
    assert refused == case.modes[mode]


def is_given(parameter: Parameter, words: list[str]) -> bool:
    """Whether an argument without a name is there."""
    return not parameter.names and not words[0].startswith("--")


@pytest.mark.parametrize("command", CASES)
def test_help_is_whole_sentences(command: str) -> None:
    for name, parameter in options(command).items():
        text = parameter.declared.help
        assert text[0].isupper(), name
        assert text.endswith("."), name
        assert len(text.split()) >= 4, name
        assert not text.startswith(("The same", "In it", "Of ", "Likewise")), name


@pytest.mark.parametrize("command", CASES)
def test_limits_hold_on_the_command_line(command: str, attempt: Any) -> None:
    for parameter in options(command).values():
        if parameter.declared.least is not None:
            below = str(int(parameter.declared.least) - 1)
            with pytest.raises(AssertionError, match="Invalid value"):
                attempt(command, [parameter.names[0], below])


def test_completion_offers_options_and_choices() -> None:
    """As bash asks for it after `spvos --install-completion`."""

    def complete(line: str) -> list[str]:
        words = line.split(" ")
        asked = {"_SPVOS_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        code = "import sys; sys.argv = ['spvos']; from spvos_cli.__main__ import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True, check=False
        )
        return done.stdout.split()

    assert complete("spvos seg") == ["segment"]
    assert complete("spvos segment x --model ") == ["lite", "spvos", "xmem"]
    assert "--mem-every" in complete("spvos segment x --mem")
