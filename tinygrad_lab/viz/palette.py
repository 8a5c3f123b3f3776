"""The colours of all drawings, light and dark.

What this file lets you do: look up a role's colour in `LIGHT` or `DARK`, colour a heat map's level with `heat`, and
get the rules that make a drawing follow the reader's theme with `dark_rules`.
Blue and orange, magenta and grey keep apart for the three common colour-vision deficiencies (Okabe and Ito 2008).
"""

from __future__ import annotations

__all__ = ["DARK", "LEVELS", "LIGHT", "dark_rules", "heat"]

# Roles: "<kind>" is a card's ground, "<kind>-line" its outline, "<kind>-head" the ground of its header, on which
# text is "on-head".
LIGHT = {
    "page": "#ffffff",
    "ink": "#1b1f24",
    "muted": "#525b65",
    "edge": "#525d67",
    "cluster": "#f3f8fc",
    "cluster-inner": "#e6f0f7",  # every second one of frames in frames
    "cluster-line": "#6f8193",
    "on-head": "#ffffff",
    "parameter": "#dceef9",
    "parameter-line": "#0072b2",
    "data": "#fff1cf",
    "data-line": "#9a6a00",
    "op": "#f3f4f6",
    "op-line": "#525d67",
    "op-head": "#525d67",
    "loss": "#f7dbeb",
    "loss-line": "#a8457f",
    "loss-head": "#a8457f",
    "bad": "#ffe3d1",
    "bad-line": "#b34700",
    "bad-head": "#b34700",
    "map-line": "#6f7a85",
}

DARK = {
    "page": "#12161b",
    "ink": "#eef1f4",
    "muted": "#b4bec8",
    "edge": "#9aa7b3",
    "cluster": "#182029",
    "cluster-inner": "#202a35",
    "cluster-line": "#74889b",
    "on-head": "#ffffff",
    "parameter": "#0e3350",
    "parameter-line": "#4aa8e0",
    "data": "#3b2f0c",
    "data-line": "#c99a2e",
    "op": "#262d35",
    "op-line": "#8e9ba8",
    "op-head": "#4b5661",
    "loss": "#47163b",
    "loss-line": "#e884c0",
    "loss-head": "#a3337a",
    "bad": "#4a2009",
    "bad-line": "#ff8c4d",
    "bad-head": "#b34700",
    "map-line": "#8e9ba8",
}

LEVELS = 8  # steps of a heat map on either side of 0
POSITIVE, ZERO, NEGATIVE = (0, 114, 178), (255, 255, 255), (213, 94, 0)
NOT_FINITE = "#ffe3d1"  # ground of a heat map's cell that is NaN or infinite, under its hatching
HATCH = "#b34700"


def heat(level: int) -> str:
    """The colour of a level from -LEVELS (orange) over 0 (white) to LEVELS (blue), the same in both themes.

    >>> heat(8), heat(0), heat(-8)
    ('#0072b2', '#ffffff', '#d55e00')
    """
    end = POSITIVE if level > 0 else NEGATIVE
    part = abs(level) / LEVELS
    return "#" + "".join(f"{round(zero + (one - zero) * part):02x}" for zero, one in zip(ZERO, end, strict=True))


def dark_rules(scope: str = ".tgl") -> str:
    """Style rules for everything painted by role below `scope`: class "f-ROLE" fills, "s-ROLE" strokes."""
    fills = "".join(f"{scope} .f-{role}{{fill:{color}}}" for role, color in DARK.items() if color != LIGHT[role])
    strokes = "".join(
        f"{scope} .s-{role}{{stroke:{color}}}"
        for role, color in DARK.items()
        if color != LIGHT[role] and (role.endswith("-line") or role == "edge")
    )
    return fills + strokes
