"""The house: public names, the direction of imports, what `--help` costs, the wheel, the recipes."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from shared import REPOSITORY

import calque
from calque import folder, run
from calque.config import load_config, to_toml
from calque.preparing.showers import expanded
from calque.preparing.step import find
from calque.recipes import describe_recipes, find_recipe, shipped

SOURCE = REPOSITORY / "src" / "calque"
MODULES = sorted(SOURCE.rglob("*.py"))
FLOOR = ["kinds", "table", "seeds", "errors", "extras", "atomic", "locks", "progress", "threads", "geometry", "names"]
ORDER = [FLOOR, ["reading", "preparing", "models", "simulating", "data", "recipes"],
         ["config", "folder", "contexts", "provenance", "checkpoints", "run", "mixture"], ["judging"],
         ["fitting"], ["producing"], ["tuning"], ["checks"], ["pipeline"], ["leaderboard"], ["cli"], ["__main__"]]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


def test_public_names_are_pinned() -> None:
    assert calque.__all__ == ["Table", "fit", "judge", "load", "prepare", "produce", "read", "tune"]
    for name in calque.__all__:
        assert callable(getattr(calque, name)), name
        assert name in dir(calque)
    with pytest.raises(AttributeError, match="no attribute 'reed'"):
        calque.reed  # noqa: B018


def part_of(path: Path) -> str:
    """The folder or file of the package that a module belongs to; empty for the package itself."""
    name = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(node: ast.AST) -> Iterator[str]:
    """Modules of calque that a piece of source imports, at the top or late."""
    for child in ast.iter_child_nodes(node):
        if is_for_types(child):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name.split(".")[0] == "calque")
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            module = child.module or ""
            if module == "calque":
                yield from (f"calque.{alias.name}" for alias in child.names)
            elif module.startswith("calque."):
                yield module
        yield from imported(child)


def edges() -> set[tuple[str, str]]:
    """Which part of the package imports which other."""
    found = set()
    for path in MODULES:
        for name in imported(ast.parse(path.read_text())):
            target = name.split(".")[1]
            if target in LEVEL:  # `from calque import __version__` is no part
                found.add((part_of(path), target))
    return {(source, target) for source, target in found if source != target}


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in MODULES} - {""} == set(LEVEL)


def test_imports_flow_one_way() -> None:
    graph = edges()
    assert ("cli", "pipeline") in graph, "late imports count"
    upwards = [(source, target) for source, target in graph if source and LEVEL[source] < LEVEL[target]]
    assert not upwards
    circles = [(source, target) for source, target in graph if (target, source) in graph]
    assert not circles
    assert not [target for source, target in graph if source == "models" and target not in FLOOR]


def test_only_the_folder_module_knows_the_files_of_a_run() -> None:
    names = {folder.CONFIG, folder.PREPARATION, folder.MODEL, folder.SPLIT, folder.CONTEXTS, folder.PROVENANCE,
             folder.HISTORY, folder.REPORT, *Path(folder.CHECKPOINT).parts}
    assert "config.toml" in names
    for path in MODULES:
        if path.name != "folder.py":
            texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
            assert not names & texts, path


def test_nothing_pickles_or_evaluates() -> None:
    for path in MODULES:
        tree = ast.parse(path.read_text())
        calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        assert not calls & {"eval", "exec", "compile", "__import__", "torch.load", "torch.save"}, path
        assert "pickle" not in path.read_text().replace("unpickled", "").replace("allow_pickle=False", ""), path


LEAN = """
import sys
from calque.cli import main
codes = [main(["--help"]), main(["run", "--help"]), main(["run", "demo", "--dry-run"]), main(["recipes"])]
sys.exit(repr({"codes": codes, "heavy": sorted({"torch", "uproot", "sklearn", "matplotlib"} & set(sys.modules))}))
"""


def test_help_and_dry_run_import_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LEAN], capture_output=True, text=True)
    assert done.stderr.strip() == "{'codes': [0, 0, 0, 0], 'heavy': []}"
    assert "produce" in done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(command, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


FROM_WHEEL = """
import sys; sys.path.insert(0, sys.argv[1])
import calque
from calque.cli import main
from calque.data import sample
from calque.recipes import shipped
from calque.config import load_config
assert calque.__file__.startswith(sys.argv[1]), calque.__file__
assert main(["--version"]) == 0
print(sorted(shipped()), load_config(shipped()["demo"]).read.files, len(calque.read(sample(), weight="w")))
"""


def test_the_wheel_is_whole_and_runs(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path)
    kept = {str(path.relative_to(SOURCE.parent)) for path in SOURCE.rglob("*") if path.is_file()
            and "__pycache__" not in path.parts}
    assert kept <= names
    assert {"calque/py.typed", "calque/data/muons.root", "calque/recipes/demo.toml"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if not name.startswith(("calque/", f"calque-{calque.__version__}.dist-info/"))]
    done = subprocess.run([sys.executable, "-c", FROM_WHEEL, str(tmp_path)], capture_output=True, text=True,
                          cwd=tmp_path, check=True)
    rows = len(calque.read(importlib.import_module("calque.data").sample(), columns=["pz"]))
    assert done.stdout.splitlines() == [calque.__version__, f"{sorted(shipped())} calque:muons.root {rows}"]


@pytest.mark.parametrize("name", sorted(shipped()))
def test_recipes_load_and_are_complete(name: str, tmp_path: Path) -> None:
    config = load_config(find_recipe(name))
    resolved = tmp_path / "resolved.toml"
    resolved.write_text(to_toml(config.tables()))
    assert load_config(resolved) == config
    for part in [config.category(name) for name in config.categories] or [config]:
        assert part.prepare.steps is not None
        for step in [one for text in part.prepare.steps for one in expanded(text)]:
            assert find(step.split()[0]).kind == step.split()[0]
    described = {line.split()[0]: line.split(maxsplit=1)[1] for line in describe_recipes()}
    assert len(described[name]) > 20, "its first comment says what it is"


def test_recipes_build_what_they_name() -> None:
    """Misspelt settings of a model or an objective only show when they are built."""
    from calque.fitting.fit import build_objective
    from calque.kinds import KINDS
    from calque.table import Layout

    for name, path in shipped().items():
        config = load_config(path)
        for part in [config.category(category) for category in config.categories] or [config]:
            kind, shapes = KINDS[part.fit.kind], {"two-step": ((), (28, 28))}
            layout = Layout.flat(["a", "b", "c"])
            if kind.image:
                of_kind = shapes.get(part.fit.kind, ((28, 28),))
                layout = Layout(tuple(map(str, range(len(of_kind)))), of_kind)
            generator = run.build_generator(part, layout, 2)
            assert bool(build_objective(part, generator).turns) != kind.solved, name


def test_a_kind_brings_its_settings_and_the_user_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    from calque import kinds
    from calque.config import build

    fast = kinds.Kind("a test", "none", "dense", "adversarial", model={"layers": 1}, settings={"game": "minimax"},
                      optimiser={"rate": 0.25, "beta1": 0.0})
    monkeypatch.setitem(kinds.KINDS, "fast-test", fast)
    config = build({"fit": {"kind": "fast-test", "model": {"latent": 7}, "optimiser": {"beta1": 0.5}}}, "here")
    assert config.fit.model == {"layers": 1, "latent": 7}
    assert config.fit.objective == {"game": "minimax"}
    assert (config.fit.optimiser.rate, config.fit.optimiser.beta1) == (0.25, 0.5)


def test_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from calque.cli import main
    from calque.kinds import KINDS

    assert main(["models"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["kind", *KINDS]


def test_every_kind_is_in_the_docs() -> None:
    from calque.kinds import KINDS

    pages = "".join(page.read_text() for page in (REPOSITORY / "docs" / "models").glob("*.md"))
    assert not [kind for kind in KINDS if f"`{kind}`" not in pages]
