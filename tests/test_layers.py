"""The order of the house (docs/map.md): who may import whom, what is loaded when, and what the core must not know."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent / "src" / "rightfit"

LAYERS = ("errors units records", "registry cache trace need_file", "task data metrics", "models resources", "advice",
          "package", "store engines", "tuning", "question", "decide", "delivery", "report",
          "choose advise testing estimators", "replay", "cli")
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names.split()}
RANK |= dict.fromkeys(("__init__", "__main__", "progress"), RANK["cli"])

HEAVY = frozenset((
    "fastapi", "starlette", "uvicorn", "prometheus_client", "orjson",
    "pandas", "scipy", "sklearn", "imblearn", "cleanlab", "lightgbm", "xgboost", "catboost", "optuna", "onnx",
    "onnxruntime", "skl2onnx", "onnxmltools", "torch", "safetensors", "polars", "pyarrow", "openpyxl", "sqlalchemy",
    "psycopg", "matplotlib", "PIL", "torchvision", "timm", "transformers", "tokenizers", "peft", "torch_pruning",
    "tensorflow", "keras", "tf2onnx", "jinja2", "rich", "typer", "psutil", "joblib", "threadpoolctl",
    "cryptography", "river"))
# The command line is made of the one, the scikit-learn face of the other; both are loaded when they are asked for.
ALLOWED = {"cli": frozenset(("typer",)), "estimators": frozenset(("sklearn",))}
NUMPY_FREE = frozenset(("errors", "units", "records", "registry", "cli", "__init__", "__main__"))

MODALITIES = frozenset(("tabular", "image", "text", "sequence"))
CORE = frozenset((
    "choose", "question", "advise", "decide", "tuning", "store", "engines", "report", "metrics", "delivery"))
# In these, a literal is a word of HTML or of SVG, or the kind of a column, never a modality.
OTHER_MEANINGS = {"report": frozenset(("text",)), "metrics": frozenset(("text",))}

PLUGIN_FOLDERS = ("data.checks", "data.treatments", "data.modalities", "data.readers", "data.column_kinds",
                  "tuning.compress", "models", "package.runtimes",
                  "package.cores", "report.messages", "delivery.export", "delivery.monitor.drift",
                  "data.views", "cli")


@dataclass(frozen=True)
class Import:
    """One imported module: `top` when it happens as the file is loaded, `typing` when only for annotations."""

    module: str
    line: int
    top: bool
    typing: bool


def module_name(path: Path) -> str:
    parts = ("rightfit", *path.relative_to(HOME).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


FILES = {module_name(path): path for path in sorted(HOME.rglob("*.py"))}
PACKAGES = frozenset(name for name, path in FILES.items() if path.name == "__init__.py")


def chapter(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def imports(source: str, module: str, is_package: bool = False, known: frozenset[str] = frozenset()) -> list[Import]:
    """Every import of a source; `from a import b` names a.b where that is a module of `known`, else a."""
    found: list[Import] = []

    def note(node: ast.Import | ast.ImportFrom, top: bool, typing: bool) -> None:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            base = node.module or ""
            if node.level:
                above = module.split(".")[:len(module.split(".")) - node.level + is_package]
                base = ".".join([*above, base] if base else above)
            names = [f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names]
        found.extend(Import(name, node.lineno, top, typing) for name in dict.fromkeys(names))

    def walk(node: ast.AST, top: bool, typing: bool) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            note(node, top, typing)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for inner in node.body:
                walk(inner, top, True)
            for inner in node.orelse:
                walk(inner, top, typing)
        else:
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for inner in ast.iter_child_nodes(node):
                walk(inner, top and not inside, typing)

    walk(ast.parse(source), True, False)
    return found


def layer_faults(module: str, found: list[Import]) -> list[str]:
    own = RANK[chapter(module)]
    return [f"{module}:{i.line} imports {i.module}" for i in found
            if i.module.split(".")[0] == "rightfit" and RANK[chapter(i.module)] > own]


def heavy_faults(module: str, found: list[Import]) -> list[str]:
    own = chapter(module)
    banned = (HEAVY | ({"numpy"} if own in NUMPY_FREE else set())) - ALLOWED.get(own, frozenset())
    return [f"{module}:{i.line} imports {i.module} at the top" for i in found
            if i.top and not i.typing and i.module.split(".")[0] in banned]


def plugin_faults(module: str, found: list[Import]) -> list[str]:
    """Imports of a plug-in's file from outside its folder: the registry finds plug-ins, nobody names them.

    As for the registry, a file whose name starts with an underscore is no plug-in.
    """
    faults = []
    for folder in PLUGIN_FOLDERS:
        inside = f"rightfit.{folder}."
        for i in found:
            shared = i.module.rpartition(".")[2].startswith("_")
            if i.module.startswith(inside) and not (shared or i.module in PACKAGES or module.startswith(inside[:-1])):
                faults.append(f"{module}:{i.line} imports the plug-in {i.module}")
    return faults


def literals(source: str) -> Iterator[tuple[int, str]]:
    """Every string of a source that is no docstring: (line, text)."""
    tree = ast.parse(source)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.lineno, node.value


def modality_faults(module: str, source: str) -> list[str]:
    banned = MODALITIES - OTHER_MEANINGS.get(chapter(module), frozenset())
    return [f"{module}:{line} says {text!r}" for line, text in literals(source)
            if text in banned or (text.startswith("rightfit.") and banned & set(text.split(".")))]


def cycle(edges: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def all_imports(module: str) -> list[Import]:
    path = FILES[module]
    return imports(path.read_text(encoding="utf-8"), module, path.name == "__init__.py", frozenset(FILES))


def test_every_file_has_a_layer() -> None:
    assert len(FILES) > 15
    assert {chapter(module) for module in FILES} <= set(RANK)


def test_the_map_says_the_same_order() -> None:
    text = (HOME.parent.parent / "docs" / "map.md").read_text(encoding="utf-8").partition("## Layers")[2]
    line = text.partition("`tests/test_layers.py`")[0].partition("\n")[2]
    written = [set(part.replace(",", " ").replace("`", " ").replace(".", " ").split()) for part in line.split("→")]
    assert written == [set(names.split()) for names in LAYERS]


@pytest.mark.parametrize("module", FILES)
def test_imports_keep_the_order(module: str) -> None:
    assert layer_faults(module, all_imports(module)) == []


@pytest.mark.parametrize("module", FILES)
def test_nothing_heavy_is_imported_at_the_top(module: str) -> None:
    assert heavy_faults(module, all_imports(module)) == []


@pytest.mark.parametrize("module", FILES)
def test_nobody_imports_a_plugin_by_name(module: str) -> None:
    assert plugin_faults(module, all_imports(module)) == []


@pytest.mark.parametrize("module", [module for module in FILES if chapter(module) in CORE])
def test_the_core_knows_no_modality(module: str) -> None:
    assert modality_faults(module, FILES[module].read_text(encoding="utf-8")) == []


def test_there_are_no_import_cycles() -> None:
    edges = {module: {i.module for i in all_imports(module) if i.module in FILES and i.top and not i.typing}
             for module in FILES}
    assert cycle(edges) == []


def test_there_are_no_cycles_at_any_depth_either() -> None:
    edges = {module: {i.module for i in all_imports(module) if i.module in FILES and not i.typing}
             for module in FILES if module not in PACKAGES}
    assert cycle({module: targets - PACKAGES for module, targets in edges.items()}) == []


def test_importing_rightfit_loads_nothing_heavy() -> None:
    program = "import sys, rightfit; print(' '.join({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "rightfit" in loaded and loaded & (HEAVY | {"numpy"}) == set()


KNOWN = frozenset(("rightfit.decide", "rightfit.models.tabular.linear", "rightfit.data.encode"))


@pytest.mark.parametrize(("source", "layer", "heavy", "plugin"), [
    ("from rightfit import decide", 1, 0, 0),
    ("def f():\n    import rightfit.decide", 1, 0, 0),
    ("from .. import decide", 1, 0, 0),
    ("from rightfit.data import encode", 0, 0, 0),
    ("import pandas as pd\nimport numpy", 0, 1, 0),
    ("try:\n    import torch.nn\nexcept ImportError:\n    pass", 0, 1, 0),
    ("class A:\n    import scipy", 0, 1, 0),
    ("def f():\n    import pandas", 0, 0, 0),
    ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pandas", 0, 0, 0),
    ("from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    pass\nelse:\n    import pandas", 0, 1, 0),
    ("from rightfit.models.tabular import linear", 1, 0, 1),
    ("plugins('rightfit.models')", 0, 0, 0),
])
def test_the_rules_catch_what_they_should(source: str, layer: int, heavy: int, plugin: int) -> None:
    found = imports(source, "rightfit.data.table", known=KNOWN)
    faults = [layer_faults, heavy_faults, plugin_faults]
    assert [len(rule("rightfit.data.table", found)) for rule in faults] == [layer, heavy, plugin]


def test_the_literal_rule_catches_what_it_should() -> None:
    source = '"""text"""\nx = "tabular"\ny = f"{x} of text"\nz = "rightfit.models.image"\ndef f():\n    "sequence"\n'
    assert [fault.split(" says ")[1] for fault in modality_faults("rightfit.decide", source)] == [
        "'tabular'", "'rightfit.models.image'"]
    assert modality_faults("rightfit.report.svg", 'tag("text")') == []
    assert heavy_faults("rightfit.records", imports("import numpy", "rightfit.records")) != []
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) and not cycle({"a": {"b"}, "b": {"c"}})
