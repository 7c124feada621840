# SPDX-License-Identifier: BSD-3-Clause
"""Figures as a reader sees them."""


def shown(value):
    """Three significant digits."""
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def unit_text(unit):
    """The unit behind a figure; a ratio needs none."""
    return {"us": "µs", "ratio": "", "share": "", "times": ""}.get(unit, unit)
