"""Sequential, ModuleList and ModuleDict as the row, the list and the dict that they are."""

from collections import OrderedDict

from tinygrad_lab import nn


def test_sequential_as_a_row():
    a, b, c = nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1)
    net = nn.Sequential(a, b)
    assert net.append(c) is net and len(net) == 3 and net[-1] is c and list(net) == [a, b, c]
    assert type(net[:2]) is nn.Sequential and list(net[:2]) == [a, b] and list(net[1:]._modules) == ["1", "2"]
    net.insert(1, nn.Identity())
    assert [type(module).__name__ for module in net] == ["Linear", "Identity", "ReLU", "Linear"]
    del net[1]
    assert list(net) == [a, b, c] and list(net._modules) == ["0", "1", "2"]
    net[1] = nn.Tanh()
    assert type(net[1]) is nn.Tanh and net.pop(1) is not b and list(net) == [a, c]
    assert list(nn.Sequential(a) + nn.Sequential(c)) == [a, c]
    del net[:]
    assert len(net) == 0 and repr(net) == "Sequential()" and net("through") == "through"
    assert nn.Sequential(OrderedDict(one=a)).one is a


def test_module_list_and_dict():
    a, b = nn.Linear(1, 1), nn.ReLU()
    rows = nn.ModuleList([a])
    rows += [b, b]
    assert len(rows) == 3 and rows[1:][0] is b and list((rows + nn.ModuleList([a]))[-1:]) == [a]
    assert len(list(nn.ModuleList(nn.Linear(1, 1) for _ in range(3)).parameters())) == 6
    table = nn.ModuleDict({"a": a})
    table.update([("b", b)])
    table["c"] = nn.Tanh()
    assert list(table) == list(table.keys()) == ["a", "b", "c"] and "a" in table and len(table) == 3
    assert table.pop("c") is not None and dict(table.items()) == {"a": a, "b": b} and list(table.values()) == [a, b]
    assert nn.ModuleDict(table)["a"] is a
    table.clear()
    assert not len(table) and not hasattr(table, "a")
