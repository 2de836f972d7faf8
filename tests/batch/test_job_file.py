"""Tables of videos: what cells mean, and what is wrong with them, by row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from spvos_cli.batch.job_file import BadRow, Row, read_job_file
from spvos_cli.errors import InputError

CSV = (
    "\ufeffinput,mask,mask,--overlay-alpha,backward,start,reuse,size\r\n"
    'a.mp4,"one, two.png",12.5s:b.png,0.3,Yes,120,no,240\r\n'
    "\r\n"
    "b.mp4,,m.png,,,,,\r\n"
)
VALUES = [
    {
        "input": "a.mp4",
        "mask": ["one, two.png", "12.5s:b.png"],
        "overlay_alpha": 0.3,
        "backward": True,
        "start": "120",
        "reuse": False,
        "size": 240,
    },
    {"input": "b.mp4", "mask": ["m.png"]},
]


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_csv(tmp_path: Path, mark: str) -> None:
    """As spreadsheets write it: a mark at the start, a column that comes twice, other marks between cells."""
    text = CSV.replace("one, two", "one and two").replace(",", mark)
    path = write(tmp_path / "jobs.csv", text)
    values = [VALUES[0] | {"mask": ["one and two.png", "12.5s:b.png"]}, VALUES[1]]
    assert read_job_file(path) == [
        Row(f"{path}:{line}", each) for line, each in zip((2, 4), values, strict=True)
    ]


def test_cells_may_hold_commas(tmp_path: Path) -> None:
    assert [row.values for row in read_job_file(write(tmp_path / "jobs.csv", CSV))] == VALUES


def test_json_lines(tmp_path: Path) -> None:
    """Types are JSON's, or texts."""
    first = VALUES[0] | {"start": 120, "backward": "yes", "size": "240", "box": None}
    path = write(tmp_path / "jobs.jsonl", f"{json.dumps(first)}\n\n{json.dumps(VALUES[1])}\n")
    rows = read_job_file(path)
    assert [row.where for row in rows] == [f"{path}:1", f"{path}:3"]
    assert [row.values for row in rows] == [VALUES[0] | {"start": 120}, VALUES[1]]


BAD_ROWS = {
    '{"input": "a.mp4", "stride": "x"}': "stride 'x': expected int",
    '{"input": "a.mp4", "stride": true}': "stride True: expected int",
    '{"input": "a.mp4", "backward": 3}': "backward 3: expected true or false",
    '{"input": "a.mp4", "colours": ["red"]}': "colours ['red']: expected str",
    '{"input": "a.mp4", "mask": [{}]}': "mask {}: expected str or Path",
    '{"input": "a.mp4", "strid": 2}': "strid: no option of a video; expected perhaps stride",
    '{"input": "a.mp4", "threads": 2}': "threads: no option of a video",
    "[1]": "no object",
    "{": "no JSON",
}


def test_bad_rows_are_told_by_line(tmp_path: Path) -> None:
    path = write(tmp_path / "jobs.jsonl", "\n".join([*BAD_ROWS, '{"input": "b.mp4"}']))
    *bad, good = read_job_file(path)
    assert isinstance(good, Row)
    for line, (row, reason) in enumerate(zip(bad, BAD_ROWS.values(), strict=True), 1):
        assert isinstance(row, BadRow)
        assert row.where == f"{path}:{line}"
        assert row.reason.startswith(reason)


BAD_FILES = {
    ("gone.csv", None): "No such file",
    ("jobs.txt", "input\na.mp4\n"): "the suffix .txt",
    ("jobs.csv", ""): "columns none",
    ("jobs.csv", "input,mask\n"): "no row",
    ("jobs.csv", "mask,start\na,b\n"): "columns mask, start",
    ("jobs.csv", "input,colour\na,b\n"): "column 'colour': no option of a video; expected perhaps colours",
    ("jobs.csv", "input,start,start\na,b,c\n"): "column start: it comes twice",
    ("jobs.csv", 'input\n"a.mp4\n'): "line 2 is no CSV",
    ("jobs.csv", "input\n\xe9\n".encode("latin-1")): "not a text in UTF-8",
}


@pytest.mark.parametrize(("name", "content"), BAD_FILES)
def test_bad_files(tmp_path: Path, name: str, content: str | bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as found:
        read_job_file(path)
    assert BAD_FILES[name, content] in str(found.value)
    assert str(path) in str(found.value)


def test_too_many_cells(tmp_path: Path) -> None:
    bad, good = read_job_file(write(tmp_path / "jobs.csv", "input,mask\na,b,c\nd\n"))
    assert bad.where.endswith("jobs.csv:2")
    assert "3 cells; expected 2" in bad.reason
    assert good.values == {"input": "d"}
