"""Calls without a server: the gateway lives in this process. Providers come from the environment."""

import gotoai

QUESTION = [{"role": "user", "content": "Hello"}]

with gotoai.SyncGateway() as gateway:
    reply = gateway.chat.completions.create(model="openai/gpt-4o-mini", messages=QUESTION)
    print(reply.choices[0].message.content)
    print(reply.receipt)

    with gateway.chat.completions.create(model="openai/gpt-4o-mini", messages=QUESTION, stream=True) as stream:
        for chunk in stream:
            if chunk.choices:
                print(chunk.choices[0].delta.get("content") or "", end="", flush=True)
    print()

    vectors = gateway.embeddings.create(model="openai/text-embedding-3-small", input=["one", "two"])
    print(len(vectors.data), "vectors of", len(vectors.data[0].embedding))

    try:
        gateway.chat.completions.create(model="no-such-model", messages=QUESTION)
    except gotoai.GatewayError as error:
        print(error.code, error.status)

    print("spent:", gateway.admin("wallet.balance", wallet="default").spent_known, "USD")
