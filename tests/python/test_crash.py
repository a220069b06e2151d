"""`kill -9` during the start. What it does to calls under way is shown in `pitfalls`."""

from pathlib import Path

import httpx

from support import Child, Site, eventually


def test_killed_while_it_starts_it_starts_the_next_time(site: Site, tmp_path: Path) -> None:
    """As soon as it has touched the store: in a migration, in the recovery, in between."""
    for _ in range(5):
        kill_at_the_first_write(site, tmp_path)
    with Child.native(site.env) as server:
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert site.run("ledger", "verify")["ok"]


def kill_at_the_first_write(site: Site, directory: Path) -> None:
    def touched() -> list[int]:
        watched = (directory, directory / "gotoai.db", directory / "gotoai.db-wal")
        return [path.stat().st_mtime_ns for path in watched if path.exists()]

    before = touched()
    starting = Child.spawn(site.env)
    eventually(lambda: touched() != before)
    starting.kill()
