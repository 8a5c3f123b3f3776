"""What a diagnosis says to a person, in English and Chinese, from one catalogue (`sayings.py`).

What this file lets you do: turn a `Diagnosis` into a report of at most 15 lines (`explain`).
"""

from __future__ import annotations

import re
from typing import Any

from tinygrad_lab.verify.sayings import FRAME, SAYINGS, ZH_FACTS, ZH_NAMES
from tinygrad_lab.verify.search import Cause

__all__ = ["explain", "explain_steps", "name_in", "saying"]

LINES = 15
_FACTOR = re.compile(r"^(data term |penalty |use )?times (.+)$")
_SHARE = re.compile(r"^(-)?1/\(?(.+?)\)?$")


def _language(language: str) -> str:
    if language not in ("en", "zh"):
        raise ValueError(f"explain: language must be 'en' or 'zh', got {language!r}")
    return language


def name_in(name: str, language: str) -> str:
    """A mistake's name in a language: the stable English name, or its translation."""
    if language == "en":
        return name
    match = _FACTOR.match(name)
    if match and name not in ZH_NAMES:
        part, factor = match.groups()
        prefix = {"data term ": "数据项", "penalty ": "惩罚项", "use ": "其中一次使用"}.get(part or "", "")
        return f"{prefix}多乘了 {factor}"
    return ZH_NAMES.get(name, name)


def fact_in(text: str, language: str) -> str:
    """What an array is ("the gradient of W"), in a language; formulas and names stay as they are.

    >>> fact_in("the gradient of the loss, times 12", "zh")
    '损失的梯度,乘以 12'
    """
    for en, zh in ZH_FACTS.items() if language == "zh" else ():
        match = re.fullmatch(re.escape(en).replace(r"\{\}", "(.+)"), text)
        if match:
            said = zh.format(*(fact_in(part, language) for part in match.groups()))
            return re.sub("(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])", "", said)  # a space only beside Latin letters
    return text


def saying(name: str, language: str = "en", cross_entropy: bool = False) -> tuple[str, str]:
    """(what the mistake means, the line to try) for a mistake by name; empty texts for one that has none.

    cross_entropy   the loss is that of a softmax: what is said of the sign then speaks of p - y
    """
    from tinygrad_lab.verify.mistakes import catalogue

    own = catalogue[name].says.get(_language(language)) if name in catalogue else None
    if own is not None:
        return own
    match = _FACTOR.match(name)
    if name == "sign" and cross_entropy:
        name = "sign of p - y"
    entry = SAYINGS.get(name) or (SAYINGS.get(f"{match.group(1) or ''}times") if match else None)
    if entry is None:
        return "", ""
    what, line = entry[language]
    factor = match.group(2) if match else ""
    share = _SHARE.match(factor)  # dividing by 1/N is multiplying by N
    undo = FRAME[language]["undo by multiplying" if share else "undo by dividing"].format(
        factor="".join(share.groups("")) if share else factor
    )
    return what.replace("{factor}", factor), line.replace("{undo}", undo)


def _figures(cause: Cause) -> dict[str, Any]:
    shown = {}
    for key, value in cause.detail.items():
        shown[key] = f"{value:.6g}" if isinstance(value, float) else value
    return shown


def _cause_lines(cause: Cause, residual: float, language: str, number: str, cross_entropy: bool) -> list[str]:
    frame = FRAME[language]
    what, line = saying(cause.name, language, cross_entropy)
    layer = (
        ""
        if not cause.layer or re.fullmatch(r"t\d+(, t\d+)*", cause.layer) or cause.layer in cause.arrays
        else cause.layer
    )
    where = frame["layer"].format(layer=layer) if layer and set(layer.split(", ")) != set(cause.arrays) else ""
    head = f"{number}{name_in(cause.name, language)}{where} ({', '.join(cause.arrays)})"
    lines = [head + (frame["colon"] + what if what else "")]
    figures = _figures(cause)
    parts = [
        frame[key].format(value=figures[key])
        for key in ("factor", "lambda", "rate", "h", "formula", "loss", "form", "kept")
        if key in figures
    ]
    evidence = frame["evidence"].format(residual=f"{residual:.0e}" if residual else "0")
    lines.append("   " + frame["comma"].join([*parts, evidence]))
    if line:
        lines.append("   " + frame["try"].format(line=line))
    return lines


