"""The simulation as a user runs it."""

import json
import shlex
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gotoai import _core
from gotoai.cli.main import program


def run(*arguments: str) -> Result:
    return CliRunner().invoke(program, ["sim", *arguments])


def summary(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def test_a_seed_leaks_nothing_and_is_the_same_again() -> None:
    first, second = run("--seed", "7", "--orders", "30", "--json"), run("--seed", "7", "--orders", "30", "--json")
    assert (first.exit_code, first.stdout) == (0, second.stdout)
    told = summary(first)
    assert (told["leaked"], told["failures"], told["seeds"]) == ("0.00", [], 1)
    assert told["orders"] == sum(told["states"].values()) > 10


def test_dying_at_every_point_of_a_seed() -> None:
    told = summary(run("--seed", "3", "--orders", "2", "--enumerate", "--json"))
    assert told["runs"] == told["faults"]["crash"] + 1
    assert (told["leaked"], told["failures"]) == ("0.00", [])


def test_a_defect_is_found_and_its_command_finds_it_again() -> None:
    found = run("--sabotage", "kept_hold", "--seed", "2", "--json")
    assert found.exit_code == 1
    failure = summary(found)["failures"][0]
    again = run(*shlex.split(failure["command"])[2:], "--json")
    assert again.exit_code == 1
    # What is said names the order, whose id is made anew.
    told = [(one["seed"], one["rule"], one["command"]) for one in summary(again)["failures"]]
    assert told == [(failure["seed"], failure["rule"], failure["command"])]
    shown = run("--sabotage", "kept_hold", "--seed", "2")
    assert "rule 'verify' is broken" in shown.stdout
    assert f"play it again: {failure['command']}" in shown.stdout


def test_progress_goes_to_stderr_and_the_trace_to_stdout() -> None:
    result = run("--seeds", "3", "--orders", "2", "--trace")
    assert "1 of 3 seeds" in result.stderr
    assert "seeds," not in result.stdout
    assert "submit reserve" in result.stdout
    assert "every rule holds" in result.stdout
    assert "never met: " in result.stdout
    assert "orders in " in result.stderr


def test_features_are_named_or_left_out() -> None:
    marked = run("--seed", "5", "--faults", "none", "--features", "marks", "--json")
    plain = run("--seed", "5", "--faults", "none", "--features", "none", "--json")
    assert summary(marked)["marks"]["replayed"] > 0
    assert summary(plain)["marks"]["replayed"] == 0
    assert summary(plain)["granted"] == "0.00"
    # What was never met is counted too: nobody has to know the whole list to miss something.
    assert set(summary(marked)["rules"]) == set(summary(plain)["rules"])


def test_whoever_waits_for_one_seed_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gotoai.cli.sim.REMARK_EVERY_S", 0.0)
    result = run("--seed", "3", "--orders", "1", "--enumerate")
    assert result.exit_code == 0
    assert result.stderr.count("0 of 1 seeds") > 10


def test_wrong_usage_names_what_is_wrong() -> None:
    for arguments, name in (
        (("--faults", "crush"), "crush"),
        (("--features", "budget"), "budgets"),
        (("--calls", "one"), "one"),
        (("--sabotage", "x"), "'x'"),
    ):
        refused = run(*arguments)
        assert refused.exit_code == 2
        assert name in refused.stderr


def test_what_the_listener_raises_ends_it() -> None:
    def stop(seeds: int, _runs: int, _orders: int, _failures: int) -> None:
        if seeds == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _core.simulate(b'{"seeds": 1000000, "orders": 1}', stop)
