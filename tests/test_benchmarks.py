"""The benchmarks are no tests, but every one of them must come into the one table of all."""

import ast
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "benchmarks"
sys.path.insert(0, str(FOLDER))

import table  # noqa: E402
from side_by_side import Row, in_turns, medians  # noqa: E402


def test_every_benchmark_is_in_the_table():
    there = {path.stem for path in FOLDER.glob("*.py")} - {"table", "side_by_side"}
    assert there <= set(table.ALL) and set(table.ALL) - there <= {"adversarial"}
    for name in there - {"adversarial"}:  # its rows are made in table.py
        tree = ast.parse((FOLDER / f"{name}.py").read_text())
        (rows,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "rows")
        assert [argument.arg for argument in rows.args.args] == ["quick"]


@pytest.mark.parametrize(
    ("row", "end"),
    (
        (
            Row("work", 0.2, "captum", 0.5, 0.45),
            "200.0 ms                   captum    500.0 ms   0.40  at most 0.45",
        ),
        (Row("work", 0.25, "captum", 0.5, 0.45), "0.50  at most 0.45   \u2717 not kept"),
        (Row("work", 20, "captum", 10), "20.0 s                    captum     10.0 s    2.00"),
    ),
)
def test_a_row_says_whether_what_was_asked_is_kept(row, end):
    assert table.line(row).startswith("work") and table.line(row).endswith(end)


def test_the_exit_code_says_whether_all_is_kept(monkeypatch, capsys):
    monkeypatch.setattr(table.torch, "set_num_threads", lambda n: None)  # not for the tests that follow
    kept, broken = Row("work", 1, "peer", 2, 0.9), Row("work", 1, "peer", 1, 0.9)
    monkeypatch.setattr(table, "attacks", lambda module, quick: iter([kept]))
    for rows, code in (([kept], 0), ([kept, broken], 1)):
        monkeypatch.setattr(table.importlib, "import_module", lambda name, rows=rows: stand_in(rows))
        monkeypatch.setattr(sys, "argv", ["table.py", "top_scan", "--quick"])
        assert table.main() == code and capsys.readouterr().out.count("work") == len(rows)
    monkeypatch.setattr(sys, "argv", ["table.py", "top_scans"])
    with pytest.raises(SystemExit):
        table.main()
    assert "no benchmark top_scans" in capsys.readouterr().err


def stand_in(rows):
    return type("Module", (), {"rows": staticmethod(lambda quick: rows)})


def test_ways_run_in_turns_and_the_first_round_only_warms_up():
    order = []
    told = in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4 and [len(times) for times in told.values()] == [3, 3]
    assert medians({"a": [3.0, 1.0, 2.0]}) == {"a": 2.0}
