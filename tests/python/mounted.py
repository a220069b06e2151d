"""An application that has gotoai mounted, for the tests of the ASGI door under real servers."""

from fastapi import FastAPI

import gotoai

app = FastAPI()
app.mount("/ai", gotoai.asgi())
