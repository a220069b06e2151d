"""The power fails at a random write, again and again: whatever was acknowledged is there at the next start.

The gateway runs on a disk that forgets what was not synced (``tests/disk/powercut.c``, a file layer preloaded into it).
``POWER_CUT_SECONDS`` makes the run longer, ``POWER_CUT_SEED`` repeats one.
"""

import json
import math
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

import gotoai
from gotoai.testing import Twin
from support import AUTHORIZED, CHAT, Books, Child, eventually, settings

DISK = Path(__file__).parents[1] / "disk"
SECONDS = float(os.environ.get("POWER_CUT_SECONDS", "45"))
SEED = int(os.environ.get("POWER_CUT_SEED", str(random.SystemRandom().randrange(10**9))))
POWER_FAILED = 137
# A long work may come to no cut, because its files do not change so often: it is closed after so many answers.
ANSWERS_MAX = 600
REFUSED_WITHIN = 4000


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file layer, compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("the disk that forgets is a preloaded library: it needs Linux and a C compiler")
    library = tmp_path_factory.mktemp("powercut") / "powercut.so"
    argv = [compiler, "-shared", "-fPIC", "-O2", "-pthread", "-o", str(library), str(DISK / "powercut.c")]
    subprocess.run(argv, check=True)  # noqa: S603 - the compiler found above
    return library


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    twin = Twin()
    yield twin
    twin.close()


@dataclass
class Disk:
    """A folder on a disk that may fail."""

    shim: Path
    folder: Path

    def failing(self, **how: object) -> dict[str, str]:
        variables = {f"POWERCUT_{name.upper()}": str(value) for name, value in how.items()}
        return {"LD_PRELOAD": str(self.shim), "POWERCUT_DIR": str(self.folder), **variables}


@dataclass
class Told:
    """What callers were told before the power failed."""

    runs: int = 0
    charges: dict[str, str] = field(default_factory=dict)
    # Answered without a charge: streams, and what was served when the ledger could not book it.
    uncharged: set[str] = field(default_factory=set)
    topups: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        if not line.endswith("\n"):
            return  # cut in the middle
        kind, *words = line.rstrip("\n").split(" ", 2)
        match kind:
            case "order":
                self.charges[words[0]] = words[1]
            case "stream":
                self.uncharged.add(words[0])
            case "topup":
                self.topups.add(words[0])
            case _:
                self.refused.append(line)

    def hear_reply(self, reply: httpx.Response) -> None:
        order = reply.headers["x-gotoai-order"]
        if charge := reply.headers.get("x-gotoai-charge"):
            self.charges[order] = charge
        else:
            self.uncharged.add(order)

    def count(self) -> int:
        return len(self.charges) + len(self.uncharged) + len(self.topups)


