"""Starts fakes for programs that are not Python: prints one line of JSON and serves until its standard input ends.

usage: python -m fakes [NAME ...]
"""

import json
import sys

from .server import start

with start(*sys.argv[1:]) as running:
    print(json.dumps({name: fake.card() for name, fake in running.items()}), flush=True)
    sys.stdin.read()
