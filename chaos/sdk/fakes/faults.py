"""Faults on request, by words in the user text.

- `fault:500`, `fault:429` (with retry-after): the provider's own error
- `fault:garbage`: status 200 with a body that is no answer
- `fault:cut`: the connection is aborted in the middle of the answer
- `fault:error-in-stream`: an error event in the middle of a stream, instead of the rest
- `fault:slow`: 0.3 s between the pieces of the answer
"""

import asyncio
import re

from aiohttp import web

from .checks import Refusal

PAUSE = 0.3
GARBAGE = '<html><body>{"unexpected": tru'
ODD = (3, 1, 17, 5, 64, 2, 31, 11)


def asked(text):
    found = re.search(r"fault:([a-z0-9-]+)", text or "")
    return found.group(1) if found else None


def before(fault):
    """Raises what is answered instead of an answer."""
    if fault == "500":
        raise Refusal("server", "The server had an error while processing your request.", fault=True)
    if fault == "429":
        raise Refusal("rate", "Rate limit reached for requests.", headers={"retry-after": "1"}, fault=True)


async def whole(request, fault, status, body, headers=None, kind="application/json", lead=b""):
    """An answer in one piece, written in odd bits; `lead` goes out before it."""
    if fault == "garbage":
        return web.Response(text=GARBAGE, content_type="text/html" if kind != "application/json" else kind)
    if fault == "error-in-stream":
        before("500")
    if fault == "slow":
        await asyncio.sleep(PAUSE)
    response = web.StreamResponse(status=status, headers={"content-type": kind, **(headers or {})})
    response.content_length = len(lead) + len(body)
    await response.prepare(request)
    data = lead + body
    if fault == "cut":
        await response.write(data[: len(data) // 2])
        request.transport.abort()
        return response
    await response.write(data[: len(data) // 3])
    await response.write(data[len(data) // 3 :])
    await response.write_eof()
    return response


async def stream(request, fault, pieces, error, kind="text/event-stream", headers=None):
    """A stream of byte pieces, each written in odd bits; `error` is the provider's event for an error in a stream."""
    if fault == "garbage":
        return web.Response(text=GARBAGE, content_type=kind)
    response = web.StreamResponse(headers={"content-type": kind, "cache-control": "no-cache", **(headers or {})})
    response.enable_chunked_encoding()
    await response.prepare(request)
    pieces = list(pieces)
    middle = max(1, len(pieces) // 2)
    for i, piece in enumerate(pieces):
        if i == middle and fault == "cut":
            await response.write(piece[: len(piece) // 2])
            request.transport.abort()
            return response
        if i == middle and fault == "error-in-stream":
            await bits(response, error)
            break
        await bits(response, piece)
        if fault == "slow":
            await asyncio.sleep(PAUSE)
    await response.write_eof()
    return response


async def bits(response, data):
    at = i = 0
    while at < len(data):
        size = ODD[(len(data) + i) % len(ODD)]
        await response.write(data[at : at + size])
        at, i = at + size, i + 1
        await asyncio.sleep(0)
