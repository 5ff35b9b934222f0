"""A real cluster on free ports of this machine, for tests; it ends with the test."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import openai

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
LLMHUB = os.environ.get("LLMHUB", str(TARGET / "debug" / "llmhub"))


def free_base(nodes):
    """The first of some ports, ten apart, that are all free, with the fifth after each."""
    for base in range(21000, 32000, 40):
        try:
            for port in (base + 10 * i + more for i in range(nodes) for more in (0, 5)):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise RuntimeError("no free ports")


def wait(what, seconds, check):
    """Waits until `check` gives something true; a step's own deadline is a generous bound, never a measurement."""
    until = time.monotonic() + seconds
    last = None
    while time.monotonic() < until:
        try:
            if found := check():
                return found
        except (OSError, urllib.error.URLError, openai.OpenAIError) as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s (last: {last})")


class Cluster:
    def __init__(self, folder, nodes=3):
        self.data, self.nodes = folder / "data", nodes
        self.http = free_base(nodes)
        self.cluster = self.http + 5
        self.log = open(folder / "dev.log", "w")
        command = [LLMHUB, "dev", "--nodes", str(nodes), "--data", str(self.data), "--http-port", str(self.http)]
        command += ["--cluster-port", str(self.cluster)]
        self.dev = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        self.again = []
        key = self.data / "admin.key"
        wait("the admin key", 60, lambda: key.exists() and key.read_text().strip())
        assert key.stat().st_mode & 0o777 == 0o600
        self.key = key.read_text().strip()
        for i in range(nodes):
            wait(f"node {i + 1}", 60, lambda i=i: self.call(i, "GET", "/ready") is not None)

    def url(self, i):
        return f"http://127.0.0.1:{self.http + 10 * i}"

    def sdk(self, i, key=None, **options):
        return openai.OpenAI(base_url=self.url(i) + "/v1", api_key=key or self.key, timeout=60, **options)

    def call(self, i, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(self.url(i) + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else {}

    def pid(self, i):
        """The process that serves node i: its data folder is among its arguments."""
        folder = f"{self.data}/n{i + 1}"
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                except OSError:
                    continue
                if folder in words and "node" in words:
                    return int(entry.name), [w for w in words if w]
        raise AssertionError(f"no process for node {i + 1}")

    def stop(self):
        self.dev.send_signal(signal.SIGTERM)
        try:
            self.dev.wait(30)
        finally:
            self.dev.kill()
            for process in self.again:
                process.terminate()
            for process in self.again:
                process.wait(20)
            self.log.close()
