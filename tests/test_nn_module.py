"""Module: registration, walking, modes, conversions, state, hooks, copies, and the layer's name on an error."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_lab as lab
from tinygrad_lab import graph, nn
from tinygrad_lab.nn.whereabouts import layer_path, module_stack


class Block(nn.Module):
    def __init__(self, size=3):
        super().__init__()
        self.first = nn.Linear(size, size)
        self.second = nn.Linear(size, size, bias=False)
        self.register_buffer("count", lab.zeros(1))
        self.register_buffer("scratch", lab.ones(2), persistent=False)
        self.scale = nn.Parameter(lab.ones(size))

    def forward(self, x):
        return self.second(self.first(x) * self.scale)


def model():
    return nn.Sequential(OrderedDict(body=Block(), head=nn.Linear(3, 2)))


# Registration


def test_registered_values_are_attributes_and_members_in_order():
    block = Block()
    assert [name for name, _ in block.named_parameters()] == ["scale", "first.weight", "first.bias", "second.weight"]
    assert [name for name, _ in block.named_buffers()] == ["count", "scratch"]
    assert [name for name, _ in block.named_children()] == ["first", "second"]
    assert block.second.bias is None and "bias" in block.second._parameters
    assert block.get_parameter("first.weight") is block.first.weight
    assert block.get_buffer("count") is block.count
    assert block.get_submodule("") is block and block.get_submodule("first") is block.first


def test_a_name_belongs_to_one_kind_at_a_time():
    module = nn.Module()
    module.x = 1
    module.x = nn.Parameter(lab.ones(2))
    assert list(module._parameters) == ["x"]
    module.x = nn.Identity()
    assert not module._parameters and list(module._modules) == ["x"]
    module.x = None
    assert module.x is None and module._modules == {"x": None}
    assert list(module.children()) == [] and repr(module) == "Module(\n  (x): None\n)"
    del module.x
    assert not hasattr(module, "x") and not module._modules


def test_deleting_a_transient_buffer_forgets_that_it_was_transient():
    block = Block()
    del block.scratch
    block.register_buffer("scratch", lab.ones(1))
    assert "scratch" in block.state_dict()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("PMBN-")), max_size=12))
def test_attributes_and_members_stay_equal(steps):
    module = nn.Module()
    for name, action in steps:
        if action == "P":
            setattr(module, name, nn.Parameter(lab.ones(1)))
        elif action == "M":
            setattr(module, name, nn.Identity())
        elif action == "B" and not hasattr(module, name):
            module.register_buffer(name, lab.zeros(1))
        elif action == "N":
            setattr(module, name, None)
        elif action == "-" and hasattr(module, name):
            delattr(module, name)
        kinds = (module._parameters, module._buffers, module._modules)
        members = [(name, value) for kind in kinds for name, value in kind.items()]
        assert len({name for name, _ in members}) == len(members)
        assert all(module.__dict__[name] is value for name, value in members)
    again = copy.deepcopy(module)
    assert [list(getattr(again, kind)) for kind in ("_parameters", "_modules")] == [
        list(getattr(module, kind)) for kind in ("_parameters", "_modules")
    ]
    assert all(again.__dict__[name] is value for name, value in again._parameters.items())


def test_shared_modules_and_parameters_are_walked_once():
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    net.tied = shared.weight
    assert [name for name, _ in net.named_modules()] == ["", "0", "1"]
    assert [name for name, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1", "2"]
    assert len(list(net.parameters())) == 2
    assert [name for name, _ in net.named_parameters(remove_duplicate=False)] == [
        "tied", "0.weight", "0.bias", "2.weight", "2.bias",
    ]  # fmt: skip
    assert list(net.state_dict()) == ["tied", "0.weight", "0.bias", "2.weight", "2.bias"]
    assert [name for name, _ in net.named_parameters(prefix="m", recurse=False)] == ["m.tied"]


# Modes and conversions


def test_apply_train_and_requires_grad_reach_everything():
    net = model()
    seen = []
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["Linear", "Linear", "Block", "Linear", "Sequential"]
    assert net.eval() is net and not any(module.training for module in net.modules())
    assert net.train().body.first.training
    net.body.requires_grad_(False)
    assert [parameter.requires_grad for parameter in net.parameters()] == [False] * 4 + [True] * 2


def test_conversions_keep_identity_requires_grad_and_integer_buffers():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = net[0].weight
    weight.requires_grad_(False)
    net[0].bias.grad = lab.ones(2)
    assert net.double() is net
    assert net[0].weight is weight and weight.dtype == lab.float64 and not weight.requires_grad
    assert net[0].bias.grad.dtype == lab.float64
    assert net[1].running_mean.dtype == lab.float64 and net[1].num_batches_tracked.dtype == lab.int64
    assert net.to("cpu") is net and net.cpu() is net
    assert net.to(lab.zeros(1)).float().half()[0].weight.dtype == lab.float16
    assert net.to(device="cpu", dtype=lab.float32)[0].weight.dtype == lab.float32


def test_zero_grad():
    layer = nn.Linear(2, 1)
    layer(lab.ones(3, 2)).sum().backward()
    gradient = layer.weight.grad
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad is gradient and not gradient.array.any()
    layer.zero_grad()
    assert layer.weight.grad is None


# State


def test_state_dict_is_flat_ordered_detached_and_shares_memory():
    net = model()
    state = net.state_dict()
    assert list(state) == [
        "body.scale", "body.count", "body.first.weight", "body.first.bias", "body.second.weight",
        "head.weight", "head.bias",
    ]  # fmt: skip
    assert type(state["head.bias"]) is lab.Tensor and not state["head.bias"].requires_grad
    assert state["head.bias"].array is net.head.bias.array
    assert net.state_dict(keep_vars=True)["head.bias"] is net.head.bias
    kept = {}
    assert net.head.state_dict(destination=kept, prefix="x.") is kept and list(kept) == ["x.weight", "x.bias"]


def test_load_state_dict_copies_casts_and_keeps_identity():
    source, target = model().double(), model()
    weight = target.head.weight
    result = target.load_state_dict(source.state_dict())
    assert repr(result) == "<All keys matched successfully>" and result.missing_keys == []
    assert target.head.weight is weight and weight.dtype == lab.float32
    np.testing.assert_array_equal(weight.array, source.head.weight.array.astype(np.float32))
    target.load_state_dict({name: value.array for name, value in source.state_dict().items()})  # plain arrays will do


def test_a_state_dict_that_does_not_fit_is_listed_in_full_and_changes_nothing():
    net = model()
    before = {name: value.array.copy() for name, value in net.state_dict().items()}
    state = {name: lab.zeros(value.shape) for name, value in net.state_dict().items()}
    del state["body.scale"], state["head.bias"]
    state["head.weight"] = lab.zeros(5, 5)
    state["tail.weight"] = lab.zeros(1)
    with pytest.raises(RuntimeError) as raised:
        net.load_state_dict(state)
    assert str(raised.value) == (
        "Error(s) in loading state_dict for Sequential:\n"
        '\tMissing key(s) in state_dict: "body.scale", "head.bias". \n'
        '\tUnexpected key(s) in state_dict: "tail.weight". \n'
        "\tsize mismatch for head.weight: copying a param with shape (5, 5) from checkpoint, "
        "the shape in current model is (2, 3)."
    )
    with pytest.raises(RuntimeError, match="size mismatch"):  # also when names may differ
        net.load_state_dict(state, strict=False)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.array, before[name])
    del state["head.weight"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["body.scale", "head.weight", "head.bias"]
    assert result.unexpected_keys == ["tail.weight"] and not net.body.first.weight.array.any()


@pytest.mark.parametrize(
    "value", [3.0, None, np.array("text"), np.array([object()])], ids=["float", "none", "text", "object"]
)
def test_a_state_dict_of_something_else_names_the_entry(value):
    layer = nn.Linear(1, 1, bias=False)
    with pytest.raises(RuntimeError, match='While copying the parameter named "weight", expected torch'):
        layer.load_state_dict({"weight": value})


def test_loading_between_forward_and_backward_is_noticed():
    layer = nn.Linear(2, 2)
    x = lab.ones(1, 2).requires_grad_()
    y = layer(x).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="changed by an in-place"):
        y.backward()


def test_read_only_memory_is_refused_before_anything_is_loaded():
    layer = nn.Linear(2, 2)
    before = layer.weight.array.copy()
    layer.bias.array.flags.writeable = False
    with pytest.raises(RuntimeError, match="bias is in read-only memory"):
        layer.load_state_dict({"weight": lab.zeros(2, 2), "bias": lab.zeros(2)})
    np.testing.assert_array_equal(layer.weight.array, before)


# Copies


def test_deepcopy_is_independent_and_keeps_sharing():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    twin = copy.deepcopy(net)
    assert twin[1].weight is twin[0].weight is not net[0].weight
    assert isinstance(twin[0].weight, nn.Parameter) and twin[0].weight.requires_grad
    twin[0].weight.array[:] = 0
    assert net[0].weight.array.any()


def test_shallow_copy_shares_values_but_not_the_list_of_them():
    layer = nn.Linear(2, 2)
    twin = copy.copy(layer)
    assert twin.weight is layer.weight
    twin.weight = nn.Parameter(lab.zeros(2, 2))
    twin.register_forward_hook(lambda *args: None)
    assert layer.weight is layer._parameters["weight"] is not twin.weight and not layer._hooks


def test_pickle():
    net = pickle.loads(pickle.dumps(model()))
    assert repr(net) == repr(model()) and net.head.weight is net.head._parameters["weight"]
    assert isinstance(net.head.weight, nn.Parameter) and net.body._transient == {"scratch"}


# Parameters


def test_parameter():
    data = lab.ones(2)
    parameter = nn.Parameter(data)
    assert parameter.requires_grad and parameter.is_leaf and parameter.array is data.array and not data.requires_grad
    assert type(parameter * 2) is lab.Tensor and type(parameter.detach()) is lab.Tensor
    assert repr(parameter) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert repr(nn.Parameter(data, requires_grad=False)) == "Parameter containing:\ntensor([1., 1.])"
    assert type(copy.deepcopy(parameter)) is nn.Parameter
    assert nn.Parameter(parameter * 2).is_leaf and nn.Parameter().shape == (0,)


# Hooks and the stack of running modules


def test_hooks_run_around_forward_and_may_replace():
    layer = nn.Identity()
    calls = []
    before = layer.register_forward_pre_hook(lambda module, args: calls.append(("pre", module is layer, args)))
    after = layer.register_forward_hook(lambda module, args, output: calls.append(("post", args, output)))
    assert layer(1) == 1
    assert calls == [("pre", True, (1,)), ("post", (1,), 1)]
    before.remove()
    after.remove()
    after.remove()
    assert layer(2) == 2 and len(calls) == 2
    with layer.register_forward_pre_hook(lambda module, args: args[0] + 1):
        assert layer(1) == 2
        with layer.register_forward_hook(lambda module, args, output: (args, output * 10)):
            assert layer(1) == ((2,), 20)
    assert not layer._hooks


def test_hooks_with_keyword_arguments():
    class Double(nn.Module):
        def forward(self, x, factor=2):
            return x * factor

    layer = Double()
    seen = []
    with layer.register_forward_pre_hook(lambda module, args, kwargs: (args, {"factor": 3}), with_kwargs=True):
        layer.register_forward_hook(lambda module, args, kwargs, output: seen.append(kwargs), with_kwargs=True)
        assert layer(5, factor=7) == 15
    assert layer(5) == 10 and seen == [{"factor": 3}, {}]
    layer.register_forward_pre_hook(lambda module, args, kwargs: args, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"forward pre-hook must return None or a tuple \(args, kwargs\)"):
        layer(5)


def test_observers_see_which_layers_are_running():
    class Watcher(graph.Observer):
        def __init__(self):
            self.seen = []

        def forward(self, op, arguments, output, node):
            self.seen.append((op.name, layer_path(module_stack.get())))

    net = model()
    watcher = Watcher()
    graph.observers.append(watcher)
    try:
        net(lab.ones(1, 3))
        with pytest.raises(RuntimeError):
            net(lab.ones(1, 5))
    finally:
        graph.observers.remove(watcher)
    assert watcher.seen == [("linear", "body.first"), ("mul", "body"), ("linear", "body.second"), ("linear", "head")]
    assert module_stack.get() == ()
    net(lab.ones(1, 3))
    assert module_stack.get() == ()


# The layer's name on an error


def note(error):
    assert len(error.__notes__) == 1
    return error.__notes__[0]


def test_an_error_names_the_path_of_its_layer_once():
    net = nn.Sequential(model(), nn.ReLU())
    with pytest.raises(RuntimeError) as raised:
        net(lab.ones(4, 7))
    assert "(4, 7)" in str(raised.value) and "(3, 3)" in str(raised.value)
    assert note(raised.value) == "in layer '0.body.first' = Linear(in_features=3, out_features=3, bias=True)"
    with pytest.raises(RuntimeError) as raised:
        net[0].head(lab.ones(4, 7))
    assert note(raised.value) == "in layer Linear(in_features=3, out_features=2, bias=True)"


def test_an_error_in_a_module_with_children_and_in_an_unregistered_one():
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Identity()
            self.hidden = [nn.Linear(1, 1)]

        def forward(self, x):
            if x is None:
                raise KeyError("mine")
            return self.hidden[0](x)

    net = nn.Sequential(Broken())
    with pytest.raises(KeyError) as raised:
        net(None)
    assert note(raised.value) == "in layer '0' = Broken(...)"
    with pytest.raises(RuntimeError) as raised:
        net(lab.ones(1, 3))
    assert note(raised.value) == "in layer Linear(in_features=1, out_features=1, bias=True)"


def test_a_layer_that_cannot_be_printed_does_not_hide_the_error():
    class Unprintable(nn.Module):
        def extra_repr(self):
            return self.nothing

        def forward(self, x):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine") as raised:
        nn.Sequential(Unprintable())(1)
    assert note(raised.value) == "in layer Unprintable(...)" and raised.value.__context__ is None


def test_an_error_with_hooks_is_named_too():
    net = nn.Sequential(nn.Linear(1, 1))
    net[0].register_forward_hook(lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError) as raised:
        net(lab.ones(1, 1))
    assert note(raised.value) == "in layer '0' = Linear(in_features=1, out_features=1, bias=True)"


def test_functional_is_the_registry():
    import tinygrad_lab.nn.functional as F
    from tinygrad_lab.ops.declare import registry

    names = {name for name, declared in registry.items() if "functional" in declared.faces}
    assert names and all(getattr(F, name) is registry[name].function for name in names)
    assert not hasattr(F, "__path__")


def test_a_module_call_marks_the_nodes_that_it_made():
    """What drawings and tables group by: the numbers of a call's nodes, and the nesting of calls."""
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    x = lab.ones(2, 3, requires_grad=True)
    before = x * 2.0
    out = model(before)
    first, module, kind, inner = out.grad_fn.call
    assert module() is model and kind is nn.Sequential and before.grad_fn.number < first < out.grad_fn.number
    inner_first, relu, _, none = inner
    assert relu() is model[1] and first < inner_first < out.grad_fn.number and none is None
    assert nn.Identity()(before).grad_fn.call is None  # it made nothing

    class Pair(nn.Module):
        def forward(self, x):
            return {"double": x * 2.0, "others": [x + 1.0, "text"]}

    pair = Pair()
    made = pair(before)
    assert made["double"].grad_fn.call[1]() is pair and made["others"][0].grad_fn.call[1]() is pair


