from quart import Quart, websocket

app = Quart(__name__)


@app.get("/")
async def hello():
    return "hello"


@app.websocket("/echo")
async def echo():
    while True:
        await websocket.send(await websocket.receive())
