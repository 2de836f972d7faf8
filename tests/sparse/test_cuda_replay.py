"""The CUDA sources under sanitizers, and with mistakes in them: judged by the exit status of a program that
replays recorded launches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sparse.cuda_mutants import MUTANTS, SLOW, Mutant
from tests.sparse.host_gpu import needs_compiler
from tests.sparse.replay import VARIANTS, build, record, replay

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By variant."""
    folder, recordings = tmp_path_factory.mktemp("recordings"), {}
    for name, variant in VARIANTS.items():
        recordings[name] = folder / name
        recordings[name].write_bytes(record(variant))
    return recordings


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    """Compilers and programs run beside each other."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield pool


def outcome(variant: str, sanitizer: str, recording: Path, folder: Path, sources: Path | None = None) -> str:
    """Empty where the program ends with 0, else what it said."""
    folder.mkdir(parents=True, exist_ok=True)
    build(VARIANTS[variant], sanitizer, folder / "program", sources)
    done = replay(folder / "program", recording)
    return done.stderr or f"exit status {done.returncode}" if done.returncode else ""


def chosen(request: pytest.FixtureRequest, test: str) -> list[dict[str, str]]:
    """The parameters with which a test is going to run."""
    items = [item for item in request.session.items if item.originalname == test]
    return [item.callspec.params for item in items]


@pytest.fixture(scope="module")
def sound(
    request: pytest.FixtureRequest,
    recordings: dict[str, Path],
    pool: ThreadPoolExecutor,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, str], Future[str]]:
    """The sources as they are: outcomes by variant and sanitizer."""
    folder = tmp_path_factory.mktemp("sound")
    return {
        (variant, sanitizer): pool.submit(
            outcome, variant, sanitizer, recordings[variant], folder / variant / sanitizer
        )
        for variant, sanitizer in (
            (params["variant"], params["sanitizer"]) for params in chosen(request, "test_sources_are_sound")
        )
    }


@pytest.fixture(scope="module")
def mutated(
    request: pytest.FixtureRequest,
    recordings: dict[str, Path],
    pool: ThreadPoolExecutor,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Future[str]]:
    """Outcomes of the mutants."""
    folder = tmp_path_factory.mktemp("mutants")

    def run(mutant: Mutant, place: Path) -> str:
        place.mkdir()
        mutant.write(place / "sources")
        recording = recordings[mutant.variant]
        return outcome(mutant.variant, mutant.sanitizer, recording, place, place / "sources")

    names = [params["name"] for params in chosen(request, "test_mistakes_are_caught")]
    return {name: pool.submit(run, MUTANTS[name], folder / str(i)) for i, name in enumerate(names)}


@pytest.mark.parametrize("sanitizer", ["none", "address and undefined", "thread"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_sources_are_sound(sound: dict[tuple[str, str], Future[str]], variant: str, sanitizer: str) -> None:
    assert sound[variant, sanitizer].result() == ""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in MUTANTS]
)
def test_mistakes_are_caught(mutated: dict[str, Future[str]], name: str) -> None:
    assert mutated[name].result() != ""


def test_there_are_enough_mistakes() -> None:
    assert len({(mutant.file, mutant.before, mutant.after) for mutant in MUTANTS.values()}) >= 40