class Counting(nn.Module):
    """Has state beside its tensors."""

    def __init__(self, calls=0):
        super().__init__()
        self.calls, self.inner = calls, nn.Linear(2, 1)

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def test_extra_state_is_saved_and_loaded(tmp_path):
    net = nn.Sequential(Counting(7))
    state = net.state_dict()
    assert list(state) == ["0._extra_state", "0.inner.weight", "0.inner.bias"]
    lab.save({"model": state}, tmp_path / "net")
    target = nn.Sequential(Counting())
    target.load_state_dict(lab.load(tmp_path / "net")["model"])
    assert target[0].calls == 7 and lab.equal(target[0].inner.weight, net[0].inner.weight)
    del state["0._extra_state"]
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "0._extra_state"'):
        target.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "_extra_state"'):
        nn.Linear(2, 1).load_state_dict({**nn.Linear(2, 1).state_dict(), "_extra_state": 1})


def test_state_that_does_not_fit_leaves_the_extra_state_too():
    target = Counting(1)
    with pytest.raises(RuntimeError, match="size mismatch"):
        target.load_state_dict({**Counting(2).state_dict(), "inner.weight": lab.zeros(3)})
    assert target.calls == 1


def test_a_child_may_say_itself_what_its_state_is():
    class Renamed(nn.Linear):
        def state_dict(self, *args, **kwargs):
            state = super().state_dict(*args, **kwargs)
            state[kwargs.get("prefix", "") + "kernel"] = state.pop(kwargs.get("prefix", "") + "weight")
            return state

    class Halved(nn.Linear):
        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            del destination[prefix + "bias"]

    net = nn.Sequential(Renamed(2, 2), Halved(2, 2))
    assert list(net.state_dict()) == ["0.bias", "0.kernel", "1.weight"]
    assert list(net[0].state_dict()) == ["bias", "kernel"]


