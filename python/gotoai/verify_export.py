"""Proves an export of a gotoai ledger: ``python verify.py DIR [--anchors FILE] [--key HEX]``. Needs Python 3.11 only.
Hashes every entry again up to the signed heads, compares balances, holds and orders with the entries, and names the
first row that does not agree (exit 1). FILE holds anchors kept elsewhere, HEX is the public key or its id: without one
of them, whoever wrote the export may have written all of it anew. Memory: about 1 KB an order.
"""
import argparse, collections.abc, csv, datetime, decimal, hashlib, heapq, json, pathlib, typing

Row = dict[str, typing.Any]
Map = collections.defaultdict[typing.Any, typing.Any]
P, L, D = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493, -121665 * pow(121666, -1, 2**255 - 19)
FACTS = ("wallet", "key", "user_path", "operation", "model", "provider", "endpoint", "finish", "state")
COSTS = ("usage_source", "cost_source", "charge_nano", "pass_through_nano", "fee_nano", "cost_nano")
def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
def i64(*numbers: int | str) -> bytes:
    return b"".join(int(n).to_bytes(8, "big", signed=True) for n in numbers)
def add(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:  # Ed25519: RFC 8032, 5.1
    a, b, t = p[0] * q[1] + q[0] * p[1], p[1] * q[1] + p[0] * q[0], D * p[0] * q[0] * p[1] * q[1]
    return a * pow(1 + t, -1, P) % P, b * pow(1 - t, -1, P) % P
def times(s: int, p: tuple[int, int]) -> tuple[int, int]:
    q = times(s // 2, add(p, p)) if s else (0, 1)
    return add(q, p) if s % 2 else q
def point(data: bytes) -> tuple[int, int] | None:
    y, sign = int.from_bytes(data, "little") % 2**255, data[31] >> 7
    xx = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(xx, (P + 3) // 8, P)
    x = x if x * x % P == xx else x * pow(2, P // 4, P) % P
    return None if x * x % P != xx or y >= P or (x == 0 and sign) else (x if x % 2 == sign else P - x, y)
BASE = point(b"\x58" + b"\x66" * 31) or (0, 0)
def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    a, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    return bool(a and r and s < L and times(s, BASE) == add(r, times(h, a)))
def root(leaves: list[bytes]) -> bytes:
    while len(leaves) > 1:
        leaves = [sha(b"\1", *leaves[i : i + 2]) if leaves[i + 1 :] else leaves[i] for i in range(0, len(leaves), 2)]
    return leaves[0]
def walk(leaf: bytes, path: list[str], index: int, count: int) -> bytes:
    while count > 1:
        if index % 2 or index + 1 < count:
            leaf = sha(b"\1", *(bytes.fromhex(path.pop(0)), leaf)[:: 1 if index % 2 else -1])
        index, count = index // 2, (count + 1) // 2
    return b"" if path else leaf

class Export:
    at = ""  # what is read at the moment
    def __init__(self, folder: pathlib.Path) -> None:
        Export.at, self.folder, self.anchored = "manifest.json", folder, 0
        self.manifest: Row = json.loads((folder / "manifest.json").read_text("utf-8"))
        self.start, self.whole = self.manifest["entries"]["from"], self.manifest["entries"]["complete_from"]
        self.read, self.heads, self.sums, self.told = Map(int), Map(list), Map(int), Map(dict)
        self.prices, self.paths = {""}, dict[str, str]()

    def need(self, right: object, table: str, row: object, why: str) -> None:
        if not right:
            name = next((name for name in self.manifest["files"] if name.split(".")[0] == table), table)
            raise SystemExit(f"BROKEN {name}: {row}: {why}")
    def lines(self, table: str) -> collections.abc.Iterator[Row]:
        if f"{table}.csv" in self.manifest["files"]:
            with (self.folder / f"{table}.csv").open(encoding="utf-8", newline="") as file:
                yield from csv.DictReader(file, strict=True)
        else:
            import pyarrow.parquet
            for batch in pyarrow.parquet.ParquetFile(self.folder / f"{table}.parquet").iter_batches(10_000):
                yield from ({k: "" if v is None else str(v) for k, v in row.items()} for row in batch.to_pylist())

    def rows(self, table: str) -> collections.abc.Iterator[Row]:
        for row in self.lines(table):
            name = f"seq {row['seq']}" if "seq" in row else next(iter(row.values()))
            Export.at, self.read[table] = f"{table}: {name}", self.read[table] + 1
            for column, exact in row.items():
                text, unit = row.get(column.rpartition("_")[0], ""), column.rpartition("_")[2]
                if unit in {"nano", "ms"} and text + exact:
                    ms = round(datetime.datetime.fromisoformat(text).timestamp() * 1000) if unit == "ms" else 0
                    said = ms if unit == "ms" else decimal.Decimal(text) * 10**9
                    self.need(said == int(exact), table, name, f"{column} says otherwise")
            yield row

    def anchors(self, anchors: list[Row], where: str, keys: list[str]) -> None:
        last: tuple[int, bytes] | None = None
        for a, after in zip(anchors, [*anchors, {}][1:], strict=True):
            public, head, prev, signature = (bytes.fromhex(a[k]) for k in ("public_key", "head", "prev", "signature"))
            message = b"\3\1" + i64(a["n"], a["block"], a["last_seq"], a["ts_ms"]) + head + prev + sha(public)
            follows = last is None or (a["n"], prev) == (last[0] + 1, last[1])
            last, ours = (a["n"], sha(message, signature)), not keys or {a["public_key"], sha(public).hex()} & {*keys}
            # Each anchor seals the one before it, so that the last signature of a key speaks for all of them.
            sealed = after.get("public_key") == a["public_key"] or is_signed(public, message, signature)
            self.need(follows and sealed and ours, where, f"anchor {a['n']}", "changed, not next, or of another key")
            self.heads[a["block"]].append({**a, "name": f"anchor {a['n']} of {where}"})

    def chain(self) -> None:
        sources = (("postings", "seq", 0), ("journal", "seq", 1), ("blocks", "last_seq", 2))
        streams = (((int(r[k]), i, r) for k, i, t in [(key, n, self.rows(of))] for r in t) for of, key, n in sources)
        n, first, last, prev, lines, entries = 0, 1, 0, bytes(32), list[Row](), dict[int, tuple[bytes, str]]()
        for seq, rank, row in heapq.merge(*streams, key=lambda item: item[:2]):
            if rank == 0:
                lines.append(row)
            elif rank == 1:
                due = last + 1 if seq < self.whole else max(last + 1, self.whole)
                self.need(seq == due or due < seq < self.whole, "journal", f"seq {due}", f"missing: {seq} stands there")
                entries[seq], last, lines = (self.entry(seq, row, lines), row["proof"]), seq, []
            else:
                n, at, sealed = n + 1, f"block {row['n']}", bytes.fromhex(row["root"])
                linked = (int(row["n"]), int(row["first_seq"]), row["prev"]) == (n, first, prev.hex())
                prev = sha(b"\2", prev, sealed, i64(n, first, seq, row["ts_ms"]))
                self.need(linked and prev.hex() == row["hash"], "blocks", at, f"changed, or not what follows {n - 1}")
                self.need(last == seq or first < self.whole, "journal", f"seq {last + 1}", f"missing: it is in {at}")
                same = first < self.whole or root([leaf for leaf, _ in entries.values()]) == sealed
                self.need(same, "journal", f"seq {first} to {seq}", f"not what {at} seals")
                for one, (leaf, path) in entries.items() if first < self.whole else ():
                    proved = walk(leaf, path.split(), one - first, seq - first + 1) == sealed
                    self.need(proved, "journal", f"seq {one}", f"its proof does not lead to the root of {at}")
                for a in self.heads.pop(n, ()):
                    right, self.anchored = (a["head"], a["last_seq"]) == (prev.hex(), seq), seq
                    self.need(right, "blocks", at, f"is not what {a['name']} vouches for: rewritten")
                first, entries = seq + 1, {}
        self.need(not lines, "postings", f"seq {lines and lines[0]['seq']}", "belongs to no entry")
        self.need(not entries, "journal", f"seq {min(entries or [0])}", "in no block: inserted, or blocks cut off")
        self.need(not self.heads, "blocks", f"block {min(self.heads, default=0)}", "anchored, and missing: cut off")
        head, said = {"block": n, "hash": prev.hex(), "last_seq": first - 1}, self.manifest["entries"]["last"]
        self.need((self.manifest["head"], said) == (head, first - 1), "manifest.json", "head", f"is not {head}")

    def entry(self, seq: int, row: Row, lines: list[Row]) -> bytes:
        right = [(int(p["seq"]), int(p["line"])) for p in lines] == [(seq, i) for i in range(len(lines))]
        self.need(right, "postings", f"seq {lines and lines[0]['seq']}", "a line is missing, misplaced or extra")
        ids = (b"\1" + bytes.fromhex(i.split("_")[1]) if i else bytes(17) for i in (row["order"], row["op"]))
        moves = (i64(p["debit"], p["credit"], p["amount_nano"]) + bytes([int(p["code"])]) for p in lines)
        start = b"\0\1" + i64(seq) + bytes([int(row["kind"])]) + i64(row["ts_ms"])
        leaf = sha(start, *ids, bytes([len(lines)]), *moves, sha(row["payload"].encode()))
        self.need(leaf.hex() == row["leaf"], "journal", f"seq {seq}", "was changed, or its postings were")
        payload, order = json.loads(row["payload"]), self.told[row["order"]] if row["order"] else {}
        self.paths |= {str(payload["account"]): payload["path"]} if row["kind"] == "3" else {}
        self.need(payload.get("price", "") in self.prices, "price_sheets", payload.get("price"), f"missing: seq {seq}")
        if not order or "state" in payload:
            order["last" if order else "first"] = (payload, str(seq), row["ts_ms"])
        for account, side, p in ((p[s], s, p) for p in lines for s in ("debit", "credit")):
            self.sums[account, side] += int(p["amount_nano"])
            self.need(account in self.paths, "journal", f"seq {seq}", f"account {account} was never opened")
            if self.paths[account].endswith(":held"):
                order["in"] = order.get("in", 0) + int(p["amount_nano"]) * (side == "credit")
                order["held"] = order.get("held", 0) + int(p["amount_nano"]) * (1 if side == "credit" else -1)
        return leaf

    def projections(self) -> None:
        total, own = 0, self.manifest["wallet"] and f"wallet:{self.manifest['wallet']}:"
        names = (p[7:-5] for p in self.paths.values() if p.startswith(own or "wallet:") and p.endswith(":cash"))
        opened = {(name, *(f"wallet:{name}:{kind}" for kind in ("cash", "held", "recv"))) for name in names}
        known = {(r["name"], *map(self.paths.get, [*r.values()][1:])) for r in self.rows("wallets")}
        self.need(known == opened, "wallets", sorted(one[0] for one in known ^ opened), "not as they were opened")
        for row in self.rows("accounts"):
            self.need(self.paths.pop(row["id"], "") == row["path"], "accounts", row["id"], "not opened by this name")
            if row["path"].startswith(own or ""):
                sums = [int(row[f"opening_{s}s_nano"]) + self.sums[row["id"], s] for s in ("debit", "credit")]
                told = [int(row[f"{k}_nano"]) for k in ("debits", "credits", "balance")]
                new = self.start > 1 or row["opening_debits_nano"] == row["opening_credits_nano"] == "0"
                self.need(new and told == [*sums, sums[1] - sums[0]], "accounts", row["path"], f"postings make {sums}")
                total += sums[1] - sums[0]
        self.need(not self.paths and (own or not total), "accounts", [*self.paths], "missing, or out of balance")
        for row in self.rows("orders"):
            order, name = self.told.pop(row["order"], {}), f"{row['order']} (seq {row['reserve_seq']})"
            self.need("first" in order, "orders", name, "is in no entry, or stands twice")
            (facts, seq, made), (last, ended, at) = order["first"], order.get("last", ({"state": "reserved"}, "", ""))
            fee = {"fee_nano": last["charge_nano"] - last["pass_through_nano"]} if "charge_nano" in last else {}
            want = {fact: str({**facts, **last, **fee}.get(fact, "")) for fact in (*FACTS, *COSTS)}
            want |= {"reserve_seq": seq, "final_seq": ended, "created_at_ms": made, "finished_at_ms": at}
            want |= {"hold_nano": str(order.get("in", 0)), "held": str(order.get("held", 0))}
            row["held"] = row["hold_nano"] if row["state"] == "reserved" else "0"
            for column in want if int(row["reserve_seq"]) >= self.start else ():
                self.need(row[column] == want[column], "orders", name, f"{column}: the entries say {want[column]}")
        self.need(not self.told, "orders", [f"{o} (seq {t['first'][1]})" for o, t in self.told.items()][:9], "missing")
        for name, said in self.manifest["files"].items():
            with (self.folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self.need((said["sha256"], said["rows"]) == (digest, self.read[name.split(".")[0]]), name, "all", "changed")

def main() -> None:
    options = argparse.ArgumentParser(description="Proves an export of a gotoai ledger.")
    options.add_argument("dir", type=pathlib.Path)
    options.add_argument("--anchors", type=pathlib.Path, help="anchors that were kept elsewhere, a JSON object a line")
    options.add_argument("--key", action="append", default=[], help="public key of the anchors, or its id")
    csv.field_size_limit(2**31 - 1)
    try:
        export = Export((given := options.parse_args()).dir)
        outside = [json.loads(line) for line in given.anchors.read_text("utf-8").splitlines()] if given.anchors else []
        export.anchors(outside, str(given.anchors), given.key)
        export.anchors(export.manifest["anchors"], "manifest.json", given.key or [a["public_key"] for a in outside])
        export.need(export.heads or not (given.key or given.anchors), "manifest.json", "anchors", "there is none")
        for row in export.rows("price_sheets"):
            export.need(sha(row["sheet"].encode()).hex() == row["hash"], "price_sheets", row["hash"], "was changed")
            export.prices.add(row["hash"])
        export.chain()
        export.projections()
    except (ArithmeticError, AttributeError, ImportError, LookupError, OSError, TypeError, ValueError) as error:
        at, kind = getattr(error, "filename", None) or Export.at, type(error).__name__
        raise SystemExit(f"BROKEN {at}: cannot be read: {kind}: {error}") from None
    mode = "proofs only" if export.manifest["wallet"] or export.whole > export.start else "complete"
    print(f"OK {mode}{' + anchored' * bool(export.anchored)}: from seq {export.start}, anchored to {export.anchored}")

if __name__ == "__main__":
    main()
