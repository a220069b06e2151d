// The official OpenAI SDK for Node, unmodified, against one door of the gateway. Run by tests/python/test_node_sdk.py with
// OPENAI_BASE_URL, OPENAI_API_KEY, TWIN_URL (the provider behind the gateway) and RECORDED (a directory of recorded replies).
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import OpenAI from "openai";

const { TWIN_URL, RECORDED } = process.env;
const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });
const model = "gpt-4o-mini";
const messages = [{ role: "user", content: "Say hello to the world." }];
const said = 'You asked: "Say hello to the world."';
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "get_weather", parameters } }];

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

async function replay(name) {
  const content_type = name.endsWith(".txt") ? "text/event-stream; charset=utf-8" : "application/json";
  const reply_text = await readFile(join(RECORDED, name), "utf8");
  const told = await fetch(`${TWIN_URL}/script`, { method: "POST", body: JSON.stringify([{ reply_text, content_type }]) });
  assert.equal(told.status, 200);
  return reply_text;
}

const checks = {
  async chat() {
    const reply = await client.chat.completions.create({ model, messages });
    assert.ok(reply.choices[0].message.content.startsWith(said));
    assert.equal(reply.usage.total_tokens, reply.usage.prompt_tokens + reply.usage.completion_tokens);
  },
  async "a stream with usage"() {
    const stream_options = { include_usage: true };
    const chunks = await collect(await client.chat.completions.create({ model, messages, stream: true, stream_options }));
    assert.ok(textOf(chunks).startsWith(said));
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  },
  async "a stream without usage"() {
    const chunks = await collect(await client.chat.completions.create({ model, messages, stream: true }));
    assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));
  },
  async tools() {
    const reply = await client.chat.completions.create({ model, messages, tools });
    const [call] = reply.choices[0].message.tool_calls;
    assert.equal(call.function.name, "get_weather");
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "some city" });
  },
  async "streamed tools"() {
    const reply = await client.chat.completions.stream({ model, messages, tools }).finalChatCompletion();
    const [call] = reply.choices[0].message.tool_calls;
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "some city" });
  },
  async "JSON mode"() {
    const reply = await client.chat.completions.create({ model, messages, response_format: { type: "json_object" } });
    assert.ok(JSON.parse(reply.choices[0].message.content).answer.startsWith(said));
  },
  async "JSON by a schema"() {
    const json_schema = { name: "place", strict: true, schema: { ...parameters, additionalProperties: false } };
    const reply = await client.chat.completions.parse({ model, messages, response_format: { type: "json_schema", json_schema } });
    assert.equal(typeof JSON.parse(reply.choices[0].message.content).city, "string");
  },
  async embeddings() {
    const reply = await client.embeddings.create({ model: "text-embedding-3-small", input: ["one", "two"] });
    assert.equal(reply.data.length, 2);
    assert.ok(reply.data[0].embedding.every(Number.isFinite) && reply.data[0].embedding.length > 1);
  },
  async models() {
    const listed = (await collect(client.models.list())).map((one) => one.id);
    assert.ok(listed.includes(`openai/${model}`));
    assert.equal((await client.models.retrieve(model)).id, model);
  },
  async errors() {
    await assert.rejects(client.chat.completions.create({ model: "gpt-none", messages }), (error) => {
      assert.ok(error instanceof OpenAI.NotFoundError);
      assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
      return true;
    });
    const stranger = new OpenAI({ apiKey: "gta_unknown", maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  },
  async "recorded replies"() {
    const names = (await readdir(RECORDED)).filter((name) => name.startsWith("chat_") && name.endsWith(".json"));
    assert.ok(names.length >= 7);
    for (const name of names) {
      const recorded = await replay(name);
      const raw = await client.chat.completions.create({ model, messages }).asResponse();
      assert.equal(await raw.text(), recorded, name);
      await replay(name);
      const reply = await client.chat.completions.create({ model, messages });
      assert.deepEqual(reply.choices, JSON.parse(recorded).choices, name);
    }
  },
  async "a recorded stream"() {
    const recorded = await replay("chat_completion_stream.txt");
    const raw = await client.chat.completions.create({ model, messages, stream: true }).asResponse();
    assert.equal(await raw.text(), recorded);
    await replay("chat_completion_stream.txt");
    const chunks = await collect(await client.chat.completions.create({ model, messages, stream: true }));
    assert.equal(textOf(chunks), "Hello, World!");
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(`ok ${name}`);
}
