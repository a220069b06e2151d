"""The ledger as files: what is in them, that the verifier proves them and names whatever was done to them since."""

import contextlib
import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import hypothesis
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, strategies

import gotoai
from gotoai import parquet, verify_export
from gotoai.testing import Twin
from support import MESSAGES, MODEL, Site, settings

Rows = list[dict[str, str]]
ORDERS = 240


@dataclass(frozen=True)
class Books:
    """Exports of one ledger, and the anchors that were written outside."""

    whole: Path
    wallet: Path
    later: Path
    anchors: Path
    key: str


def call(gateway: gotoai.SyncGateway, key: str | None, **members: object) -> int:
    """One chat; its stream, if it is one, is read to its end or to where it breaks."""
    headers = [(b"content-type", b"application/json")]
    if key:
        headers.append((b"authorization", f"Bearer {key}".encode()))
    content = json.dumps({"model": MODEL, "messages": MESSAGES, **members}).encode()
    core = gateway._host.core()  # the way of a caller with a key
    status, _, body = core.call("POST", "/v1/chat/completions", headers, content, trusted=key is None)
    with contextlib.suppress(Exception):
        b"".join(body if not isinstance(body, bytes) else [body])
    return status


def fill(gateway: gotoai.SyncGateway, twin: Twin) -> None:
    """Some hundred orders of two wallets: settled, released, provisional, unpriced."""
    keys: list[str | None] = [None]
    for wallet in ("acme", "zenith"):
        gateway.admin("wallet.create", wallet=wallet, kind="prepaid", credit_limit="1")
        gateway.admin("wallet.topup", wallet=wallet, amount="50", reference=f"invoice-{wallet}", fee="0.8")
        keys.append(gateway.admin("keys.create", name=wallet, wallet=wallet)["secret"])
    # A stream that breaks is settled on an estimate; a request that the provider refuses is given back.
    twin.script(
        {"match": {"model": MODEL}, "cut_after_events": 3, "times": 20},
        {"match": {"model": MODEL}, "status": 400, "times": 20},
    )
    for number in range(20):
        call(gateway, keys[number % 3], stream=True)
    for number in range(20):
        assert call(gateway, keys[number % 3]) == 400
    for _ in range(5):
        assert call(gateway, None, model="twin-small") == 200  # no price: unknown spend on a postpaid wallet

    def work(lane: int) -> None:
        for number in range((ORDERS - 45) // 5):
            assert call(gateway, keys[(lane + number) % 3], max_tokens=16) == 200

    lanes = [threading.Thread(target=work, args=(lane,)) for lane in range(5)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Books:
    folder = tmp_path_factory.mktemp("books")
    twin = Twin()
    env = settings(twin.url, folder, GOTOAI_FEE_PERCENT="5.5")
    anchors = folder / "gotoai.db.anchors.jsonl"
    with gotoai.SyncGateway(env=env) as gateway:
        fill(gateway, twin)
        gateway.admin("ledger.anchor")
        twin.script({"match": {"model": MODEL}, "stall_after_events": 1, "times": 1})
        with gateway.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream:
            next(stream)  # an order that is open while the books are exported
            last = gateway.admin("ledger.export", dir=str(folder / "whole"))["head"]["last_seq"]
            gateway.admin("ledger.export", dir=str(folder / "acme"), wallet="acme")
            gateway.admin("ledger.export", **{"dir": str(folder / "later"), "from": last // 2})
            kept = folder / "kept.jsonl"
            shutil.copy(anchors, kept)
        assert gateway.admin("ledger.verify")["ok"]
    twin.close()
    key = json.loads(kept.read_text().splitlines()[0])["public_key"]
    return Books(folder / "whole", folder / "acme", folder / "later", kept, key)


@pytest.fixture
def copied(books: Books, tmp_path: Path) -> Path:
    return copy(books.whole, tmp_path / "copy")


def copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def verdict(folder: Path, *options: object) -> str:
    """What the verifier says of a folder: a line that begins with OK or with BROKEN."""
    said = io.StringIO()
    arguments = ["verify.py", str(folder), *map(str, options)]
    with patch.object(sys, "argv", arguments), contextlib.redirect_stdout(said):
        try:
            verify_export.main()
        except SystemExit as end:
            return str(end.code)
    return said.getvalue()


def read(folder: Path, table: str) -> Rows:
    with (folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(folder: Path, table: str, rows: Rows) -> None:
    """Puts the rows back, and the manifest in line with them, as a forger would."""
    name = f"{table}.csv"
    heads = (folder / name).read_text("utf-8").splitlines()[0].split(",")
    with (folder / name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, heads, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["files"][name] |= {"sha256": digest, "rows": len(rows)}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def edit(folder: Path, table: str, change: Callable[[Rows], object]) -> None:
    rows = read(folder, table)
    change(rows)
    write(folder, table, rows)


def middle(rows: Rows) -> dict[str, str]:
    return rows[len(rows) // 2]


def money(nano: int) -> str:
    return f"{nano // 10**9}.{nano % 10**9:09}"


def test_an_export_is_proved_and_says_how_far(books: Books) -> None:
    states = {row["state"] for row in read(books.whole, "orders")}
    assert states == {"finalized", "released", "provisional", "unpriced", "reserved"}
    assert len(read(books.whole, "orders")) > ORDERS
    assert verdict(books.whole).startswith("OK complete + anchored: ")
    assert verdict(books.whole, "--anchors", books.anchors, "--key", books.key).startswith("OK complete + anchored: ")
    # As a person runs it: the copy in the folder, without this package.
    script = [sys.executable, "-I", str(books.whole / "verify.py"), str(books.whole)]
    done = subprocess.run(script, capture_output=True, check=False)  # noqa: S603 - our own script
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_verifier_is_short_and_needs_nothing() -> None:
    text = Path(verify_export.__file__).read_text("utf-8")
    assert len(text.splitlines()) <= 200
    assert "gotoai." not in text.split('"""')[2]


def test_nothing_of_a_conversation_is_in_it(books: Books) -> None:
    told = "".join(path.read_text("utf-8") for path in books.whole.iterdir())
    assert "hello to the world" not in told
    assert "You asked" not in told


@pytest.mark.parametrize(
    ("message", "public", "signature"),
    [  # RFC 8032, 7.1
        (
            "",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "af82",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
)
def test_signatures_of_the_standard(message: str, public: str, signature: str) -> None:
    key, said, signed = (bytes.fromhex(text) for text in (public, message, signature))
    assert verify_export.is_signed(key, said, signed)
    assert not verify_export.is_signed(key, said + b"!", signed)
    for at in (0, 31, 32, 63):
        assert not verify_export.is_signed(key, said, signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :])


def test_one_wallet_is_proved_without_the_others(books: Books) -> None:
    assert verdict(books.wallet, "--anchors", books.anchors).startswith("OK proofs only + anchored: ")
    assert {row["wallet"] for row in read(books.wallet, "orders")} == {"acme"}
    told = "".join(
        (books.wallet / f"{table}.csv").read_text() for table in ("journal", "accounts", "wallets", "orders")
    )
    assert "zenith" not in told
    # Of the platform's accounts it names those that its entries touch, and not what they hold.
    amounts = {row["path"]: row["balance"] for row in read(books.wallet, "accounts")}
    assert amounts["wallet:acme:cash"]
    assert amounts["rev:usage"] == ""


def test_a_later_part_is_proved_from_its_openings(books: Books) -> None:
    assert verdict(books.later).startswith("OK complete + anchored: ")
    manifest = json.loads((books.later / "manifest.json").read_text("utf-8"))
    assert 1 < manifest["entries"]["from"] == manifest["entries"]["complete_from"] < manifest["entries"]["last"]


TAMPERED: dict[str, tuple[str, Callable[[Rows], object], str]] = {
    "an amount": (
        "postings",
        lambda rows: middle(rows).update(amount_nano="7", amount="0.000000007"),
        "journal.csv: seq",
    ),
    "an amount's text": ("postings", lambda rows: middle(rows).update(amount="7"), "amount_nano says otherwise"),
    "a time's text": (
        "journal",
        lambda rows: middle(rows).update(ts="2026-01-01T00:00:00.000Z"),
        "ts_ms says otherwise",
    ),
    "swapped sides": (
        "postings",
        lambda rows: middle(rows).update(debit=middle(rows)["credit"], credit=middle(rows)["debit"]),
        "journal.csv: seq",
    ),
    "a posting dropped": ("postings", lambda rows: rows.pop(len(rows) // 2), "seq"),
    "a posting twice": ("postings", lambda rows: rows.append(dict(rows[-1])), "postings.csv: seq"),
    "two balances swapped": (
        "accounts",
        lambda rows: [
            rows[at].update(path=path) for at, path in zip((0, 1), (rows[1]["path"], rows[0]["path"]), strict=True)
        ],
        "accounts.csv: ",
    ),
    "an account dropped": ("accounts", lambda rows: rows.pop(), "accounts.csv: "),
    "a block's time": (
        "blocks",
        lambda rows: middle(rows).update(ts_ms="1", ts="1970-01-01T00:00:00.001Z"),
        "blocks.csv: block",
    ),
    "a block dropped": ("blocks", lambda rows: rows.pop(3), "blocks.csv: block 5"),
    "a wallet's account": ("wallets", lambda rows: rows[0].update(cash=rows[0]["held"]), "wallets.csv: "),
    "a wallet dropped": ("wallets", lambda rows: rows.pop(), "wallets.csv: "),
    "a price": (
        "price_sheets",
        lambda rows: rows[0].update(sheet=rows[0]["sheet"].replace("source", "sauce")),
        "price_sheets.csv: ",
    ),
    "a price dropped": ("price_sheets", lambda rows: rows.clear(), "price_sheets.csv: "),
    "an order dropped": ("orders", lambda rows: rows.pop(7), "orders.csv: "),
    "an order twice": ("orders", lambda rows: rows.append(dict(rows[0])), "orders.csv: "),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_tampering_is_named(copied: Path, what: str) -> None:
    table, change, named = TAMPERED[what]
    edit(copied, table, change)
    said = verdict(copied)
    assert said.startswith("BROKEN ")
    assert named in said


A_FEW = hypothesis.settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@A_FEW
@given(data=strategies.data())
def test_any_changed_entry_is_named_by_its_number(books: Books, tmp_path: Path, data: strategies.DataObject) -> None:
    folder = copy(books.whole, tmp_path / "copy")
    rows = read(folder, "journal")
    at = data.draw(strategies.integers(0, len(rows) - 1))
    column = data.draw(strategies.sampled_from(["kind", "order", "op", "ts", "payload", "leaf"]))
    seq, row = rows[at]["seq"], rows[at]
    match column:
        case "kind":
            row["kind"] = str(int(row["kind"]) ^ 64)
        case "ts":
            row["ts_ms"] = str(int(row["ts_ms"]) + 1000)
            row["ts"] = row["ts"].replace(row["ts"][17:19], f"{(int(row['ts'][17:19]) + 1) % 60:02}")
        case "payload":
            row["payload"] = row["payload"].replace(":", ": ", 1)
        case "leaf":
            row["leaf"] = "00" + row["leaf"][2:] if row["leaf"][:2] != "00" else "11" + row["leaf"][2:]
        case _:
            row[column] = f"{column[:3]}_{'5' * 32}"
    write(folder, "journal", rows)
    assert f"BROKEN journal.csv: seq {seq}:" in verdict(folder)


@A_FEW
@given(data=strategies.data())
def test_a_dropped_a_moved_and_an_inserted_entry_are_named(
    books: Books, tmp_path: Path, data: strategies.DataObject
) -> None:
    folder = copy(books.whole, tmp_path / "copy")
    rows = read(folder, "journal")
    at = data.draw(strategies.integers(0, len(rows) - 2))
    how = data.draw(strategies.sampled_from(["drop", "swap", "twice", "renumber"]))
    if how == "drop":
        del rows[at]
    elif how == "swap":
        rows[at], rows[at + 1] = rows[at + 1], rows[at]
    elif how == "twice":
        rows.insert(at, dict(rows[at]))
    else:
        del rows[at]
        for row in rows[at:]:
            row["seq"] = str(int(row["seq"]) - 1)
    write(folder, "journal", rows)
    said = verdict(folder)
    named = at + 2 if how == "twice" else at + 1
    # Behind a gap the postings of the next entries stand beside another number: either file tells the place.
    assert f"journal.csv: seq {named}:" in said or f"postings.csv: seq {named}:" in said, said


@A_FEW
@given(data=strategies.data())
def test_any_changed_order_is_named(books: Books, tmp_path: Path, data: strategies.DataObject) -> None:
    folder = copy(books.whole, tmp_path / "copy")
    rows = read(folder, "orders")
    row = data.draw(strategies.sampled_from(rows))
    column = data.draw(strategies.sampled_from([name for name in row if not name.endswith(("_ms", "_nano", "order"))]))
    if f"{column}_nano" in row:
        row[f"{column}_nano"] = str(int(row[f"{column}_nano"] or 0) + 1)
        row[column] = money(int(row[f"{column}_nano"]))
    elif f"{column}_ms" in row:
        row[f"{column}_ms"], row[column] = "1000", "1970-01-01T00:00:01.000Z"
    else:
        row[column] = "7" if column.endswith("_seq") else "other"
    write(folder, "orders", rows)
    assert f"BROKEN orders.csv: {row['order']}" in verdict(folder)


def test_an_edited_balance_is_named(copied: Path) -> None:
    def more(rows: Rows) -> None:
        row = next(row for row in rows if row["path"] == "wallet:acme:cash")
        for name in ("credits", "balance"):
            row[f"{name}_nano"] = str(int(row[f"{name}_nano"]) + 10**9)
            row[name] = money(int(row[f"{name}_nano"]))

    edit(copied, "accounts", more)
    assert "BROKEN accounts.csv: wallet:acme:cash: " in verdict(copied)


def test_an_edited_manifest_is_named(copied: Path) -> None:
    path = copied / "manifest.json"
    text = path.read_text("utf-8")
    manifest = json.loads(text)
    changes: list[tuple[Callable[[Any], object], str]] = [
        (lambda m: m["head"].update(block=1), "manifest.json: head"),
        (lambda m: m["entries"].update(last=1), "manifest.json: head"),
        (lambda m: m["files"]["journal.csv"].update(sha256="00"), "journal.csv: all"),
        (lambda m: m["files"]["orders.csv"].update(rows=1), "orders.csv: all"),
        (lambda m: m["anchors"][-1].update(last_seq=1), "manifest.json: anchor"),
        (lambda m: m["anchors"].pop(0), "OK complete + anchored"),
    ]
    for change, named in changes:
        edited = json.loads(text)
        change(edited)
        path.write_text(json.dumps(edited), "utf-8")
        assert named in verdict(copied)
    path.write_text(json.dumps({**manifest, "anchors": []}), "utf-8")
    assert verdict(copied).startswith("OK complete: ")
    path.unlink()
    path.write_text("{", "utf-8")
    assert "BROKEN manifest.json: " in verdict(copied)


def test_what_the_manifest_claims_does_not_hide_rows_that_are_gone(copied: Path) -> None:
    """Without a full range there are only proofs, and the verifier says so; openings begin at nothing."""
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["entries"]["complete_from"] = manifest["entries"]["last"] + 1
    path.write_text(json.dumps(manifest), "utf-8")
    assert "OK complete" not in verdict(copied)

    def shift(rows: Rows) -> None:
        for row, side in zip(rows[:2], ("debits", "credits"), strict=True):
            for name in (f"opening_{side}", side):
                row[f"{name}_nano"] = str(int(row[f"{name}_nano"]) + 10**9)
                row[name] = money(int(row[f"{name}_nano"]))
            balance = int(row["credits_nano"]) - int(row["debits_nano"])
            row["balance_nano"], row["balance"] = str(balance), f"{balance / 10**9:.9f}"

    manifest["entries"]["complete_from"] = 1
    path.write_text(json.dumps(manifest), "utf-8")
    edit(copied, "accounts", shift)
    assert "BROKEN accounts.csv: " in verdict(copied)


def test_an_anchor_without_a_signature_is_not_carried_by_the_next(copied: Path) -> None:
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    head, genuine = manifest["head"], manifest["anchors"][0]
    for number in (0, genuine["n"] - 1):
        forged = {**genuine, "n": number, "block": head["block"], "head": head["hash"], "last_seq": head["last_seq"]}
        path.write_text(json.dumps({**manifest, "anchors": [forged, *manifest["anchors"]]}), "utf-8")
        assert "BROKEN manifest.json: anchor" in verdict(copied)


def cut(folder: Path, blocks: int) -> None:
    """Takes the last blocks away, and everything that would tell: entries, postings, orders, what accounts had."""
    kept = read(folder, "blocks")[:-blocks]
    last = int(kept[-1]["last_seq"])
    write(folder, "blocks", kept)
    for table in ("journal", "postings"):
        edit(folder, table, lambda rows: keep(rows, lambda row: int(row["seq"]) <= last))
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["head"] = {"block": len(kept), "hash": kept[-1]["hash"], "last_seq": last}
    manifest["entries"]["last"] = last
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def keep(rows: Rows, wanted: Callable[[dict[str, str]], bool]) -> None:
    rows[:] = [row for row in rows if wanted(row)]


def test_a_cut_tail_is_named(copied: Path) -> None:
    rows = read(copied, "journal")
    write(copied, "journal", rows[:-1])
    assert f"journal.csv: seq {rows[-1]['seq']}: missing" in verdict(copied)
    write(copied, "journal", rows)
    cut(copied, 3)
    assert "anchored, and missing: cut off" in verdict(copied)
    manifest = json.loads((copied / "manifest.json").read_text("utf-8"))
    (copied / "manifest.json").write_text(json.dumps({**manifest, "anchors": []}), "utf-8")
    assert verdict(copied).startswith("BROKEN accounts.csv: ")


def reseal(folder: Path) -> None:
    """Computes every leaf, root and hash anew, as whoever owns the program can."""
    lines: dict[str, Rows] = {}
    for line in read(folder, "postings"):
        lines.setdefault(line["seq"], []).append(line)
    leaves: dict[int, bytes] = {}
    rows = read(folder, "journal")
    sha, i64 = verify_export.sha, verify_export.i64
    for row in rows:
        own = lines.get(row["seq"], [])
        ids = [b"\1" + bytes.fromhex(one.split("_")[1]) if one else bytes(17) for one in (row["order"], row["op"])]
        moves = [i64(p["debit"], p["credit"], p["amount_nano"]) + bytes([int(p["code"])]) for p in own]
        head = b"\0\1" + i64(row["seq"]) + bytes([int(row["kind"])]) + i64(row["ts_ms"])
        leaves[int(row["seq"])] = sha(head, *ids, bytes([len(own)]), *moves, sha(row["payload"].encode()))
        row["leaf"] = leaves[int(row["seq"])].hex()
    write(folder, "journal", rows)
    blocks, prev = read(folder, "blocks"), bytes(32)
    for block in blocks:
        first, last = int(block["first_seq"]), int(block["last_seq"])
        root = verify_export.root([leaves[seq] for seq in range(first, last + 1)])
        block.update(prev=prev.hex(), root=root.hex())
        prev = sha(b"\2", prev, root, i64(block["n"], first, last, block["ts_ms"]))
        block["hash"] = prev.hex()
    write(folder, "blocks", blocks)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    manifest["head"]["hash"] = prev.hex()
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


def signed_by_another(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """An anchor of the forged head, by the forger's own key (RFC 8032, 5.1.5 and 5.1.6)."""
    v = verify_export
    digest = hashlib.sha512(b"forger").digest()
    secret = int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)

    def packed(point: tuple[int, int]) -> bytes:
        return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")

    public = packed(v.times(secret, v.BASE))
    head = manifest["head"]
    message = (
        b"\3\1" + v.i64(1, head["block"], head["last_seq"], 0) + bytes.fromhex(head["hash"]) + bytes(32) + v.sha(public)
    )
    r = int.from_bytes(hashlib.sha512(digest[32:] + message).digest(), "little") % v.L
    at = packed(v.times(r, v.BASE))
    h = int.from_bytes(hashlib.sha512(at + public + message).digest(), "little")
    signature = at + ((r + h * secret) % v.L).to_bytes(32, "little")
    named = {"public_key": public.hex(), "signature": signature.hex(), "prev": "00" * 32, "ts": "", "ts_ms": 0, "n": 1}
    return [{**named, "block": head["block"], "head": head["hash"], "last_seq": head["last_seq"]}]


def test_a_history_written_anew_is_caught_by_anchors_only(books: Books, copied: Path) -> None:
    def cheaper(rows: Rows) -> None:
        row = next(row for row in rows if "invoice-" in row["payload"])
        row["payload"] = row["payload"].replace("invoice-", "present-")

    edit(copied, "journal", cheaper)
    reseal(copied)
    assert "rewritten" in verdict(copied)
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**manifest, "anchors": []}), "utf-8")
    assert verdict(copied).startswith("OK complete: "), "nothing inside tells; nor does it say that it is anchored"
    assert "rewritten" in verdict(copied, "--anchors", books.anchors)
    assert "manifest.json: anchors: " in verdict(copied, "--key", books.key)
    path.write_text(json.dumps({**manifest, "anchors": signed_by_another(manifest)}), "utf-8")
    assert verdict(copied).startswith("OK complete + anchored: "), "a key that nobody vouches for"
    assert "another key" in verdict(copied, "--key", books.key)
    assert "another key" in verdict(copied, "--anchors", books.anchors)


def test_a_wallets_rows_are_bound_to_the_chain(books: Books, tmp_path: Path) -> None:
    rows = read(books.wallet, "journal")
    for alone in (False, True):  # who is sealed alone has no sibling: one that is put in must not be passed over
        row = next(row for row in rows if alone is not bool(row["proof"]))
        forged = {**row, "proof": " ".join(["00" * 32] * (len(row["proof"].split()) or 1))}
        folder = copy(books.wallet, tmp_path / "copy")
        write(folder, "journal", [forged if one is row else one for one in rows])
        assert f"seq {row['seq']}: its proof does not lead to the root" in verdict(folder)
    folder = copy(books.wallet, tmp_path / "copy")
    dropped = {row["seq"] for row in read(folder, "journal") if '"reference"' in row["payload"]}
    for table in ("journal", "postings"):
        edit(folder, table, lambda rows: keep(rows, lambda row: row["seq"] not in dropped))
    assert "BROKEN accounts.csv: wallet:acme:cash: " in verdict(folder), "a top-up that was left out"


def test_parquet_has_types_and_is_proved_too(books: Books, tmp_path: Path) -> None:
    parquet.convert(books.whole, tmp_path / "parquet")
    assert verdict(tmp_path / "parquet").startswith("OK complete + anchored: ")
    schema = pyarrow.parquet.read_schema(tmp_path / "parquet" / "postings.parquet")
    assert (str(schema.field("amount").type), str(schema.field("amount_nano").type)) == ("decimal128(19, 9)", "int64")
    assert (
        str(pyarrow.parquet.read_schema(tmp_path / "parquet" / "journal.parquet").field("ts").type)
        == "timestamp[ms, tz=UTC]"
    )
    with pytest.raises(gotoai.errors.InvalidRequestError, match="not empty"):
        parquet.convert(books.whole, tmp_path / "parquet")
    parquet.convert(books.wallet, tmp_path / "wallet")
    assert verdict(tmp_path / "wallet").startswith("OK proofs only + anchored: ")


def test_without_pyarrow_parquet_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(gotoai.errors.ConfigurationError, match=r"pip install 'gotoai\[parquet\]'"):
        parquet.require()


def test_the_command_line_exports_and_anchors(site: Site, gateway: gotoai.SyncGateway, tmp_path: Path) -> None:
    gateway.chat.completions.create(model=MODEL, messages=MESSAGES)
    made = site.run("ledger", "anchor")
    assert made["n"] >= 1, "made now, or by the gateway a moment ago"
    assert not site.run("ledger", "anchor")["made"]
    key = Path(f"{made['file'].removesuffix('.anchors.jsonl')}.ledger.key")
    assert key.stat().st_mode & 0o777 == 0o600
    out = tmp_path / "out"
    done = site.run("ledger", "export", str(out))
    assert done["anchored_to"] == done["head"]["last_seq"]
    assert verdict(out, "--anchors", made["file"], "--key", made["key_id"]).startswith("OK complete + anchored: ")
    site.run("ledger", "export", str(tmp_path / "tables"), "--format", "parquet", "--wallet", "default")
    assert verdict(tmp_path / "tables").startswith("OK proofs only + anchored: ")
    assert not list(tmp_path.glob(".*partial*")), "nothing is left beside it"
    for again, why in (({"dir": str(out)}, "not empty"), ({"dir": str(tmp_path / "n"), "wallet": "none"}, "no wallet")):
        with pytest.raises(gotoai.GatewayError, match=why):
            gateway.admin("ledger.export", **again)
    with pytest.raises(gotoai.GatewayError, match="the ledger ends with entry"):
        gateway.admin("ledger.export", **{"dir": str(tmp_path / "n"), "from": 10**9})
    assert not (tmp_path / "n").exists()


def test_a_ledger_that_lost_its_key_gets_no_second_one_in_silence(site: Site, tmp_path: Path) -> None:
    with gotoai.SyncGateway(env=site.env) as gateway:
        gateway.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert (tmp_path / "gotoai.db.anchors.jsonl").read_text().count("\n") >= 1, "anchored at its close"
    (tmp_path / "gotoai.db.ledger.key").unlink()
    with gotoai.SyncGateway(env={**site.env, "GOTOAI_ANCHOR_MINUTES": "0"}) as gateway:
        gateway.chat.completions.create(model=MODEL, messages=MESSAGES)
        with pytest.raises(gotoai.GatewayError, match=r"set ledger\.anchor_key"):
            gateway.admin("ledger.anchor")
        assert gateway.admin("ledger.verify")["ok"]
    assert not (tmp_path / "gotoai.db.ledger.key").exists()


def test_a_file_outside_that_is_ahead_is_a_finding(site: Site, tmp_path: Path) -> None:
    """An older copy of the database, put back."""
    with gotoai.SyncGateway(env=site.env) as gateway:
        gateway.chat.completions.create(model=MODEL, messages=MESSAGES)
    shutil.copy(tmp_path / "gotoai.db", tmp_path / "older.db")
    with gotoai.SyncGateway(env=site.env) as gateway:
        gateway.chat.completions.create(model=MODEL, messages=MESSAGES)
    shutil.copy(tmp_path / "older.db", tmp_path / "gotoai.db")
    with gotoai.SyncGateway(env={**site.env, "GOTOAI_ANCHOR_MINUTES": "0"}) as gateway:
        proof = gateway.admin("ledger.verify")
        findings = [finding["detail"] for check in proof["checks"] for finding in check["findings"]]
        assert findings
        assert all("in the anchor file" in finding for finding in findings), findings
        with pytest.raises(gotoai.GatewayError, match="cut or replaced"):
            gateway.admin("ledger.anchor")
