"""Measures gateways side by side against one mock provider on loopback, and prints tables and JSON.

Every gateway is started once and its cold start timed; then the rounds measure them in turn (A B C, A B C, ...), so
that the drift of a shared machine hits all alike. A figure is the median over the rounds. The gateway has core 0, mock
and load have core 1. ``scripts/bench`` builds what this needs.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import report
from bench.gateways import DIRECT, KEY, Gateway, all_gateways
from bench.processes import CORE_OF_LOAD, Running, StartError, set_realtime, spawn, start, stop

REPOSITORY = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("BENCH_HOME") or Path.home() / ".cache/gotoai-bench")
RELEASE = HOME / "target-harness/release"
FIRST_PORT = 9100
NICE = -15
WARMUP_S = 0.7
SLOW_TIMES = 3
IMPORTS = 10


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    only: list[str]
    scenarios: list[str]
    rounds: int
    seconds: float
    first: bool
    ledger_seconds: float
    json_path: Path | None


def parse(arguments: list[str]) -> Options:
    """The options; ends the program where they make no sense."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--only", help="names with commas between; the floor and the mock are always there")
    parser.add_argument("--scenarios", default="sat,many,stream,rate:500", help="sat, many, stream, rate:N")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each run, at most 30")
    parser.add_argument("--quick", action="store_true", help="a smoke run: one short round")
    parser.add_argument("--first", action="store_true", help="before the machine's other work (root only)")
    parser.add_argument("--no-ledger", action="store_true", help="without the ledger's own benchmark")
    parser.add_argument("--json", type=Path, help="also write all figures into this file")
    given = parser.parse_args(arguments)
    if given.first and os.geteuid() != 0:
        parser.error("--first needs root")
    return Options(
        only=given.only.split(",") if given.only else [],
        scenarios=given.scenarios.split(","),
        rounds=1 if given.quick else given.rounds,
        seconds=1 if given.quick else given.seconds,
        first=given.first,
        ledger_seconds=0 if given.no_ledger else 1 if given.quick else 5,
        json_path=given.json,
    )


def note(text: str) -> None:
    """Tells whoever waits; the tables alone go to standard output."""
    print(f"# {text}", file=sys.stderr, flush=True)


