"""A Quart app that uses what apps use; served by uvicorn and by Shipway in tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, jsonify, make_response, redirect, request, websocket

app = Quart(__name__)
app.logger.disabled = True


@app.get("/")
async def home() -> str:
    return "home"


@app.post("/json")
async def json() -> Any:
    return jsonify(await request.get_json())


@app.get("/redirect")
async def away() -> Any:
    return redirect("/elsewhere", 307)


@app.get("/cookies")
async def cookies() -> Any:
    answer = await make_response(dict(request.cookies))
    answer.set_cookie("first", "1", httponly=True)
    answer.set_cookie("second", "2")
    return answer


@app.get("/query")
async def query() -> Any:
    return jsonify(request.args.to_dict(flat=False))


@app.get("/path/<path:rest>")
async def path(rest: str) -> Any:
    return jsonify([rest, request.path])


@app.get("/stream")
async def stream() -> Response:
    async def parts() -> AsyncIterator[str]:
        for number in range(5):
            yield f"part {number}\n"

    return Response(parts(), mimetype="text/event-stream")


@app.get("/empty")
async def empty() -> tuple[str, int]:
    return "", 204


@app.get("/raises")
async def raises() -> str:
    raise ValueError("as apps do")


@app.post("/length")
async def length() -> str:
    data = await request.get_data(as_text=False)
    assert isinstance(data, bytes)
    return str(sum(data))


@app.post("/form")
async def form() -> Any:
    files = await request.files
    upload = files.get("upload")
    return jsonify([(await request.form).to_dict(), len(upload.read()) if upload else None])


@app.get("/large")
async def large() -> bytes:
    return b"z" * 3_000_000


@app.websocket("/chat")
async def chat() -> None:
    await websocket.accept(subprotocol="v1")
    while (message := await websocket.receive()) != "bye":
        await websocket.send(message)
    await websocket.close(4000, "as you say")