def work_until_the_power_fails(env: Mapping[str, str], told: Told, closes_after: int = ANSWERS_MAX) -> None:
    """The gateway with its callers in a process of its own; after so many answers it is closed in good order."""
    argv = [sys.executable, str(DISK / "payer.py"), f"run{told.runs}", json.dumps(CHAT)]
    told.runs += 1
    before = told.count()
    with subprocess.Popen(  # noqa: S603 - our own script
        argv, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            told.hear(line)
            if told.count() - before >= closes_after and not process.stdin.closed:
                process.stdin.close()
        said = process.stderr.read()
    assert process.returncode == POWER_FAILED, said
    assert told.refused == [], said


def what_is_lost(env: Mapping[str, str], told: Told) -> list[str]:
    """Starts as after any crash, on a disk that works: names what was told and is not so."""
    lost = []
    with gotoai.SyncGateway(env=env) as gateway:
        assert sum(wallet["open_orders"] for wallet in gateway.admin("wallet.list")["wallets"]) == 0
        proof = gateway.admin("ledger.verify")
        assert proof["ok"], proof
        for order in (*told.charges, *told.uncharged):
            try:
                booked = gateway.admin("ledger.order", id=order)
            except gotoai.errors.NotFoundError:
                # Hybrid: a hold survives the process only; it is with the settlement that the order is safe.
                if order in told.charges or env["GOTOAI_DURABILITY"] != "hybrid":
                    lost.append(order)
                continue
            # What was not charged may have been cut before it was settled.
            states = {"finalized"} if order in told.charges else {"finalized", "released"}
            if booked["state"] not in states or booked["charge"] != told.charges.get(order, booked["charge"]):
                lost.append(f"{order}: {booked['state']} at {booked['charge']}, not {told.charges.get(order)}")
        gateway.admin("wallet.create", wallet="shop", kind="prepaid")  # again: it may be what was lost
        for reference in told.topups:
            # Known already: the same fact is booked once.
            again = gateway.admin("wallet.topup", wallet="shop", amount="0.25", reference=reference)
            if not again["duplicate"]:
                lost.append(f"top-up {reference}")
    return lost


def moment(rng: random.Random) -> dict[str, object]:
    """When the power fails: while the file is made, at the start, under load, at a checkpoint, while it closes."""
    at, of = rng.choice([(4.0, ""), (7.0, ""), (8.5, ""), (6.0, "-wal"), (4.5, "gotoai.db")])
    return {"at": round(math.exp(rng.uniform(0, at))), "file": of, "seed": rng.randrange(2**32)}


def power_cuts(disk: Disk, env: Mapping[str, str], keeps: tuple[str, ...], seconds: float, seed: int) -> int:
    """Lives of ledgers in which the power fails again and again. How many answers were kept through it."""
    deadline, number, answers = time.monotonic() + seconds, 0, 0
    while number < 4 or time.monotonic() < deadline:
        rng = random.Random(f"{seed}-{number}")  # noqa: S311 - no secret
        number += 1
        own = Disk(disk.shim, disk.folder / str(number))
        own.folder.mkdir()
        files, told = {**env, "GOTOAI_DATA_DIR": str(own.folder)}, Told()
        history = []
        for _ in range(rng.randint(1, 3)):
            how = {**moment(rng), "keep": rng.choice(keeps)}
            history.append(how)
            work_until_the_power_fails({**files, **own.failing(**how)}, told, rng.randint(1, ANSWERS_MAX))
        lost = what_is_lost(files, told)
        assert not lost, f"POWER_CUT_SEED={seed}, life {number}, {history}: of {told.count()} answers lost {lost[:5]}"
        answers += told.count()
        shutil.rmtree(own.folder)
    return answers


@pytest.fixture
def disk(shim: Path, tmp_path: Path) -> Disk:
    return Disk(shim, tmp_path.resolve())


def gateway_on(disk: Disk, twin: Twin, durability: str) -> dict[str, str]:
    home = {"PATH": os.environ["PATH"]}
    return {**home, **settings(twin.url, disk.folder), "GOTOAI_DURABILITY": durability}


WRITES = """
import os
os.chdir(os.environ["POWERCUT_DIR"])
def write(name, byte, flags=os.O_RDWR):
    file = os.open(name, flags)
    os.write(file, byte * 65536)
    return file
os.fsync(write("kept", b"a", os.O_RDWR | os.O_CREAT))
os.fsync(os.open(".", os.O_RDONLY))
write("kept", b"b")
os.fsync(write("new", b"c", os.O_RDWR | os.O_CREAT))
"""


@pytest.mark.parametrize("keep", ["none", "some", "all"])
def test_the_disk_forgets_what_it_is_told_to(disk: Disk, keep: str) -> None:
    env = {"PATH": os.environ["PATH"], **disk.failing(keep=keep, seed=1)}
    done = subprocess.run([sys.executable, "-c", WRITES], env=env, capture_output=True, check=False)  # noqa: S603
    assert done.returncode == POWER_FAILED, done.stderr
    kept = (disk.folder / "kept").read_bytes()
    sectors = {kept[at : at + 512] for at in range(0, 65536, 512)}
    a, b = b"a" * 512, b"b" * 512
    assert sectors == {"none": {a}, "some": {a, b}, "all": {b}}[keep]
    # Its content was synced, its name was not.
    if keep != "some":
        assert (disk.folder / "new").exists() == (keep == "all")


@pytest.mark.parametrize(
    ("durability", "keeps", "share"),
    [("strict", ("none", "some", "some"), 0.6), ("hybrid", ("none", "some"), 0.25), ("relaxed", ("all",), 0.15)],
    ids=["strict, power", "hybrid, power", "relaxed, process death"],
)
def test_nothing_that_was_acknowledged_is_lost(
    disk: Disk, twin: Twin, durability: str, keeps: tuple[str, ...], share: float
) -> None:
    assert power_cuts(disk, gateway_on(disk, twin, durability), keeps, SECONDS * share, SEED) > 0


def test_on_this_disk_relaxed_durability_does_lose_orders(disk: Disk, twin: Twin) -> None:
    """Otherwise the tests above could not fail."""
    env, told = gateway_on(disk, twin, "relaxed"), Told()
    work_until_the_power_fails({**env, **disk.failing(at=1500, keep="none")}, told)
    # Not all: what other connections commit (anchors, findings) is synced with all that lies before it.
    assert len(what_is_lost(env, told)) > 0


def call_until_it_is_refused(url: str, told: Told) -> None:
    with httpx.Client(base_url=url, headers=AUTHORIZED, timeout=30) as client:
        while (reply := client.post("/v1/chat/completions", json=CHAT)).status_code == 200:
            assert told.count() < REFUSED_WITHIN, "the disk has failed and nobody noticed"
            told.hear_reply(reply)
        told.refused.append(f"{reply.status_code} {reply.json()['error']['message']}")


def callers_until_refused(url: str, told: Told, count: int = 8) -> None:
    callers = [threading.Thread(target=call_until_it_is_refused, args=(url, told)) for _ in range(count)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


def is_ready(url: str) -> bool:
    return httpx.get(f"{url}/health/ready").status_code == 200


def not_ready(url: str) -> str:
    """Why it says that it does not serve."""
    reply = httpx.get(f"{url}/health/ready")
    assert reply.status_code == 503, reply.text
    return reply.text


@pytest.mark.parametrize(
    ("failure", "file", "earliest"),
    [("sync_fails", "-wal", 30), ("write_fails", "-wal", 500), ("sync_fails", "gotoai.db", 1)],
    ids=["sync", "write", "sync of a checkpoint"],
)
@pytest.mark.parametrize("durability", ["strict", "hybrid"])
def test_a_disk_that_reports_an_error_stops_the_ledger_and_says_so(
    disk: Disk, twin: Twin, durability: str, failure: str, file: str, earliest: int
) -> None:
    """After a failed sync of a file this disk keeps nothing more of it: whoever went on would lose it all."""
    rng, env, told = random.Random(SEED), gateway_on(disk, twin, durability), Told()  # noqa: S311 - no secret
    Books(env).close()  # makes the file: what happens to it now are checkpoints
    how: dict[str, object] = {failure: rng.randint(earliest, 2 * earliest - 1), "file": file}
    with Child.native({**env, **disk.failing(**how)}) as server:
        callers_until_refused(server.url, told)
        assert {refused.split(" ", 1)[0] for refused in told.refused} == {"503"}
        assert all("the disk reported an I/O error" in refused for refused in told.refused), told.refused
        assert "the disk reported an I/O error" in not_ready(server.url)
        assert "ledger: stopped; restart after the disk has been checked" in server.errors()
        again = httpx.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=AUTHORIZED)
        assert again.status_code == 503
    assert len(told.charges) > 0
    assert what_is_lost(env, told) == []


def test_a_full_disk_is_reported_and_serving_resumes_when_there_is_room(
    disk: Disk, twin: Twin, tmp_path_factory: pytest.TempPathFactory
) -> None:
    env, told = gateway_on(disk, twin, "strict"), Told()
    room = tmp_path_factory.mktemp("room") / "room"
    with Child.native({**env, **disk.failing(full_after=2_000_000, room=room)}) as server:
        callers_until_refused(server.url, told)
        full, told.refused = told.refused, []
        assert all(refused.startswith("503 ") and "the disk is full" in refused for refused in full), full
        assert "the disk is full" in not_ready(server.url)
        room.touch()
        eventually(partial(is_ready, server.url))
        reply = httpx.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=AUTHORIZED)
        assert reply.status_code == 200, reply.text
        told.hear_reply(reply)
        books = Books(env)
        try:
            # What was used while there was no room is booked now.
            eventually(lambda: books.open_orders() == 0)
        finally:
            books.close()
    assert what_is_lost(env, told) == []


def test_a_full_disk_that_nobody_writes_to_is_found_to_have_room_again(
    disk: Disk, twin: Twin, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whoever is not ready gets no calls: it must not need one to notice that it could serve."""
    room = tmp_path_factory.mktemp("room") / "room"
    for size in range(300_000, 400_000, 5_000):
        told, own = Told(), Disk(disk.shim, disk.folder / str(size))
        own.folder.mkdir()
        with Child.native({**gateway_on(own, twin, "strict"), **own.failing(full_after=size, room=room)}) as server:
            callers_until_refused(server.url, told, 1)
            if told.uncharged:
                continue  # a settlement was what did not fit, and that is tried again in any case
            assert "the disk is full" in not_ready(server.url)
            room.touch()
            eventually(partial(is_ready, server.url))
        return
    pytest.fail("no reserve was the first that did not fit")
