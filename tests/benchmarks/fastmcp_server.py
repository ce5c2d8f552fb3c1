"""The reference of `bench_mcp`: the same function on a FastMCP server. Run by the Python of its own environment: `PYTHON fastmcp_server.py PORT`.

Streamable HTTP, stateless, answers as JSON, uvloop and httptools; nothing that it has on beside what every FastMCP server has.
"""

import sys

import uvicorn
from fastmcp import FastMCP
from pydantic import BaseModel

server = FastMCP("reference")


class Counted(BaseModel):
    words: int


@server.tool(name="word-count")
def word_count(text: str) -> Counted:
    """Count the words of a text."""
    return Counted(words=len(text.split()))


if __name__ == "__main__":
    app = server.http_app(stateless_http=True, json_response=True)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", ws="none", access_log=False, log_level="error")