def _verdicts(diagnosis: Any, language: str) -> list[str]:
    frame = FRAME[language]
    right = [name for name, array in diagnosis.arrays.items() if array.verdict == "correct"]
    lines = [frame["right"].format(names=", ".join(right))] if right else []
    told = []
    for name in diagnosis.wrong:
        array = diagnosis.arrays[name]
        if array.verdict == "shape":
            told.append(frame["shape"].format(name=name, shape=array.shape, expected=array.expected))
        elif array.verdict == "non-finite" or array.error != array.error:  # NaN: the right gradient is not finite
            told.append(frame["nan"].format(name=name))
        else:
            where = f", {array.where}" if array.where else ""
            told.append(
                frame["wrong one"].format(
                    name=name, error=f"{array.error:.2g}", cosine=f"{array.cosine:.4f}", where=where
                )
            )
    if told:
        more = frame["more"].format(count=len(told) - 6) if len(told) > 6 else ""
        lines.append(frame["wrong"].format(list=frame["semicolon"].join(told[:6]) + more))
    return lines


def _worst(diagnosis: Any, language: str) -> list[str]:
    scored = [a for a in diagnosis.arrays.values() if a.worst is not None and a.error == a.error]
    if not scored:
        return []
    array = max(scored, key=lambda a: a.error)
    index, hand, true = array.worst
    at = f"{array.name}[{', '.join(map(str, index))}]" if index else array.name
    return [FRAME[language]["worst"].format(at=at, hand=f"{hand:.8g}", true=f"{true:.8g}")]


def _notes(diagnosis: Any, language: str) -> list[str]:
    frame = FRAME[language]
    lines = []
    for kind, detail in diagnosis.notes:
        shown = {
            k: f"{v:.6g}" if isinstance(v, float) else ", ".join(v) if isinstance(v, list) else v
            for k, v in detail.items()
        }
        if kind == "origin":
            line = detail.get("line")
            shown["line"] = frame["line"].format(file=line[0].rsplit("/", 1)[-1], line=line[1]) if line else ""
        lines.append(frame[f"note {kind}"].format(**shown))
    return lines


def explain(diagnosis: Any, language: str = "en") -> str:
    """The report: verdict per array, causes with their evidence and the line to try, the worst entry. At most 15 lines.

    language  "en" or "zh". ValueError for another one.
    """
    frame = FRAME[_language(language)]
    lines = [frame[f"verdict {diagnosis.verdict}"]]
    if diagnosis.verdict != "correct":
        lines += _verdicts(diagnosis, language)
    notes = _notes(diagnosis, language)
    causes: list[str] = []
    if diagnosis.verdict != "non-finite":
        for i, explanation in enumerate(diagnosis.explanations):
            if i == 0:
                residual = max(explanation.residual.values(), default=0.0)
                for n, cause in enumerate(explanation.causes, 1):
                    number = f"{n}. " if len(explanation.causes) > 1 else "-> "
                    causes += _cause_lines(cause, residual, language, number, diagnosis.cross_entropy)
            elif i < 3:
                names = [f"{name_in(c.name, language)} ({', '.join(c.arrays)})" for c in explanation.causes]
                causes.append(frame["or"].format(causes=frame["and"].join(names)))
    if diagnosis.partial and not diagnosis.explanations:
        names = [f"{name_in(c.name, language)} ({', '.join(c.arrays)})" for c in diagnosis.partial]
        causes.append(frame["partial"].format(causes=frame["and"].join(names), arrays=", ".join(diagnosis.covered)))
    worst = _worst(diagnosis, language) if diagnosis.verdict != "correct" else []
    room = LINES - len(lines) - len(notes) - len(worst)
    return "\n".join([*lines, *causes[:room], *worst, *notes][:LINES])


def explain_steps(departure: Any, language: str = "en") -> str:
    """The report of `check_steps`: the line that departs, what it should be, what was right before it, the likely
    cause."""
    frame = FRAME[_language(language)]
    if departure:
        return frame["steps correct"]
    if not departure.line:
        return frame["steps unknown"] + "\n" + explain(departure.diagnosis, language)
    lines = [frame["steps line"].format(line=departure.line, text=departure.text)]
    expected = fact_in(departure.expected, language)
    expected = frame["steps expected"].format(expected=expected) if expected else ""
    lines.append("   " + frame["steps variable"].format(variable=departure.variable) + expected)
    if departure.worst is not None:
        index, hand, true = departure.worst
        lines.append(
            "   "
            + frame["worst"].format(at=f"{departure.variable}{list(index)}", hand=f"{hand:.8g}", true=f"{true:.8g}")
        )
    for line, name, what in departure.matched[-4:]:
        lines.append("   " + frame["steps matched"].format(line=line, name=name, what=fact_in(what, language)))
    for cause in departure.diagnosis.causes[:2]:
        what, fix = saying(cause.name, language, departure.diagnosis.cross_entropy)
        lines.append(frame["steps cause"].format(cause=name_in(cause.name, language), what=what))
        lines.append("   " + frame["try"].format(line=fix))
    return "\n".join(lines)
