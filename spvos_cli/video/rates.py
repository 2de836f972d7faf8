"""Frames a second, as people write them."""

from __future__ import annotations

from fractions import Fraction

from spvos_cli.errors import InputError

SLOWEST, FASTEST = Fraction(1, 3600), 1000
BROADCAST = Fraction(1000, 1001)  # 29.97 means 30000/1001
NEAR = 0.005


def parse_rate(text: str, option: str) -> Fraction:
    """30, 29.97, 30000/1001; broadcast's rates are exact however they are rounded.

    Raises:
        InputError: it is no number, or none of a video.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not SLOWEST <= rate <= FASTEST:
        expected = f"frames a second, up to {FASTEST}, such as 30 or 29.97"
        raise InputError(f"{option} {text}", found="no rate", expected=expected, fix=option)
    exact = round(rate / BROADCAST) * BROADCAST
    return exact if rate.denominator > 1 and abs(rate - exact) < NEAR else rate
