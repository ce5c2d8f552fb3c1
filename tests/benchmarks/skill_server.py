"""A skill's own server as a person would write it: a FastAPI route on uvicorn with uvloop and httptools, one worker. `python -m … PORT`."""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Call(BaseModel):
    inputs: dict[str, Any]
    context: dict[str, Any] = {}


app = FastAPI()


@app.post("/execute")
async def execute(call: Call) -> dict[str, Any]:
    return {"success": True, "outputs": {"words": len(call.inputs["text"].split())}}


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "healthy"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning")
