"""The official OpenAI SDK: only the base URL and the key change. GOTOAI_KEY: a key from `gotoai keys create`."""

import os

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("GOTOAI_URL", "http://127.0.0.1:8080") + "/v1",
    api_key=os.environ["GOTOAI_KEY"],
)
QUESTION = [{"role": "user", "content": "Hello"}]

reply = client.chat.completions.with_raw_response.create(model="gpt-4o-mini", messages=QUESTION)
print(reply.parse().choices[0].message.content)
print("order", reply.headers["x-gotoai-order"], "charge", reply.headers.get("x-gotoai-charge", "not known"), "USD")

for chunk in client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION, stream=True):
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

print([model.id for model in client.models.list()])
