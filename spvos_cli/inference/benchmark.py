"""A network over a benchmark's sequences."""

from __future__ import annotations

from pathlib import Path

from spvos_cli.data.folders import davis_sequences
from spvos_cli.evaluation.davis import Result, evaluate
from spvos_cli.inference.engine import EngineOptions
from spvos_cli.ui import Reporter


def run_davis(root: Path, year: int, split: str, engine: EngineOptions, reporter: Reporter) -> list[Result]:
    """Segments and scores the sequences of a DAVIS split.

    Args:
        root: of the DAVIS layout.
        year: 2016 (all objects as one) or 2017.
        split: a list in ImageSets/YEAR.
        engine: which network runs, and how.

    Raises:
        InputError: the dataset or the weights cannot be used.
    """
    sequences = davis_sequences(root, year, split)
    segmenter = engine.segmenter(reporter)

    def fresh():
        segmenter.reset()
        return segmenter

    results = evaluate(sequences, fresh, merge_objects=year == 2016)
    return list(reporter.track(results, len(sequences), "evaluating"))
