"""Loads pairs of torch files ([[original, rewritten], …] on stdin) and prints where their objects differ, as a JSON list.

Objects are equal when their types, what they hold and the way they share objects are: two places that are one object in the
original are one in the other file, and tensors that are views of one storage there are views of one storage here.
"""

import json
import math
import os
import sys

os.environ["DS_ACCELERATOR"] = "cpu"
sys.setrecursionlimit(20000)
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "fixtures", "make"))

import numpy
import torch

SIMPLE = (str, bytes, int, float, complex, bool, type(None))


class Difference(Exception):
    pass


class Comparison:
    def __init__(self):
        self.seen = {}
        self.back = {}
        self.storages = {}
        self.storages_back = {}
        self.keep = []

    def check(self, condition, where, what):
        if not condition:
            raise Difference(f"{where}: {what}")

    def same(self, a, b, where):
        self.check(type(a) is type(b), where, f"{type(a)} and {type(b)}")
        if isinstance(a, SIMPLE):
            self.check(a == b or (a != a and b != b), where, f"{a!r} and {b!r}")
            if isinstance(a, float):
                self.check(math.copysign(1, a) == math.copysign(1, b), where, "signs of zero")
            return
        if isinstance(a, type) or callable(a) and hasattr(a, "__qualname__"):
            return self.check(a is b, where, f"{a} and {b}")
        if id(a) in self.seen or id(b) in self.back:
            both = self.seen.get(id(a)) == id(b) and self.back.get(id(b)) == id(a)
            # Python may or may not keep one empty tuple, torch one dtype.
            return self.check(both or a == () or isinstance(a, torch.dtype), where, "shared differently")
        self.seen[id(a)] = id(b)
        self.back[id(b)] = id(a)
        self.keep += [a, b]
        if isinstance(a, torch.Tensor):
            return self.tensors(a, b, where)
        if isinstance(a, numpy.ndarray) and a.dtype != object:
            return self.check(a.dtype == b.dtype and a.tobytes() == b.tobytes(), where, "arrays")
        if isinstance(a, numpy.ndarray):
            return self.same(a.tolist(), b.tolist(), where)
        if isinstance(a, numpy.random.Generator):
            return self.same(a.bit_generator.state, b.bit_generator.state, where)
        if isinstance(a, (list, tuple)):
            self.check(len(a) == len(b), where, "lengths")
            for i, (x, y) in enumerate(zip(a, b)):
                self.same(x, y, f"{where}[{i}]")
        elif isinstance(a, dict):
            self.check(len(a) == len(b), where, "sizes")
            for (k, x), (m, y) in zip(a.items(), b.items()):
                self.same(k, m, f"{where} key {k!r}")
                self.same(x, y, f"{where}[{k!r}]")
        elif isinstance(a, (set, frozenset)):
            self.check(a == b, where, "sets")
        attributes = getattr(a, "__dict__", None)
        if attributes is not None:
            self.same(attributes, b.__dict__, f"{where}.__dict__")
        elif hasattr(a, "__slots__") and len(a.__slots__) > 0:
            for slot in a.__slots__:
                self.same(getattr(a, slot), getattr(b, slot), f"{where}.{slot}")
        elif not isinstance(a, (list, tuple, dict, set, frozenset)):
            self.check(repr(a) == repr(b), where, f"{a!r} and {b!r}")

    def tensors(self, a, b, where):
        for what in ["dtype", "shape", "requires_grad", "device"]:
            self.check(getattr(a, what) == getattr(b, what), where, what)
        if a.layout != torch.strided:
            self.check(a.layout == b.layout and torch.equal(a.to_dense(), b.to_dense()), where, "sparse tensors")
            return
        self.check(a.stride() == b.stride() and a.storage_offset() == b.storage_offset(), where, "views")
        x, y = a.untyped_storage(), b.untyped_storage()
        self.keep += [x, y]
        self.check(x.nbytes() == y.nbytes(), where, "storage sizes")
        if x.nbytes() and a.device.type != "meta":
            known = (self.storages.get(x.data_ptr()), self.storages_back.get(y.data_ptr()))
            self.check(known in [(None, None), (y.data_ptr(), x.data_ptr())], where, "storages shared differently")
            self.storages[x.data_ptr()] = y.data_ptr()
            self.storages_back[y.data_ptr()] = x.data_ptr()
            raw = [torch.tensor([], dtype=torch.uint8).set_(s) for s in (x, y)]
            self.check(torch.equal(*raw), where, "bytes")
        self.same(dict(a.__dict__), dict(b.__dict__), f"{where}.__dict__")


problems = []
for original, rewritten in json.load(sys.stdin):
    try:
        a = torch.load(original, weights_only=False, map_location="cpu")
    except Exception as error:
        # Some fixtures name classes that are not in this environment: then the other must fail in the same way.
        try:
            torch.load(rewritten, weights_only=False, map_location="cpu")
            problems.append(f"{rewritten}: loads, {original} does not: {error}")
        except Exception as other:
            if str(other).replace(rewritten, original) != str(error):
                problems.append(f"{rewritten}: {other}, {original}: {error}")
        continue
    try:
        Comparison().same(a, torch.load(rewritten, weights_only=False, map_location="cpu"), "")
    except Exception as error:
        problems.append(f"{original}: {type(error).__name__}: {error}")
print()
print(json.dumps(problems))
