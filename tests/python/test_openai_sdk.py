"""The official OpenAI SDK for Python, unmodified, through both HTTP doors: against the twin and recorded replies."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

import gotoai
from support import (
    EMBEDDER,
    MASTER_KEY,
    MESSAGES,
    MODEL,
    REASONER,
    RECORDED,
    SAID,
    Door,
    Site,
    Uvicorn,
    eventually,
    replay,
)

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CHATS = [path.name for path in sorted(RECORDED.glob("chat_*.json"))]
# Charges in USD by the prices of the embedded book, for the usage that the recorded replies report.
CHARGES = {"chat_completion.json": "0.00000495", "chat_with_tools.json": "0.00001545"}


class Colour(BaseModel):
    name: str
    wave_length_nm: int


@pytest.fixture
def client(door: Door) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=door.base_url, api_key=MASTER_KEY, max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
async def async_client(door: Door) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=door.base_url, api_key=MASTER_KEY, max_retries=0, timeout=30) as client:
        yield client


def test_chat(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert (reply.choices[0].message.content or "").startswith(SAID)
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0


def test_a_stream_with_usage(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options=options))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.startswith(SAID)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


def test_usage_that_was_not_asked_for_stays_away(client: openai.OpenAI, door: Door) -> None:
    """The gateway asks for itself, to charge by it, and takes the chunk out again."""
    chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert door.site.calls()[0]["body"]["stream_options"] == {"include_usage": True}


def test_tools(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=[WEATHER])
    (call,) = reply.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert reply.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "some city"})
    answered = client.chat.completions.create(
        model=MODEL,
        tools=[WEATHER],
        messages=[
            *MESSAGES,
            reply.choices[0].message,  # type: ignore[list-item] # as the SDK's own examples do it
            {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
        ],
    )
    assert "sunny" in (answered.choices[0].message.content or "")


def test_streamed_tools(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=MESSAGES, tools=[WEATHER]) as stream:
        message = stream.get_final_completion().choices[0].message
    (call,) = message.tool_calls or []
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "some city"})


def test_json_mode(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model=MODEL, messages=MESSAGES, response_format={"type": "json_object"})
    assert json.loads(reply.choices[0].message.content or "")["answer"].startswith(SAID)


def test_json_by_a_schema(client: openai.OpenAI, door: Door) -> None:
    reply = client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Colour)
    assert isinstance(reply.choices[0].message.parsed, Colour)
    sent = door.site.calls()[0]["body"]["response_format"]["json_schema"]
    assert (sent["name"], sent["strict"]) == ("Colour", True)


def test_embeddings(client: openai.OpenAI) -> None:
    """The SDK asks for base64 of its own accord, and decodes it."""
    reply = client.embeddings.create(model=EMBEDDER, input=["one", "two"])
    one, two = (datum.embedding for datum in reply.data)
    assert len(one) == len(two) > 1
    assert one != two
    floats = client.embeddings.create(model=EMBEDDER, input="one", encoding_format="float")
    assert floats.data[0].embedding == pytest.approx(one, abs=1e-6)


def test_models(client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert {f"openai/{MODEL}", "openai/twin-small"} <= listed.keys()
    one = client.models.retrieve(f"openai/{MODEL}")
    assert (one.id, one.object, one.owned_by) == (f"openai/{MODEL}", "model", "openai")
    assert client.models.retrieve(MODEL).id == MODEL


def test_errors_are_the_exceptions_that_applications_catch(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-none", messages=MESSAGES)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, n=0)
    assert (bad.value.type, bad.value.param) == ("invalid_request_error", "n")
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="gta_unknown").models.list()
    assert refused.value.code == "invalid_api_key"


async def test_chat_and_stream_for_asyncio(async_client: openai.AsyncOpenAI) -> None:
    reply = await async_client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert (reply.choices[0].message.content or "").startswith(SAID)
    options: Any = {"include_usage": True}
    stream = await async_client.chat.completions.create(
        model=MODEL, messages=MESSAGES, stream=True, stream_options=options
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices).startswith(SAID)
    assert chunks[-1].usage is not None


async def test_everything_else_for_asyncio(async_client: openai.AsyncOpenAI) -> None:
    called = await async_client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=[WEATHER])
    assert called.choices[0].finish_reason == "tool_calls"
    async with async_client.chat.completions.stream(model=MODEL, messages=MESSAGES, tools=[WEATHER]) as stream:
        streamed = await stream.get_final_completion()
    assert streamed.choices[0].message.tool_calls
    parsed = await async_client.chat.completions.parse(model=MODEL, messages=MESSAGES, response_format=Colour)
    assert isinstance(parsed.choices[0].message.parsed, Colour)
    assert (await async_client.embeddings.create(model=EMBEDDER, input="one")).data[0].embedding
    assert f"openai/{MODEL}" in {model.id async for model in async_client.models.list()}
    assert (await async_client.models.retrieve(MODEL)).id == MODEL


@pytest.mark.parametrize("name", CHATS)
def test_a_recorded_reply_arrives_as_it_was_sent(client: openai.OpenAI, door: Door, name: str) -> None:
    door.site.twin.script(replay(name))
    model = REASONER if "reasoning" in name else MODEL
    raw = client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES)
    assert raw.http_response.content == (RECORDED / name).read_bytes()
    reply = raw.parse()
    recorded = json.loads((RECORDED / name).read_text("utf-8"))
    assert reply.choices[0].message.content == recorded["choices"][0]["message"]["content"]
    assert reply.usage is not None
    assert reply.usage.total_tokens == recorded["usage"]["total_tokens"]
    booked = door.site.books.order(raw.headers["x-gotoai-order"])
    assert (booked["state"], booked["charge"]) == ("finalized", raw.headers["x-gotoai-charge"])
    assert booked["charge"] == CHARGES.get(name, booked["charge"])
    assert booked["provider_request_id"] == recorded["id"]


def test_a_recorded_stream_arrives_as_it_was_sent(client: openai.OpenAI, door: Door) -> None:
    name = "chat_completion_stream.txt"
    door.site.twin.script(replay(name), replay(name))
    create = client.chat.completions.with_streaming_response.create
    with create(model=MODEL, messages=MESSAGES, stream=True) as raw:
        assert b"".join(raw.iter_bytes()) == (RECORDED / name).read_bytes()
    chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello, World!"
    # It was recorded without usage: what it cost is an estimate, and says so.
    assert door.site.books.settled(raw.headers["x-gotoai-order"])["state"] == "provisional"


@pytest.mark.parametrize("name", ["native", "uvicorn"])
def test_a_recorded_list_of_models(site: Site, name: str) -> None:
    recorded = json.loads((RECORDED / "models.json").read_text("utf-8"))
    site.twin.script({"match": {"path": "/models"}, **replay("models.json")})
    with gotoai.SyncGateway(env=site.env) as gateway, Uvicorn(gotoai.asgi(gateway)) as asgi:
        url = gateway.listen() if name == "native" else asgi.url
        with openai.OpenAI(base_url=f"{url}/v1", api_key=MASTER_KEY, max_retries=0) as client:
            expected = {f"openai/{model['id']}" for model in recorded["data"]}
            # Fetched in the background, from the start on.
            eventually(lambda: expected <= {model.id for model in client.models.list()})
            settings = {f"openai/{model}" for model in (MODEL, EMBEDDER, REASONER)}
            assert {model.id for model in client.models.list()} == expected | settings
            assert client.models.retrieve("gpt-4-0613").owned_by == "openai"


def test_granian_serves_the_same(doors: Callable[[str], Door]) -> None:
    door = doors("granian")
    with openai.OpenAI(base_url=door.base_url, api_key=MASTER_KEY, max_retries=0) as client:
        assert client.chat.completions.create(model=MODEL, messages=MESSAGES).usage
        chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks).startswith(SAID)


def test_an_application_needs_no_prefix(door: Door) -> None:
    """The routes stand without /v1 as well, for clients whose base URL lacks it."""
    with openai.OpenAI(base_url=door.url, api_key=MASTER_KEY, max_retries=0) as client:
        assert client.chat.completions.create(model=MODEL, messages=MESSAGES).usage
    assert httpx.get(f"{door.url}/models", headers={"authorization": f"Bearer {MASTER_KEY}"}).status_code == 200