class Bench:
    """The mock, the gateways that run against it, and their figures."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.runs = HOME / "run"
        self.nice = NICE if options.first else 0
        self.upstream = f"127.0.0.1:{FIRST_PORT}"
        self.results: dict[str, dict[str, Any]] = {}
        self.running: list[Running] = []
        mock = Gateway(name=DIRECT, program=RELEASE / "mock-upstream")
        process = spawn([mock.program, self.upstream], CORE_OF_LOAD, {}, self.runs / "mock", self.nice)
        self.mock = Running(mock, process, FIRST_PORT, self.runs / "mock", [])

    def start(self) -> None:
        """Starts what is installed. One of ours that fails ends the run, a peer that does is left out."""
        self.results[DIRECT] = {"runs": {}}
        for port, gateway in enumerate(all_gateways(HOME), FIRST_PORT + 1):
            is_floor = gateway.name.startswith("bare-")
            if self.options.only and not is_floor and gateway.name not in self.options.only:
                continue
            if not gateway.program.exists():
                note(f"{gateway.name}: not installed ({gateway.program})")
                continue
            try:
                running = start(gateway, port, self.upstream, self.runs, self.nice)
            except StartError as error:
                if is_floor or gateway.books is not None:
                    raise
                note(str(error))
                continue
            self.running.append(running)
            self.results[gateway.name] = {
                "cold_start_s": running.cold_start_s,
                "idle_pss_mb": running.idle_pss_mb,
                "idle_rss_mb": running.idle_rss_mb,
                "runs": {},
            }

    def measure(self) -> None:
        """The rounds, interleaved."""
        for number in range(1, self.options.rounds + 1):
            for scenario in self.options.scenarios:
                for running in [self.mock, *self.running]:
                    if running.gateway.is_slow and scenario.startswith("rate:"):
                        continue
                    figures = self.load(running, scenario)
                    self.results[running.gateway.name]["runs"].setdefault(scenario, []).append(figures)
                    if figures["failures"]:
                        note(f"{running.gateway.name} {scenario}: {figures['failures']} {figures['failure_sample']}")
            note(f"round {number} of {self.options.rounds} done")

    def load(self, running: Running, scenario: str) -> dict[str, Any]:
        """One run of the load generator; its report."""
        gateway = running.gateway
        is_open_loop = scenario.startswith("rate:")
        seconds = self.options.seconds * (SLOW_TIMES if gateway.is_slow else 1)
        command = ["taskset", "-c", CORE_OF_LOAD, str(RELEASE / "load"), *scenario_arguments(scenario, gateway)]
        command += ["--url", f"http://127.0.0.1:{running.port}/v1/chat/completions", "--auth", KEY]
        command += ["--seconds", str(seconds), "--warmup", str(WARMUP_S)]
        if running is not self.mock:
            command += ["--watch", f"gateway={running.process.pid}"]
        for header in running.headers:
            command += ["--header", header]
        if self.options.first:
            # Open-loop runs are light, and on a shared machine their tail would be the neighbours'. Runs that
            # saturate a core stay among the others, only before them, so as not to starve the machine.
            for process in (self.mock.process, running.process):
                set_realtime(process.pid, wanted=is_open_loop)
            command = [*(["chrt", "-r", "1"] if is_open_loop else ["nice", "-n", str(NICE)]), *command]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout
        figures: dict[str, Any] = json.loads(output)
        return figures

    def stop(self) -> None:
        """Ends everything that was started."""
        for running in [*self.running, self.mock]:
            stop(running.process)


def scenario_arguments(scenario: str, gateway: Gateway) -> list[str]:
    """sat: 32 connections; many: 256; stream: 32, 50 chunks, each its own write; rate:N: open loop, N a second."""
    model = f"{gateway.model_prefix}mock"
    match scenario.split(":"):
        case ["sat"]:
            return ["--model", model, "--connections", "32"]
        case ["many"]:
            return ["--model", model, "--connections", "256"]
        case ["stream"]:
            return ["--model", f"{model}-c50", "--connections", "32", "--stream", "--expect-chunks", "50"]
        case ["rate", rate]:
            return ["--model", model, "--connections", "64", "--rate", rate]
        case _:
            raise SystemExit(f"no scenario {scenario}: sat, many, stream, rate:N")


def verify_ledgers(running: list[Running]) -> dict[str, str]:
    """What ``gotoai ledger verify`` says of every ledger that was written, after its gateway has stopped."""
    verdicts = {}
    for name, folder in ((one.gateway.name, one.folder) for one in running if one.gateway.books):
        command: list[str | Path] = [
            HOME / "venv/bin/gotoai",
            "ledger",
            "verify",
            "--json",
            "--data-dir",
            folder / "data",
        ]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        if done.returncode:
            verdicts[name] = f"FAILED: {done.stdout or done.stderr}"
        else:
            found = json.loads(done.stdout)
            verdicts[name] = f"clean, {found['orders']} orders, {found['postings']} postings"
    return verdicts


def import_ms() -> dict[str, float]:
    """Medians over fresh processes: the import alone, and whole processes with it and without."""
    python = HOME / "venv/bin/python"
    timed = "import time; t = time.perf_counter(); import gotoai; print(time.perf_counter() - t)"
    inside, whole, bare = [], [], []
    for _ in range(IMPORTS):
        began = time.perf_counter()
        done = subprocess.run([python, "-c", timed], check=True, capture_output=True, text=True)
        whole.append(time.perf_counter() - began)
        inside.append(float(done.stdout))
        began = time.perf_counter()
        subprocess.run([python, "-c", "pass"], check=True)
        bare.append(time.perf_counter() - began)
    medians = {"import gotoai": inside, "process that imports gotoai": whole, "process that imports nothing": bare}
    return {name: statistics.median(seconds) * 1000 for name, seconds in medians.items()}


# Arguments of the ledger's own benchmark: callers, wallets, durabilities.
LEDGER_RUNS = [("1,64,512", "1000", "strict,hybrid"), ("512", "1,100000", "strict")]


def ledger_lines(*arguments: str) -> list[dict[str, str]]:
    """The ledger's own benchmark, on all cores: a mapping of name to figure for each run."""
    command = ["cargo", "bench", "--locked", "--no-default-features", "--bench", "ledger", "--", *arguments]
    # Temporary files on the disk that the gateways' ledgers lie on, because strict durability is the disk's speed.
    env = os.environ | {"CARGO_TARGET_DIR": str(HOME / "target"), "TMPDIR": str(HOME / "run")}
    output = subprocess.run(command, check=True, cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, text=True).stdout
    return [dict(re.findall(r"(\S+)=(\S+)", line)) for line in output.splitlines() if "_per_s=" in line]


def machine() -> dict[str, str]:
    """Where and what was measured."""
    models = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    commit = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty"]
    return {
        "cpu": f"{os.cpu_count()} x {models[0] if models else platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": subprocess.run(commit, check=False, capture_output=True, text=True).stdout.strip() or "unknown",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def main() -> None:
    """Measures, prints, and writes what was asked for."""
    options = parse(sys.argv[1:])
    where = machine()
    bench = Bench(options)
    try:
        bench.start()
        bench.measure()
    finally:
        bench.stop()
    ledger_runs = LEDGER_RUNS if options.ledger_seconds else []
    everything = {
        "machine": where,
        "gateways": bench.results,
        "summary": report.summarise(bench.results),
        "verify": verify_ledgers(bench.running),
        "import_ms": import_ms(),
        "ledger": [line for run in ledger_runs for line in ledger_lines(str(options.ledger_seconds), *run)],
        "recovery": ledger_lines("recover") if ledger_runs else [],
    }
    print(report.render(everything))
    if options.json_path:
        options.json_path.write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
