"""All fakes at once for the tests of the fakes, with nothing left of the test before."""

import pytest

from . import start


@pytest.fixture(scope="session")
def fakes():
    with start() as running:
        yield running


@pytest.fixture(autouse=True)
def fresh(fakes):
    for fake in fakes.values():
        fake.clear()
