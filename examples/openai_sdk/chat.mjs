// The official OpenAI SDK: only the base URL and the key change. GOTOAI_KEY: a key from `gotoai keys create`.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: (process.env.GOTOAI_URL ?? "http://127.0.0.1:8080") + "/v1",
  apiKey: process.env.GOTOAI_KEY,
});
const question = [{ role: "user", content: "Hello" }];

const { data, response } = await client.chat.completions
  .create({ model: "gpt-4o-mini", messages: question })
  .withResponse();
console.log(data.choices[0].message.content);
console.log("order", response.headers.get("x-gotoai-order"), "charge", response.headers.get("x-gotoai-charge"), "USD");

const stream = await client.chat.completions.create({ model: "gpt-4o-mini", messages: question, stream: true });
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
console.log();
