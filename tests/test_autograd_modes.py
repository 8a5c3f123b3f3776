"""Gradient modes as decorators of generators: the mode holds inside, and the caller's mode between the yields."""

from __future__ import annotations

import pytest

import tinygrad_lab as lab

MODES = {
    "no_grad": lambda t: t.no_grad(),
    "no_grad without brackets": lambda t: t.no_grad,
    "enable_grad": lambda t: t.enable_grad(),
    "inference_mode": lambda t: t.inference_mode(),
    "set_grad_enabled": lambda t: t.set_grad_enabled(False),
}


def drive(torch, decorate, outer):
    """What a decorated generator and its caller see, step by step, while it is sent to, thrown into and closed."""
    seen = []

    def note(who):
        seen.append((who, torch.is_grad_enabled()))

    def generator(first):
        note("start")
        try:
            got = yield first
            note(f"sent {got}")
            try:
                yield 2
            except KeyError:
                note("caught")
            yield from (3, 4)
        finally:
            note("closed")
        note("end")
        return "result"

    decorated = decorate(generator)
    before = torch.is_grad_enabled()
    with torch.set_grad_enabled(outer):
        running = decorated(1)
        note("made")
        assert next(running) == 1
        note("after next")
        assert running.send("x") == 2
        note("after send")
        assert running.throw(KeyError("k")) == 3
        note("after throw")
        running.close()
        note("after close")
        running = decorated(1)
        next(running)
        with pytest.raises(ZeroDivisionError):
            running.throw(ZeroDivisionError())
        note("after an error")
        running = decorated(1)
        with pytest.raises(StopIteration) as stopped:
            while True:
                next(running)
        seen.append(stopped.value.value)
        note("exhausted")
        never_started = decorated(1)
        never_started.close()
    seen.append([*decorated(1)])
    assert torch.is_grad_enabled() == before
    return seen


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_a_decorated_generator_is_pytorchs(mode, outer):
    torch = pytest.importorskip("torch")
    outcomes = [drive(library, MODES[mode](library), outer) for library in (lab, torch)]
    assert outcomes[0] == outcomes[1]


def test_the_mode_holds_inside_only():
    x = lab.ones(1, requires_grad=True)

    @lab.no_grad()
    def batches():
        yield (x * 2).requires_grad
        yield (x * 2).requires_grad

    for inside in batches():
        assert inside is False and (x * 2).requires_grad
    assert batches.__name__ == "batches"


def test_two_generators_interleave():
    def modes():
        for _ in range(3):
            yield lab.is_grad_enabled()

    off, on = lab.no_grad()(modes), lab.enable_grad()(modes)
    with lab.no_grad():
        assert list(zip(off(), on(), strict=True)) == [(False, True)] * 3
    assert list(zip(on(), off(), strict=True)) == [(True, False)] * 3


def test_async_generators_are_refused():
    async def steps():
        yield 1

    with pytest.raises(TypeError, match="no_grad cannot decorate the async generator steps"):
        lab.no_grad()(steps)
