"""Starting a gateway pinned to its core, asking it for a first reply, and stopping it with all its children."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from bench.gateways import KEY, Gateway

CORE_OF_GATEWAY = "0"
CORE_OF_LOAD = "1"
POLL_S = 0.002
SETTLE_S = 0.5
"""Between the first reply and the reading of idle memory."""


class StartError(Exception):
    """A gateway did not answer, or answered what it must not; says where its log is."""


@dataclass
class Running:
    """A gateway that has answered its first request."""

    gateway: Gateway
    process: subprocess.Popen[bytes]
    port: int
    folder: Path
    headers: list[str]
    cold_start_s: float = 0
    idle_pss_mb: float = 0
    idle_rss_mb: float = 0


def spawn(
    command: Sequence[str | Path], core: str, env: Mapping[str, str], folder: Path, nice: int
) -> subprocess.Popen[bytes]:
    """A process in a session of its own, so that it can be stopped with its children. It sees only ``env`` and PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    priority = ["nice", "-n", str(nice)] if nice else []
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [*priority, "taskset", "-c", core, *map(str, command)],
            env=inherited | dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and its children: asked first, then killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(5)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def start(gateway: Gateway, port: int, upstream: str, runs: Path, nice: int) -> Running:
    """Starts it afresh and times its way to the first good reply; raises ``StartError`` when there is none."""
    folder = runs / gateway.name
    shutil.rmtree(folder, ignore_errors=True)
    words = {
        "address": f"127.0.0.1:{port}",
        "port": str(port),
        "upstream": f"http://{upstream}",
        "upstream_address": upstream,
        "folder": str(folder),
    }

    def filled(text: str) -> str:
        return Template(text).substitute(words)

    for name, text in gateway.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(filled(text))
    command: list[str | Path] = [*gateway.interpreter.split(), gateway.program, *map(filled, gateway.arguments)]
    env = {name: filled(value) for name, value in gateway.env.items()}
    began = time.monotonic()
    process = spawn(command, CORE_OF_GATEWAY, env, folder, nice)
    running = Running(gateway, process, port, folder, [filled(header) for header in gateway.headers])
    try:
        headers = await_reply(running, began + gateway.start_timeout_s)
        running.cold_start_s = time.monotonic() - began
        if gateway.books is not None and gateway.books != ("x-gotoai-charge" in headers):
            raise StartError(f"{gateway.name}: money is {'not ' if gateway.books else ''}booked, see {folder}")
    except BaseException:
        stop(process)
        raise
    time.sleep(SETTLE_S)
    running.idle_pss_mb, running.idle_rss_mb = memory_mb(process.pid)
    return running


def await_reply(running: Running, deadline: float) -> dict[str, str]:
    """The headers, in lower case, of the first reply with status 200."""
    last = "no connection"
    while time.monotonic() < deadline and running.process.poll() is None:
        try:
            status, headers, text = ask(running)
        except OSError as error:
            last = str(error)
        else:
            if status == 200:
                return headers
            last = f"status {status}: {text[:200]}"
        time.sleep(POLL_S)
    raise StartError(f"{running.gateway.name}: {last}; its log is {running.folder / 'log'}")


def ask(running: Running) -> tuple[int, dict[str, str], str]:
    """One chat completion: status, headers and body."""
    body = json.dumps({"model": f"{running.gateway.model_prefix}mock", "messages": [{"role": "user", "content": "hi"}]})
    headers = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
    headers |= dict(header.split(": ", 1) for header in running.headers)
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=5)
    try:
        connection.request("POST", "/v1/chat/completions", body, headers)
        response = connection.getresponse()
        received = {name.lower(): value for name, value in response.getheaders()}
        return response.status, received, response.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise OSError(f"not HTTP: {error!r}") from error
    finally:
        connection.close()


def descendants(root: int) -> list[int]:
    """``root`` and every process below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # After the name, which may hold anything: state, then the parent.
                parent = int((entry / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def memory_mb(root: int) -> tuple[float, float]:
    """Proportional and resident memory of the whole tree, in MiB."""
    kib = {"Pss:": 0, "Rss:": 0}
    for pid in descendants(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for words in map(str.split, lines):
            if words[0] in kib:
                kib[words[0]] += int(words[1])
    return kib["Pss:"] / 1024, kib["Rss:"] / 1024


def set_realtime(root: int, *, wanted: bool) -> None:
    """Puts every thread of the tree before (or back among) the machine's other work."""
    policy, priority = (os.SCHED_RR, 1) if wanted else (os.SCHED_OTHER, 0)
    for pid in descendants(root):
        for task in Path(f"/proc/{pid}/task").glob("*"):
            try:
                os.sched_setscheduler(int(task.name), policy, os.sched_param(priority))
            except ProcessLookupError:
                continue
