"""``gotoai sim``: the request path on a virtual clock, with everything going wrong that can, and the books after."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Somebody who waits is told this often how far it is, in seconds.
REMARK_EVERY_S = 5.0
# Sums of the summary, in the order in which money goes.
MONEY = (
    "paid_in",
    "granted",
    "charged",
    "refunded",
    "absorbed",
    "billed_by_providers",
    "cost_booked",
    "uncertain",
    "leaked",
)
# Without a seed of its own a run should say something about more than one history.
SEEDS_BY_DEFAULT = 25


def words(_context: click.Context, _option: click.Parameter, value: str | None) -> list[str] | None:
    """Words with commas between them; ``none`` is the empty list."""
    return [] if value == "none" else value.split(",") if value is not None else None


def numbers(context: click.Context, option: click.Parameter, value: str | None) -> list[int] | None:
    """Whole numbers with commas between them; ``none`` is the empty list."""
    listed = words(context, option, value)
    if listed is not None and not all(word.isdecimal() for word in listed):
        raise click.BadParameter(f"{value!r} is no list of whole numbers, such as 3,7", context, option)
    return None if listed is None else [int(word) for word in listed]


@click.command(
    short_help="Play calls, faults and crashes on a virtual clock and audit the books.",
    epilog=options.examples(
        "gotoai sim --seed 7",
        "gotoai sim --seed 7 --seeds 100 --orders 1000",
        "gotoai sim --seed 7 --enumerate",
        "gotoai sim --seed 7 --calls 3 --faults cut --features marks --crash-at 41 --trace",
        "gotoai sim --sabotage lost_settlement",
        "gotoai sim --seeds 1000 --json | jq .leaked",
    ),
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="The first seed; the same seed is the same run.")
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", help="How many seeds from there on.")
@click.option("--orders", type=click.IntRange(1, 10_000), metavar="N", help="Calls in each seed.")
@click.option("--enumerate", "enumerated", is_flag=True, help="Crash once at every point of each seed.")
@click.option("--calls", metavar="LIST", callback=numbers, help="Only these calls of the seed.")
@click.option("--faults", metavar="LIST", callback=words, help="These faults instead of the seed's own, or none.")
@click.option("--features", metavar="LIST", callback=words, help="These features instead of the seed's own, or none.")
@click.option("--crash-at", metavar="LIST", callback=numbers, help="Crash at these points, or none.")
@click.option("--sabotage", metavar="NAME", help="Put a defect into the ledger, to see it found.")
@click.option("--trace", is_flag=True, help="Tell every step; for one seed.")
@options.as_json
def sim(
    seed: int | None,
    seeds: int | None,
    orders: int | None,
    enumerated: bool,
    calls: list[int] | None,
    faults: list[str] | None,
    features: list[str] | None,
    crash_at: list[int] | None,
    sabotage: str | None,
    trace: bool,
    as_json: bool,
) -> None:
    """Simulates calls, faults and crashes in memory and audits the books. Exits with 1 when a rule is broken.

    The request path and the ledger's rules are the real ones; providers, callers, disk and time are simulated. A
    failure is made small and comes with the command that plays it again. Needs no key, no network and no store.
    Faults, features, rules and sabotages stand in the reference; a wrong name is answered with the right ones.
    """
    count = seeds or (SEEDS_BY_DEFAULT if seed is None else 1)
    question = {
        "seed": 1 if seed is None else seed,
        "seeds": count,
        "orders": orders,
        "enumerate": enumerated,
        "calls": calls,
        "faults": faults,
        "features": features,
        "crash_at": crash_at,
        "sabotage": sabotage,
        "trace": trace,
    }
    began = time.monotonic()
    with session.errors_shown(as_json):
        from gotoai._core import simulate

        summary: dict[str, Any] = json.loads(simulate(json.dumps(question).encode(), progress(count)))
    seconds = max(time.monotonic() - began, 0.001)
    render.remark(f"{summary['orders']} orders in {seconds:.1f} s, {summary['orders'] / seconds:.0f} a second")
    render.show(summary, as_json, view)
    if summary["failures"]:
        raise click.exceptions.Exit(1)


def progress(seeds: int) -> Callable[[int, int, int, int], None]:
    """Says on stderr how far it is: about ten times in all, and to whoever waits for long."""
    step = -(-seeds // 10)
    told_at = time.monotonic()
    told_of = 0

    def told(done: int, runs: int, orders: int, failures: int) -> None:
        nonlocal told_at, told_of
        is_step = done % step == 0 and told_of < done < seeds
        if is_step or time.monotonic() - told_at > REMARK_EVERY_S:
            told_at, told_of = time.monotonic(), done
            render.remark(f"{done} of {seeds} seeds, {runs} runs, {orders} orders, {failures} failures")

    return told


def met(title: str, counts: Mapping[str, int]) -> list[str]:
    """Prints what came up, and gives back what did not."""
    render.facts(title, [(name, count) for name, count in sorted(counts.items()) if count])
    return sorted(name for name, count in counts.items() if not count)


def view(summary: Mapping[str, Any]) -> None:
    """What was played, what it came to, what was met and what never, and what is wrong."""
    for step in summary.get("trace", []):
        render.line(step)
    counts = ("seeds", "runs", "lives", "points", "calls", "orders")
    render.facts("Played", [(name, summary[name]) for name in counts])
    render.facts("Orders", sorted(summary["states"].items()))
    never = met("Faults", summary["faults"]) + met("Met", summary["marks"])
    never += [f"rule '{name}'" for name in met("Rules", summary["rules"])]
    render.facts("USD", [(name.replace("_", " "), summary[name]) for name in MONEY])
    for failure in summary["failures"]:
        render.line(f"\nrule '{failure['rule']}' is broken: {failure['what']}\n")
        for step in failure["trace"]:
            render.line(step)
        render.line(f"\nplay it again: {failure['command']}")
    # One history meets little; of many it is news.
    if never and summary["seeds"] > 1:
        render.line(f"never met: {', '.join(never)}")
    if not summary["failures"]:
        render.line("every rule holds")
