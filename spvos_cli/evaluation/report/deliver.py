"""What users get of an evaluation: complaints, the table or JSON, CSV files and the report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spvos_cli.errors import InputError
from spvos_cli.evaluation.report.page import Comparison, write_page
from spvos_cli.evaluation.report.pictures import Picture
from spvos_cli.evaluation.report.results import Evaluation, summary
from spvos_cli.evaluation.report.table import csv_files, print_table, write_csv
from spvos_cli.ui import Reporter


class Outputs(NamedTuple):
    """What is asked for.

    Attributes:
        as_json: a JSON summary on stdout instead of the table.
        strict: complaints are an error.
        report: the HTML page to write.
        csv: the folder for the two official CSV files.
        split: what is in their names.
        overwrite: whether files that exist may be replaced.
    """

    as_json: bool = False
    strict: bool = False
    report: Path | None = None
    csv: Path | None = None
    split: str = "val"
    overwrite: bool = False

    def check(self) -> None:
        """Before anything is computed.

        Raises:
            InputError: a file is there already, or has no folder to be in.
        """
        files = [self.report] if self.report else []
        files += csv_files(self.csv, self.split) if self.csv else []
        for file in files:
            if file.exists() and not self.overwrite:
                raise InputError(
                    file, found="it exists already", expected="a file that does not", fix="--overwrite"
                )
        if self.report and not self.report.absolute().parent.is_dir():
            found = f"no folder {self.report.parent}"
            raise InputError(
                self.report, found=found, expected="a file in a folder that exists", fix="--report FILE.html"
            )

    def deliver(
        self,
        evaluation: Evaluation,
        pictures: list[Picture],
        settings: Mapping[str, Any],
        reporter: Reporter,
    ) -> None:
        """Complains on stderr, writes files, and prints the table or the summary on stdout; see `write`."""
        self.write(evaluation, pictures, settings, reporter)
        if self.as_json:
            print(json.dumps(summary(evaluation)))
        else:
            print_table(evaluation)

    def write(
        self,
        evaluation: Evaluation,
        pictures: list[Picture],
        settings: Mapping[str, Any],
        reporter: Reporter,
        comparison: Comparison | None = None,
    ) -> None:
        """Complains on stderr and writes files.

        Args:
            pictures: of the worst frames, for the report.
            settings: what the run was made with, by name, for the report.
            comparison: with other methods, for the report.

        Raises:
            InputError: nothing could be scored, a file cannot be written, or `strict` and something is wrong.
        """
        complaints = evaluation.all_complaints
        for text in complaints:
            reporter.warn(text)
        check_scored(evaluation)
        if complaints and self.strict:
            found = f"{len(complaints)} complaints, the first: {complaints[0]}"
            raise InputError(
                "--strict", found=found, expected="none", fix="mend the masks, or leave out --strict"
            )
        if self.csv:
            write_csv(evaluation, self.csv, self.split)
        if self.report:
            write_page(self.report, evaluation, pictures, settings, comparison)
            reporter.note(f"report: {self.report}")


def check_scored(evaluation: Evaluation) -> None:
    """Before anything is averaged.

    Raises:
        InputError: nothing could be scored.
    """
    if not evaluation.objects:
        found, expected = "no object in a frame that counts", "true masks with objects"
        raise InputError(evaluation.title, found=found, expected=expected, fix="--all-frames")
