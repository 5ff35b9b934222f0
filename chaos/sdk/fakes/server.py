"""Starts fakes: one aiohttp app each, on a free loopback port, in a thread of its own."""

import asyncio
import importlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import web

from . import faults
from .checks import Refusal

NAMES = (
    "openai", "compatible", "azure", "anthropic", "gemini", "zhipu", "qianfan_v2", "qianfan_v1", "dashscope", "spark",
    "deepseek", "moonshot", "ollama",
)


@dataclass
class Seen:
    """A request as it came."""

    method: str
    path: str
    query: dict
    headers: dict  # names in lower case
    body: object  # parsed JSON, the fields of a form, or bytes


@dataclass
class Fake:
    """One provider. A subclass says its `base` path, its `models`, its routes, its authentication and its errors."""

    requests: list = field(default_factory=list)
    refused: Counter = field(default_factory=Counter)  # by reason
    faults: Counter = field(default_factory=Counter)  # errors that were asked for, by reason
    port: int = 0

    name = "?"
    base = ""
    key = "sk-fake"
    models = ()

    def __post_init__(self):
        """For what a subclass holds beside this."""

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.host}{self.base}"

    def card(self):
        """What a program needs to use this fake."""
        return {"url": self.url, "key": self.key, "models": list(self.models)}

    def clear(self):
        self.requests.clear()
        self.refused.clear()
        self.faults.clear()

    def routes(self):
        """Pairs of `METHOD /path` and a handler that takes the request and what was seen of it."""
        raise NotImplementedError

    def told(self, refusal):
        """The provider's status and body for a refusal."""
        raise NotImplementedError

    def error_reply(self, refusal, request=None):
        status, body = self.told(refusal)
        return web.json_response(body, status=status, headers=refusal.headers)

    async def handle(self, request, handler):
        seen = await look(request)
        self.requests.append(seen)
        try:
            if seen.body is BROKEN:
                raise Refusal("json", "The body is not valid JSON.")
            return await handler(request, seen)
        except Refusal as refusal:
            (self.faults if refusal.fault else self.refused)[refusal.reason()] += 1
            return self.error_reply(refusal, request)

    def app(self):
        app = web.Application(client_max_size=64 << 20)
        for route, handler in self.routes():
            method, path = route.split(" ", 1)
            app.router.add_route(method, path, self.bound(handler))
        app.router.add_route("*", "/{rest:.*}", self.bound(self.nowhere))
        return app

    def bound(self, handler):
        async def handle(request):
            return await self.handle(request, handler)

        return handle

    async def nowhere(self, request, seen):
        raise Refusal("path", f"Invalid URL ({request.method} {request.path})", code="unknown_url")

    async def reply(self, request, fault, body, status=200, **more):
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        return await faults.whole(request, fault, status, data, **more)


BROKEN = object()


async def look(request):
    headers = {name.lower(): value for name, value in request.headers.items()}
    seen = Seen(request.method, request.path, dict(request.query), headers, None)
    if request.content_type.startswith("multipart/"):
        seen.body = {}
        for name, value in (await request.post()).items():
            seen.body[name] = (value.filename, value.file.read()) if isinstance(value, web.FileField) else value
        return seen
    raw = await request.read()
    if raw and request.content_type == "application/x-www-form-urlencoded":
        seen.body = dict(await request.post())
    elif raw:
        try:
            seen.body = json.loads(raw)
        except ValueError:
            seen.body = BROKEN
    return seen


class Running(dict):
    """Fakes by name, until `stop` or the end of the `with`."""

    def __init__(self, made):
        super().__init__({fake.name: fake for fake in made})
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="fakes", daemon=True)
        self.thread.start()
        self.runners = self.wait(self.open())

    def wait(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    async def open(self):
        runners = []
        for fake in self.values():
            runner = web.AppRunner(fake.app(), access_log=None, shutdown_timeout=0.5)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            fake.port = site._server.sockets[0].getsockname()[1]
            runners.append(runner)
        return runners

    async def close(self):
        for runner in self.runners:
            await runner.cleanup()

    def stop(self):
        if self.loop.is_running():
            self.wait(self.close())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def start(*names):
    """Starts the named fakes, or all."""
    made = [importlib.import_module(f".{name}", __package__).FAKE() for name in names or NAMES]
    return Running(made)
