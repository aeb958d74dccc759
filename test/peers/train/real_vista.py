"""Does the real train.py of Vista accept what vista-train prints?

    VISTA_DIR=path/to/Vista python3 real_vista.py COMMANDS.json

Runs train.py up to the moment it would make the model, in a process of its own for each command: parsing of the command
line, naming of the run, reading and merging of the configs. The packages it imports for later are replaced by empty ones,
where they are not installed; OmegaConf, and Lightning's Trainer for its parameters, are not. COMMANDS.json is a list of
{"name", "args"}, the words after `train.py`. Prints a line of JSON a command; ends with 1 if one was refused.

Not part of the test run: it needs a checkout of Vista, whose code is not ours to ship.
"""
import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import types


class Reached(Exception):
    """train.py has got as far as its model."""


class Stub(types.ModuleType):
    """A module that has everything asked of it."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Stubs:
    """Finds a stub for each package of Vista's requirements that is not installed."""

    NAMES = {"imageio", "torch", "torchvision", "PIL", "einops", "matplotlib", "natsort", "safetensors", "numpy"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.NAMES:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return Stub(spec.name)

    def exec_module(self, module):
        pass


def trainer_class(vista):
    """pytorch_lightning's Trainer, by its signature: from the source of an installed 2.0.1, without its imports."""
    import ast

    spec = importlib.util.find_spec("pytorch_lightning")
    path = os.path.join(os.path.dirname(spec.origin), "trainer", "trainer.py")
    for node in ast.walk(ast.parse(open(path).read())):
        if isinstance(node, ast.ClassDef) and node.name == "Trainer":
            init = next(f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__")
            init.decorator_list, init.body = [], [ast.Pass()]
            for argument in init.args.args + init.args.kwonlyargs:
                argument.annotation = None
            init.returns = None
            cls = ast.ClassDef("Trainer", [], [], [init], [])
            scope = {}
            exec(compile(ast.fix_missing_locations(ast.Module([cls], [])), path, "exec"), scope)
            return scope["Trainer"]
    raise SystemExit(f"no Trainer in {path}")


def run_one(vista, args):
    """Runs train.py as __main__ with these arguments and prints what it had decided when it made the model."""
    trainer = trainer_class(vista)
    seen = {}

    def stub(name, **members):
        module = Stub(name)
        module.__dict__.update(members, __path__=[])
        sys.modules[name] = module
        return module

    stub("pytorch_lightning", __version__="2.0.1", seed_everything=lambda *a, **k: None)
    stub("pytorch_lightning.callbacks", Callback=object)
    stub("pytorch_lightning.trainer", Trainer=trainer)
    stub("pytorch_lightning.utilities", rank_zero_only=lambda f: f)
    torch = stub("torch", __version__="2.0.1")
    flags = types.SimpleNamespace(allow_tf32=False)
    torch.backends = types.SimpleNamespace(cuda=types.SimpleNamespace(matmul=flags), cudnn=flags)
    stub("torchvision"), stub("safetensors"), stub("safetensors.torch")
    stub("natsort", natsorted=sorted)

    def instantiate(config):
        frame = sys._getframe(1)
        values = frame.f_globals
        seen["logdir"] = values["logdir"]
        seen["finetune"] = values["opt"].finetune
        seen["resume_from_checkpoint"] = values["opt"].resume_from_checkpoint
        seen["unknown"] = values["unknown"]
        seen["trainer"] = {
            key: values["trainer_config"].get(key) for key in ("num_nodes", "devices", "strategy", "precision")
        }
        seen["subsets"] = list(values["config"].data.params.subsets)
        seen["num_workers"] = values["config"].data.params.num_workers
        raise Reached

    vwm = stub("vwm")
    vwm.util = stub("vwm.util", instantiate_from_config=instantiate, isheatmap=None)
    sys.meta_path.append(Stubs())
    os.chdir(vista)
    sys.path.insert(0, vista)
    sys.argv = ["train.py", *args]
    import runpy

    try:
        runpy.run_path("train.py", run_name="__main__")
    except Reached:
        pass
    except BaseException as error:  # after Reached, train.py's own handlers fail on names that are not there yet
        if not seen:
            raise error
    print("RESULT" + json.dumps(seen))


def main():
    vista = os.path.abspath(os.environ["VISTA_DIR"])
    if sys.argv[1] == "--one":
        run_one(vista, json.loads(sys.argv[2]))
        return
    refused = 0
    for command in json.load(open(sys.argv[1])):
        done = subprocess.run(
            [sys.executable, os.path.abspath(__file__), "--one", json.dumps(command["args"])],
            capture_output=True,
            text=True,
        )
        result = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
        if done.returncode != 0 or not result:
            refused += 1
            print(json.dumps({"name": command["name"], "error": done.stderr.strip().splitlines()[-1:]}))
        else:
            print(json.dumps({"name": command["name"], **json.loads(result[0][len("RESULT"):])}))
    sys.exit(1 if refused else 0)


main()
