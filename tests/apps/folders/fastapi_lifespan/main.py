from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from pydantic import BaseModel


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, float]]:
    yield {"slope": 2.0}


app = FastAPI(lifespan=lifespan)


class House(BaseModel):
    rooms: int


@app.post("/predict")
async def predict(house: House, request: Request) -> dict[str, float]:
    return {"prediction": house.rooms * request.state.slope}


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "mine"}
