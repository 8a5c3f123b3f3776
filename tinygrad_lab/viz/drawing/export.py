"""Files of drawings: which suffix is which form, and Graphviz's program where a form needs it, with a timeout.

What this file lets you do: `run_dot`, `to_image` and `as_page` (SVG in one HTML file with pan and zoom). It must
not know pictures.
"""

from __future__ import annotations

import base64
import hashlib
import html
import shutil
import subprocess

__all__ = ["DotMissing", "DotTimeout", "as_fragment", "as_page", "run_dot", "to_image"]

_INSTALL = (
    "Debian and Ubuntu: sudo apt install graphviz; macOS: brew install graphviz; conda: conda install -c conda-forge "
    "graphviz; Windows: choco install graphviz"
)


class DotMissing(RuntimeError):
    """Graphviz's program `dot` is not on the PATH."""


class DotTimeout(RuntimeError):
    """Graphviz took longer than it was given."""


def run_dot(text: str, form: str, timeout: float) -> bytes:
    """What `dot -Tform` makes of DOT text. DotMissing, DotTimeout, or RuntimeError with what it said."""
    program = shutil.which("dot")
    if program is None:
        raise DotMissing(f"Graphviz's program `dot` is not on the PATH. Install it ({_INSTALL})")
    try:
        done = subprocess.run([program, f"-T{form}"], input=text.encode(), capture_output=True, timeout=timeout)
    except subprocess.TimeoutExpired:  # the process has been killed
        raise DotTimeout(
            f"Graphviz did not finish in {timeout:g} seconds: give a longer timeout=, fold with depth= or max_cards=, "
            f'or use engine="builtin"'
        ) from None
    if done.returncode:
        raise RuntimeError(f"Graphviz failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def to_image(dot: str, svg: str, form: str, timeout: float, *, prefer_dot: bool) -> bytes:
    """PNG or PDF. RuntimeError, with what to install, if no program for it is there.

    PNG is made from `svg` by the package resvg_py, so that it looks like the SVG; without that, or with `prefer_dot`,
    by Graphviz from `dot`, as PDF always is.
    """
    if form == "png" and not prefer_dot and (image := _resvg(svg)):
        return image
    try:
        return run_dot(dot, form, timeout)
    except (DotMissing, DotTimeout) as error:
        if form == "png" and prefer_dot and (image := _resvg(svg)):
            return image
        if isinstance(error, DotTimeout):
            raise
    other = " or, for PNG, the package resvg_py (pip install resvg_py)" if form == "png" else ""
    raise RuntimeError(
        f"writing {form.upper()} needs Graphviz's program `dot`, which is not on the PATH ({_INSTALL}){other}. "
        f"SVG, HTML, text, JSON and DOT text need nothing: save('x.svg')"
    )


def _resvg(svg: str) -> bytes | None:
    """The drawing as PNG with two pixels for one, or None without the package."""
    try:
        import resvg_py
    except ImportError:
        return None
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=2))


_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; font: 15px/1.4 system-ui, sans-serif; background: #fff; color: #1b1f23;
  display: flex; flex-direction: column; height: 100vh; }
header { display: flex; gap: .5rem; align-items: center; padding: .4rem .8rem; flex-wrap: wrap; }
h1 { font-size: 1rem; margin: 0 auto 0 0; overflow-wrap: anywhere; }
button { font: inherit; padding: .1rem .6rem; }
#stage { flex: 1; overflow: hidden; touch-action: none; cursor: grab; border-top: 1px solid #8886; }
#stage:active { cursor: grabbing; }
#stage > svg { transform-origin: 0 0; display: block; max-width: none; }
details { padding: .4rem .8rem; max-height: 40vh; overflow: auto; border-top: 1px solid #8886; }
pre { margin: 0; }
@media (prefers-color-scheme: dark) { body { background: #12161b; color: #e6e9ec; } }
"""

_SCRIPT = """
const stage = document.getElementById('stage'), svg = stage.querySelector('svg');
const size = svg.getBoundingClientRect();
let scale = 1, x = 0, y = 0, held = null;
const show = () => { svg.style.transform = `translate(${x}px,${y}px) scale(${scale})`; };
const zoom = (by, cx, cy) => {
  const next = Math.min(20, Math.max(0.02, scale * by));
  x = cx - (cx - x) * next / scale; y = cy - (cy - y) * next / scale; scale = next; show();
};
const READABLE = 0.7;
const fit = least => {
  scale = Math.max(least, Math.min(2, stage.clientWidth / size.width, stage.clientHeight / size.height)) || 1;
  x = Math.max(0, (stage.clientWidth - size.width * scale) / 2); y = 0; show();
};
const middle = by => zoom(by, stage.clientWidth / 2, stage.clientHeight / 2);
stage.addEventListener('wheel', e => {
  e.preventDefault();
  const box = stage.getBoundingClientRect();
  zoom(Math.exp(-e.deltaY / 500), e.clientX - box.left, e.clientY - box.top);
}, { passive: false });
stage.addEventListener('pointerdown', e => {
  held = [e.clientX - x, e.clientY - y];
  stage.setPointerCapture(e.pointerId);
});
stage.addEventListener('pointermove', e => {
  if (held) { x = e.clientX - held[0]; y = e.clientY - held[1]; show(); }
});
stage.addEventListener('pointerup', () => { held = null; });
stage.addEventListener('pointercancel', () => { held = null; });
stage.addEventListener('keydown', e => {
  const move = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[e.key];
  if (move) { x += move[0]; y += move[1]; show(); e.preventDefault(); }
  else if (e.key === '+' || e.key === '=') middle(1.25);
  else if (e.key === '-') middle(0.8);
  else if (e.key === '0') fit(0);
});
document.getElementById('in').onclick = () => middle(1.25);
document.getElementById('out').onclick = () => middle(0.8);
document.getElementById('fit').onclick = () => fit(0);
window.addEventListener('resize', () => fit(READABLE));
fit(READABLE);
"""


def as_fragment(svg: str, text: str) -> str:
    """For a notebook's cell: the drawing, which scrolls where it is wide, and the text that a sanitizer leaves over."""
    return (
        f'<div style="overflow-x:auto">{svg}</div>'
        f"<details><summary>as text</summary><pre>{html.escape(text)}</pre></details>"
    )


def as_page(svg: str, text: str, title: str) -> str:
    """One HTML file without outside parts: the drawing with pan and zoom, and its text form for who cannot see it.

    Its content security policy lets nothing run but the script that is written here.
    """
    allowed = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'; img-src data:"
    name = html.escape(title)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f'<header><h1>{name}</h1><button id="out" aria-label="Zoom out">−</button>'
        f'<button id="in" aria-label="Zoom in">+</button><button id="fit">Fit</button></header>\n'
        f'<div id="stage" tabindex="0" role="group" aria-label="The graph: arrows move, plus and minus zoom, 0 fits">'
        f"\n{svg}\n</div>\n"
        f"<details><summary>As text</summary><pre>{html.escape(text)}</pre></details>\n"
        f"<script>{_SCRIPT}</script>\n</body></html>\n"
    )
