"""From raw runs to medians, and from medians to tables."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench.gateways import DIRECT, FLOOR

Run = Mapping[str, Any]
Summary = dict[str, dict[str, dict[str, float | None]]]


def median(runs: Sequence[Run], figure: Callable[[Run], float]) -> float | None:
    """Over the runs in which there is such a figure: it may have served nothing, and the mock's CPU is not watched."""
    figures = []
    for run in runs:
        try:
            figures.append(figure(run))
        except (KeyError, ZeroDivisionError):
            continue
    return statistics.median(figures) if figures else None


def summarise(results: Mapping[str, Mapping[str, Any]]) -> Summary:
    """Gateway to scenario to figure. CPU is of the gateway's whole process tree."""
    return {
        name: {
            scenario: {
                "requests_per_s": median(runs, lambda run: run["requests_per_s"]),
                "cpu_ms_per_1k": median(runs, lambda run: run["processes"]["gateway"]["cpu_ms"] / run["served"] * 1000),
                "cpu_us_per_event": median(
                    runs, lambda run: run["processes"]["gateway"]["cpu_ms"] * 1000 / run["events"]
                ),
                "p50_us": median(runs, lambda run: run["latency_us"]["p50"]),
                "p99_us": median(runs, lambda run: run["latency_us"]["p99"]),
                "pss_mb": median(runs, lambda run: run["processes"]["gateway"]["pss_mb"]),
                "failures": sum(sum(run["failures"].values()) for run in runs),
            }
            for scenario, runs in result["runs"].items()
        }
        for name, result in results.items()
    }


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown that is also readable as it is."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = [[lines[row][column].ljust(widths[column]) for column in range(len(head))] for row in range(len(lines))]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(line) + " |" for line in padded)


def number(value: float | None, digits: int = 0) -> str:
    """A figure for a cell; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def ratio(value: float | None, base: float | None) -> str:
    """How often the base goes into it; a dash where either is missing."""
    return "-" if value is None or not base else f"{value / base:.2f}"


def scenario_table(scenario: str, summary: Summary) -> str:
    """Throughput and CPU, or added latency and CPU; CPU also in units of the floor's."""
    floor = summary[FLOOR][scenario]
    direct = summary[DIRECT][scenario]
    if scenario.startswith("rate:"):
        head = ["added p50 us", "added p99 us", "CPU ms/1k req", f"x {FLOOR}", "failures"]
    elif scenario == "stream":
        head = ["streams/s", "CPU us/event", f"x {FLOOR}", "p50 ms", "p99 ms", "failures"]
    else:
        head = ["req/s", "CPU ms/1k req", f"x {FLOOR}", "p50 ms", "p99 ms", "failures"]
    rows = []
    for name, scenarios in summary.items():
        if scenario not in scenarios:
            continue
        row = scenarios[scenario]
        failures = number(row["failures"])
        unit, digits = ("cpu_us_per_event", 2) if scenario == "stream" else ("cpu_ms_per_1k", 1)
        cpu = [number(row[unit], digits), ratio(row[unit], floor[unit])]
        if scenario.startswith("rate:"):
            latency = [
                added(row[quantile], direct[quantile], is_base=name == DIRECT) for quantile in ("p50_us", "p99_us")
            ]
            rows.append([name, *latency, *cpu, failures])
        else:
            latency = [number(milliseconds(row[quantile]), 2) for quantile in ("p50_us", "p99_us")]
            rows.append([name, number(row["requests_per_s"]), *cpu, *latency, failures])
    return table(["gateway", *head], rows)


def added(value: float | None, base: float | None, *, is_base: bool) -> str:
    """What is above the base; the base itself in parentheses."""
    if value is None or base is None:
        return "-"
    return f"({value:.0f})" if is_base else f"{value - base:.0f}"


def milliseconds(microseconds: float | None) -> float | None:
    """The same time in milliseconds."""
    return None if microseconds is None else microseconds / 1000


def start_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """How long each took to answer, and what it holds before it has work."""
    started = ((name, result) for name, result in results.items() if "cold_start_s" in result)
    rows = [
        [name, number(result["cold_start_s"], 3), number(result["idle_pss_mb"], 1), number(result["idle_rss_mb"], 1)]
        for name, result in started
    ]
    return table(["gateway", "start to first reply s", "idle PSS MB", "idle RSS MB"], rows)


def render(everything: Mapping[str, Any]) -> str:
    """All of it, as one text."""
    summary: Summary = everything["summary"]
    parts = ["## Measured", "\n".join(f"{name}: {value}" for name, value in everything["machine"].items())]
    for scenario in summary[FLOOR]:
        parts += [f"### {scenario}", scenario_table(scenario, summary)]
    parts += ["### start", start_table(everything["gateways"])]
    parts += [
        "### import",
        table(["median of fresh processes", "ms"], ([k, number(v, 1)] for k, v in everything["import_ms"].items())),
    ]
    for name in ("ledger", "recovery"):
        if lines := everything[name]:
            columns = list(lines[0])
            parts += [f"### {name}", table(columns, ([line[column] for column in columns] for line in lines))]
    parts += [f"{name}: ledger verify: {verdict}" for name, verdict in everything["verify"].items()]
    return "\n\n".join(parts)
