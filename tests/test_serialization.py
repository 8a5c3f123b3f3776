"""Saving and loading: round trips to the bit, exchange with safetensors' readers, damage noticed, nothing half done."""

import json
import math
import os
import struct
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_lab import serialization
from tinygrad_lab.random import Generator
from tinygrad_lab.serialization import load, save
from tinygrad_lab.tensor import Tensor, wrap

pytest.importorskip("safetensors")

DTYPES = [np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_]

tensors = (
    st.sampled_from(DTYPES)
    .flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)))
    .map(wrap)
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
structures = st.recursive(
    scalars | tensors,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(scalars, inner, max_size=4)
    ),
    max_leaves=12,
)
fixtures_are_fine = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def bits(value: float) -> bytes:
    return struct.pack(">d", value)


def same(a, b) -> bool:
    """Equal in type, order and every bit (NaN payloads and signs of zeros included)."""
    if isinstance(a, Tensor):
        alike = isinstance(b, Tensor) and a.dtype == b.dtype and a.shape == b.shape
        return alike and a.array.tobytes() == b.array.tobytes()
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return bits(a) == bits(b)
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=True)
        return len(a) == len(b) and all(same(k, m) and same(v, w) for (k, v), (m, w) in pairs)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@given(structures)
@fixtures_are_fine
def test_any_structure_comes_back_to_the_bit(tmp_path, structure):
    path = tmp_path / "any.safetensors"
    save(structure, path)
    assert same(load(path), structure)
    assert os.listdir(tmp_path) == ["any.safetensors"]


def checkpoint() -> dict:
    rng = np.random.default_rng(0)
    return {
        "model": {"0.weight": wrap(rng.standard_normal((3, 4)).astype(np.float32)), "0.bias": wrap(np.zeros(3))},
        "optimizer": {
            "state": {0: {"step": 7, "exp_avg": wrap(np.ones((3, 4), np.float32))}, 1: {"step": 7}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "nesterov": False, "params": [0, 1]}],
        },
        "scheduler": {"best": math.inf, "last": -0.0, "bad": math.nan},
        "generator": Generator().manual_seed(5).get_state(),
        "epoch": 3,
        "name": 'sieben Ähren \u2028 "}',
    }


def test_a_whole_checkpoint(tmp_path):
    path = tmp_path / "run.ckpt"
    save(checkpoint(), path)
    back = load(path)
    assert same(back, checkpoint())
    expected = Generator().manual_seed(5).numpy.random(4)
    generator = Generator()
    generator.set_state(back["generator"])
    np.testing.assert_array_equal(generator.numpy.random(4), expected)
    back["model"]["0.weight"].array += 1  # loaded tensors are writable


def test_equal_contents_give_equal_files(tmp_path):
    save(checkpoint(), tmp_path / "a")
    save(checkpoint(), tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_safetensors_users_read_ours_and_we_theirs(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    rng = np.random.default_rng(0)
    state = {f"layer.{np.dtype(d).name}": wrap((rng.random((2, 3)) * 9).astype(d)) for d in DTYPES}
    state["z"], state["a"] = wrap(np.array(2.5)), wrap(np.ones((0, 3), np.float32))
    path = tmp_path / "model.safetensors"
    save(state, path)
    theirs = load_file(path)
    assert set(theirs) == set(state)
    for name, value in state.items():
        assert str(theirs[name].dtype) == f"torch.{value.dtype.name}"
        np.testing.assert_array_equal(theirs[name].numpy(), value.numpy())
    assert list(load(path)) == list(state)

    save_file({name: torch.from_numpy(value.numpy()) for name, value in state.items()}, tmp_path / "theirs")
    back = load(tmp_path / "theirs")
    assert set(back) == set(state)
    assert all(same(back[name], state[name]) for name in state)


def test_a_nested_checkpoint_is_readable_by_path(tmp_path):
    from safetensors.numpy import load_file

    save(checkpoint(), tmp_path / "c")
    assert set(load_file(tmp_path / "c")) == {
        "model.0.weight",
        "model.0.bias",
        "optimizer.state[0].exp_avg",
        "generator",
    }


def test_memory_layouts(tmp_path):
    base = np.arange(12.0).reshape(3, 4)
    shared = wrap(base)
    views = {
        "transposed": wrap(base.T),
        "strided": wrap(base[::2, ::-1]),
        "broadcast": wrap(np.broadcast_to(base[0], (5, 4))),
        "first": shared,
        "second": shared,
    }
    save(views, tmp_path / "v")
    back = load(tmp_path / "v")
    assert all(same(back[name], views[name]) for name in views)
    assert not np.shares_memory(back["first"].array, back["second"].array)


def test_colliding_names(tmp_path):
    clash = {
        "a": {"b": wrap(np.ones(1))},
        "a.b": wrap(np.zeros(1)),
        "__metadata__": wrap(np.ones(2)),
        "": wrap(np.ones(3)),
    }
    save(clash, tmp_path / "c")
    assert same(load(tmp_path / "c"), clash)


def test_one_tensor_and_ordered_dicts(tmp_path):
    save(wrap(np.ones(2)), tmp_path / "t")
    assert same(load(tmp_path / "t"), wrap(np.ones(2)))
    save(OrderedDict(b=1, a=2), tmp_path / "t")
    assert same(load(tmp_path / "t"), {"b": 1, "a": 2})


def test_a_parameter_comes_back_without_its_graph(tmp_path):
    weight = wrap(np.ones(2, np.float32)).requires_grad_()
    save({"w": weight, "y": weight * 2}, tmp_path / "p")
    back = load(tmp_path / "p")
    assert not back["w"].requires_grad
    assert back["y"].tolist() == [2.0, 2.0]


class Thing:
    def state_dict(self):
        return {}


@pytest.mark.parametrize(
    ("obj", "text"),
    [
        ({"optimizer": {"state": {0: {"foo": {1, 2}}}}}, r"optimizer\.state\[0\]\.foo: it is a builtins\.set"),
        ([1, (2, b"x")], r"\[1\]\[1\]: it is a builtins\.bytes"),
        (Thing(), r"the object: it is a .*Thing.*save its state_dict"),
        ({"lr": np.float64(0.1)}, r"lr: it is a numpy\.float64.*\.item\(\)"),
        ({"x": np.ones(2)}, r"x: it is a numpy\.ndarray.*from_numpy"),
        ({"x": {(1, 2): 3}}, r"x has a key of type tuple: \(1, 2\)"),
    ],
)
def test_what_cannot_be_saved_is_named_by_its_place(tmp_path, obj, text):
    with pytest.raises(TypeError, match=text):
        save(obj, tmp_path / "no")
    assert os.listdir(tmp_path) == []


def test_a_structure_that_contains_itself(tmp_path):
    loop: dict = {}
    loop["again"] = loop
    with pytest.raises(ValueError, match=r"again\.again.*contain itself"):
        save(loop, tmp_path / "no")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "good"
    save(checkpoint(), path)
    return path.read_bytes()


@given(data=st.data())
@fixtures_are_fine
def test_any_flipped_byte_is_noticed(tmp_path, written, data):
    at = data.draw(st.integers(0, len(written) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda value: value != written[at]))
    path = tmp_path / "damaged.bin"
    path.write_bytes(written[:at] + bytes([new]) + written[at + 1 :])
    with pytest.raises(RuntimeError, match=r"damaged\.bin: "):
        load(path)


@given(data=st.data())
@fixtures_are_fine
def test_any_truncation_or_extension_is_noticed(tmp_path, written, data):
    path = tmp_path / "damaged.bin"
    path.write_bytes(written[: data.draw(st.integers(0, len(written) - 1))])
    with pytest.raises(RuntimeError, match=r"damaged\.bin: "):
        load(path)
    path.write_bytes(written + data.draw(st.binary(min_size=1, max_size=9)))
    with pytest.raises(RuntimeError, match=r"damaged\.bin: "):
        load(path)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda b: struct.pack("<Q", len(b)) + b))
