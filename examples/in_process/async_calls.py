"""Calls under asyncio, without a server: the gateway lives in this process. Providers come from the environment."""

import asyncio

import gotoai


async def ask(gateway: gotoai.Gateway, question: str) -> str:
    reply = await gateway.chat.completions.create(
        model="openai/gpt-4o-mini", messages=[{"role": "user", "content": question}]
    )
    return f"{reply.order} {reply.charge} USD: {reply.choices[0].message.content}"


async def main() -> None:
    async with gotoai.Gateway() as gateway:
        for answer in await asyncio.gather(*(ask(gateway, f"Question {n}") for n in range(3))):
            print(answer)

        messages = [{"role": "user", "content": "Hello"}]
        async with await gateway.chat.completions.create(
            model="openai/gpt-4o-mini", messages=messages, stream=True
        ) as stream:
            async for chunk in stream:
                if chunk.choices:
                    print(chunk.choices[0].delta.get("content") or "", end="", flush=True)
        print()

        # A stream that was read to its end is settled.
        receipt = await gateway.orders.retrieve(stream.receipt.order or "")
        print(receipt.state, receipt.charge, "USD")


asyncio.run(main())
