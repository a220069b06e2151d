"""A gateway with callers and a cashier in one process: says on stdout, line by line, what they were told.

Owns: the work during which the disk fails. Refuses to know: that it does, and what of it must survive.
"""

import json
import os
import sys
import threading

import gotoai

CALLERS = 12
WALLET = "shop"
JSON = ((b"content-type", b"application/json"),)

ended = threading.Event()


def tell(*words: str) -> None:
    os.write(1, (" ".join(words) + "\n").encode())


def call(gateway: gotoai.SyncGateway, body: bytes, streams: bool) -> None:
    while not ended.is_set():
        status, headers, answer = gateway.request("POST", "/v1/chat/completions", body, JSON)
        whole = answer if isinstance(answer, bytes) else b"".join(answer)
        told = dict(headers)
        if status != 200:
            tell("refused", str(status), whole.decode())
            return
        order = told[b"x-gotoai-order"].decode()
        if not streams:
            tell("order", order, told[b"x-gotoai-charge"].decode())
        elif whole.endswith(b"data: [DONE]\n\n"):
            tell("stream", order)


def top_up(gateway: gotoai.SyncGateway, run: str) -> None:
    gateway.admin("wallet.create", wallet=WALLET, kind="prepaid")
    for number in range(1_000_000):
        if ended.is_set():
            return
        reference = f"{run}-{number}"
        gateway.admin("wallet.topup", wallet=WALLET, amount="0.25", reference=reference)
        tell("topup", reference)


def main(run: str, content: str) -> None:
    chat = json.loads(content)
    bodies = [json.dumps({**chat, "stream": streams}).encode() for streams in (False, True)]
    with gotoai.SyncGateway() as gateway:
        work = [
            threading.Thread(target=call, args=(gateway, bodies[streams], streams), daemon=True)
            for streams in (number % 4 == 3 for number in range(CALLERS))
        ]
        work.append(threading.Thread(target=top_up, args=(gateway, run), daemon=True))
        for thread in work:
            thread.start()
        sys.stdin.read()  # until it is closed: then the work ends and the ledger is closed
        ended.set()
        for thread in work:
            thread.join()


main(*sys.argv[1:])