@fixtures_are_fine
def test_no_bytes_do_more_than_raise(tmp_path, content):
    path = tmp_path / "noise.bin"
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=r"noise\.bin: "):
        load(path)


json_values = st.recursive(
    scalars.filter(lambda v: not isinstance(v, float) or math.isfinite(v)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["tensor", "tuple", "dict", "float", "x"]), inner, min_size=1, max_size=2)
    ),
    max_leaves=8,
)


@given(json_values)
@fixtures_are_fine
def test_a_forged_structure_decodes_or_is_refused(tmp_path, structure):
    """Somebody who recomputes the checksum may write any JSON as the structure."""
    from safetensors.numpy import save as library_save

    note = json.dumps({"structure": structure, "sha256": "0" * 64}, separators=(",", ":"))
    content = library_save({"t": np.ones(2)}, {"tinygrad_lab": note})
    at = serialization._digest_position(content)
    digest = serialization.hashlib.sha256(content).hexdigest().encode()
    path = tmp_path / "forged.bin"
    path.write_bytes(content[:at] + digest + content[at + 64 :])
    try:
        load(path)
    except RuntimeError as error:
        assert "forged.bin: its metadata describes no structure" in str(error)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, r"'w' has dtype BF16"),
        ({"w": {"dtype": "F32", "shape": [5], "data_offsets": [0, 2]}}, "damaged safetensors file"),
        ({"w": {"dtype": "U8", "shape": [2], "data_offsets": [0, 99]}}, "damaged safetensors file"),
        ({"w": 3}, "no table of tensors"),
        (
            {"__metadata__": {"tinygrad_lab": "{}"}, "w": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}},
            "checksum",
        ),
    ],
)
def test_foreign_files_that_are_refused(tmp_path, header, text):
    head = json.dumps(header).encode()
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"\0\0")
    with pytest.raises(RuntimeError, match=f"foreign.safetensors: .*{text}"):
        load(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "c"
    save({"epoch": 1}, path)

    def full(*args):
        raise OSError(28, "No space left on device")

    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(serialization.os, step, full)
            with pytest.raises(OSError, match="No space"):
                save({"epoch": 2}, path)
        assert os.listdir(tmp_path) == ["c"]
        assert load(path) == {"epoch": 1}

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(serialization.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save({"epoch": 2}, path)
    assert os.listdir(tmp_path) == ["c"]


def test_replaces_and_follows_links(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    save({"epoch": 1}, target)
    link.symlink_to(target)
    save({"epoch": 2}, link)
    assert link.is_symlink()
    assert load(target) == load(str(link)) == {"epoch": 2}


def test_missing_places(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere does not exist"):
        save(1, tmp_path / "nowhere" / "c")
    with pytest.raises(FileNotFoundError, match="absent"):
        load(tmp_path / "absent")
