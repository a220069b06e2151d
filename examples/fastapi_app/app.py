"""gotoai inside a FastAPI application: the whole API under /ai, and the same gateway for the application's own calls.

uvicorn --app-dir examples/fastapi_app app:app
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import gotoai

gateway = gotoai.Gateway()  # providers, key and data directory come from the environment


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with gateway:  # mounted apps get no lifespan of their own
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/ai", gotoai.asgi(gateway))  # clients use http://.../ai/v1 with a key; `gateway` itself needs none


@app.get("/ask")
async def ask(question: str) -> dict[str, str | None]:
    reply = await gateway.chat.completions.create(
        model="openai/gpt-4o-mini", messages=[{"role": "user", "content": question}]
    )
    charge = None if reply.charge is None else str(reply.charge)  # decimal text: money is never a float
    return {"answer": reply.choices[0].message.content, "order": reply.order, "charge": charge}
