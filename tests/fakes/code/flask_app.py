"""A Flask app that uses what apps use; served by gunicorn and by Shipway in tests."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Flask, Response, jsonify, make_response, redirect, request
from flask.typing import ResponseReturnValue

app = Flask(__name__)
app.logger.disabled = True


@app.get("/")
def home() -> str:
    return "home"


@app.post("/json")
def json() -> Response:
    return jsonify(request.get_json())


@app.get("/redirect")
def away() -> ResponseReturnValue:
    return redirect("/elsewhere", 307)


@app.get("/cookies")
def cookies() -> Response:
    answer = make_response(dict(request.cookies))
    answer.set_cookie("first", "1", httponly=True)
    answer.set_cookie("second", "2")
    return answer


@app.get("/query")
def query() -> Response:
    return jsonify(request.args.to_dict(flat=False))


@app.get("/path/<path:rest>")
def path(rest: str) -> Response:
    return jsonify([rest, request.path])


@app.get("/stream")
def stream() -> Response:
    def parts() -> Iterator[str]:
        for number in range(5):
            yield f"part {number}\n"

    return Response(parts(), mimetype="text/event-stream")


@app.get("/empty")
def empty() -> tuple[str, int]:
    return "", 204


@app.get("/raises")
def raises() -> str:
    raise ValueError("as apps do")


@app.post("/length")
def length() -> str:
    return str(sum(request.get_data()))


@app.post("/form")
def form() -> Response:
    upload = request.files.get("upload")
    return jsonify([request.form.to_dict(), len(upload.read()) if upload else None])


@app.get("/large")
def large() -> bytes:
    return b"z" * 3_000_000
