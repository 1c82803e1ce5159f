"""A FastAPI app that uses what apps use; served by uvicorn and by Shipway in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response, WebSocket
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    yield {"greeting": "home"}


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def home(request: Request) -> str:
    return str(request.state.greeting)


@app.head("/")
async def head() -> Response:
    return Response(headers={"x-head": "yes", "content-length": "6"})


@app.post("/json")
async def json(body: dict[str, Any]) -> dict[str, Any]:
    return body


@app.get("/redirect")
def away() -> RedirectResponse:
    return RedirectResponse("/elsewhere")


@app.get("/cookies")
def cookies(request: Request) -> JSONResponse:
    answer = JSONResponse(request.cookies)
    answer.set_cookie("first", "1", httponly=True)
    answer.set_cookie("second", "2")
    return answer


@app.get("/query")
def query(x: Annotated[list[int], Query()], y: str) -> dict[str, Any]:
    return {"x": x, "y": y}


@app.get("/path/{rest:path}")
def path(rest: str, request: Request) -> dict[str, str]:
    return {"rest": rest, "raw": request.scope["raw_path"].decode()}


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        for number in range(5):
            yield f"part {number}\n"

    return StreamingResponse(parts(), media_type="text/event-stream")


@app.get("/empty", status_code=204)
async def empty() -> None:
    return None


@app.get("/raises")
async def raises() -> None:
    raise ValueError("as apps do")


@app.post("/length")
async def length(request: Request) -> int:
    total = 0
    async for part in request.stream():
        total += sum(part)
    return total


@app.post("/form")
async def form(request: Request) -> int:
    return len(await request.body())


@app.get("/large")
def large() -> Response:
    return Response(b"z" * 3_000_000)


@app.websocket("/chat")
async def chat(socket: WebSocket) -> None:
    await socket.accept(subprotocol="v1")
    while (message := await socket.receive()).get("text") != "bye":
        if message.get("text") is not None:
            await socket.send_text(message["text"])
        else:
            await socket.send_bytes(message["bytes"])
    await socket.close(4000, "as you say")
