"""Prepared runs on a machine with an NVIDIA card that is there for minutes only: `right`, `fast`, `train`.

From the repository's root, nothing installed: `PYTHONPATH=$PWD python -m tools.card.right`. Results go to the
folder $OUT (or ./card). `--rehearse` does the same in small on a CPU.
"""
