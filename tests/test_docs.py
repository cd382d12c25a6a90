"""The pages are held to the code: commands parse, files exist, links lead somewhere, figures come from files."""

import importlib.util
import re
import shlex
import subprocess
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.md")])
SOURCES = sorted(p for folder in ("examples", "scripts", ".ci", "benchmarks") for p in (ROOT / folder).glob("*")
                 if p.is_file() and p.suffix in (".py", ".md", ""))
# Written in parts, so that this file does not hold what it forbids.
FORBIDDEN = re.compile("|".join(("/" + "work/", "/" + "home/", "/" + "Users/", "/" + "root/", "/" + "tmp/venv",
                                 "index" + "-url", "pypi" + r"\.", "mirrors" + r"\.", "files.python" + "hosted")))


def read(path):
    return path.read_text(encoding="utf-8")


def commands(page):
    """{name: line} of the marked commands."""
    found = re.findall(r"<!-- command: (\w+) -->\n```bash\n(.*?)```", page, flags=re.DOTALL)
    return {name: body.rstrip("\n") for name, body in found}


def steps(line):
    return [shlex.split(part) for part in line.split("&&")]


def test_there_are_pages():
    names = {p.relative_to(ROOT).as_posix() for p in PAGES}
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/map.md", "examples/README.md"} <= names


def test_the_readme_has_two_commands_of_one_line_each():
    found = commands(read(ROOT / "README.md"))
    assert set(found) == {"choose", "test"}
    for line in found.values():
        assert "\n" not in line and line.startswith("python3 -m venv .venv && ")
        assert read(ROOT / "README.md").count(line) == 2  # the second is the Chinese section


def test_the_commands_name_what_exists():
    extras = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    for line in commands(read(ROOT / "README.md")).values():
        asked = re.search(r'-e "\.\[([a-z,]+)\]"', line)
        assert asked and set(asked[1].split(",")) <= set(extras)


def test_the_choose_command_parses_and_its_table_has_the_target():
    import typer

    from rightfit.cli import app

    words = steps(commands(read(ROOT / "README.md"))["choose"])[-1]
    assert words[0] == ".venv/bin/rightfit"
    group = typer.main.get_command(app)
    context = group.commands[words[1]].make_context(words[1], words[2:])
    table = ROOT / context.params["data"]
    assert context.params["target"] in read(table).partition("\n")[0].split(",")
    assert context.params["out"] in [line.strip("/") for line in read(ROOT / ".gitignore").splitlines()]


def test_every_command_line_in_the_pages_exists():
    import typer

    from rightfit.cli import app

    known = typer.main.get_command(app).commands
    options = {flag for c in known.values() for p in c.params for flag in (*p.opts, *p.secondary_opts)}
    seen = set()
    for page in PAGES:
        for code in re.findall(r"`(rightfit [^`]+)`", read(page)):
            words = shlex.split(code)
            assert words[1] in known or words[1].startswith("--"), code
            seen.add(words[1])
            assert {w.partition("=")[0] for w in words[2:] if w.startswith("-")} <= options | {"--help"}, code
    assert set(known) <= seen, "the table of commands must name every command"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(page)):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_named_in_the_pages_exist(page):
    named = re.findall(r"`((?:src|tests|docs|examples|benchmarks|scripts|\.ci)/[\w./]*\w)/?`", read(page))
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", [*PAGES, *SOURCES, ROOT / "pyproject.toml"],
                         ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_machine_and_no_registry_is_named(path):
    assert FORBIDDEN.findall(read(path)) == []


def test_the_figures_are_those_of_the_results():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "benchmarks" / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    page = read(ROOT / "README.md")
    assert figures.placed(page, figures.render()) == page, "run python benchmarks/figures.py"
    for name, text in figures.plots.drawn(figures.RESULTS).items():
        assert read(ROOT / "docs" / "plots" / f"{name}.svg") == text, "run python benchmarks/figures.py"


def test_systems_are_drawn_once_they_have_ranks():
    spec = importlib.util.spec_from_file_location("plots", ROOT / "benchmarks" / "plots.py")
    plots = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plots)
    rows = [{"system": f"{name} 60 s", "mean_rank": rank, "row_p99_ms_median": ms, "size_mb_median": "3", "cases": "6"}
            for name, rank, ms in (("rightfit", "1.5", "0.2"), ("other", "1.7", "90"))]
    drawn = ElementTree.fromstring(plots.peers(rows))
    assert len(drawn.findall(".//{*}circle")) == 3 and "other 60 s" in "".join(drawn.itertext())
    assert plots.peers([{**row, "mean_rank": ""} for row in rows]) == ""


def test_figures_render_what_is_there_and_nothing_else(tmp_path):
    spec = importlib.util.spec_from_file_location("figures", ROOT / "benchmarks" / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    assert figures.render(tmp_path) == "Nothing has been measured yet."
    (tmp_path / "short.csv").write_text("a,b,machine\n1,x|y,m\n2,z,m\n")
    (tmp_path / "long.csv").write_text("v\n" + "\n".join(str(i) for i in range(101)))
    shown = figures.render(tmp_path)
    assert "| 1 | x\\|y |" in shown and "Throughout: machine m." in shown
    assert "| v | 0 | 50 | 100 |" in shown and "101 lines." in shown
    with pytest.raises(ValueError, match="figures"):
        figures.placed("no place", "x")


def test_decisions_end_with_a_number():
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9][0-9][0-9]*.md"))
    assert [int(p.stem[:3]) for p in pages] == list(range(1, len(pages) + 1)) and len(pages) >= 4
    for page in pages:
        closing = read(page).strip().rpartition("\n\n")[2]
        assert closing.startswith("**The number.**") and re.search(r"\d", closing), page.name


@pytest.mark.parametrize("name", ["scripts/check", ".ci/run"])
def test_scripts_are_bash_and_executable(name):
    path = ROOT / name
    assert path.stat().st_mode & 0o111 and read(path).startswith("#!/usr/bin/env bash")
    assert subprocess.run(["bash", "-n", path], capture_output=True).returncode == 0


def test_check_refuses_what_it_does_not_know():
    done = subprocess.run([ROOT / "scripts" / "check", "--nonsense"], capture_output=True, text=True)
    assert done.returncode == 2 and "usage" in done.stderr