def test_a_loading_method_that_would_not_be_called_is_refused():
    class Older(nn.Linear):
        def _load_from_state_dict(self, state_dict, prefix, *rest):
            pass

    net = nn.Sequential(Older(1, 1))
    with pytest.raises(NotImplementedError, match="Older defines _load_from_state_dict, which is not called here"):
        net.load_state_dict(net.state_dict())


def test_running_statistics_without_a_count_of_batches_are_loaded():
    norm = nn.BatchNorm1d(2)
    norm(lab.randn(4, 2))
    state = norm.state_dict()
    del state["num_batches_tracked"]
    target = nn.BatchNorm1d(2)
    assert target.load_state_dict(state).missing_keys == []
    assert lab.equal(target.running_mean, norm.running_mean) and target.num_batches_tracked == 0


def test_wrappers_may_ask_the_getattr_of_their_base():
    class Wrapper(nn.Module):
        def __init__(self, module):
            super().__init__()
            self.module = module

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(super().__getattr__("module"), name)

    assert Wrapper(nn.Linear(2, 3)).out_features == 3


def test_a_parameter_takes_attributes_of_ones_own():
    parameter = nn.Parameter(lab.ones(2))
    parameter.no_decay = True
    assert parameter.no_decay


def test_attributes_of_a_parameter_are_pickled_with_it():
    layer = nn.Linear(2, 2)
    layer.weight.no_decay = True
    read = pickle.loads(pickle.dumps(layer))
    assert read.weight.no_decay and not hasattr(read.bias, "no_decay")


def test_a_state_dict_of_older_programs_hands_its_arguments_on_by_position():
    class Older(nn.Linear):
        def state_dict(self, destination=None, prefix="", keep_vars=False):
            return super().state_dict(destination, prefix, keep_vars)

    assert list(nn.Sequential(Older(1, 1)).state_dict()) == ["0.weight", "0.bias"]
