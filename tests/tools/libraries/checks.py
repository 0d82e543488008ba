"""Shared by the newer Python scripts: the server from the command line, values, and the run with its last line."""

import sys
import time
import traceback
import urllib.parse
import uuid

HOST, PORT = sys.argv[1:3] if len(sys.argv) > 2 else ("", "")
PASSWORD = sys.argv[3] if len(sys.argv) > 3 else None
USER = f":{urllib.parse.quote(PASSWORD, safe='')}@" if PASSWORD else ""
URL = f"redis://{USER}{HOST}:{PORT}/0"
RUN = uuid.uuid4().hex[:8]
PATIENCE = 60


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r:.300} is not {wanted!r:.300}")


def until(condition, what):
    """Waits until a call returns a true value, and returns it."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come")
        time.sleep(0.02)
    return found


def run(name, scope):
    """Every function check_* of a script is one check. Returns the number of failed checks."""
    passed = failed = 0
    for check in [value for key, value in scope.items() if key.startswith("check_")]:
        try:
            check()
            passed += 1
        except Exception:
            failed += 1
            print(f"FAILED {name} {check.__name__}")
            traceback.print_exc(limit=-6, file=sys.stdout)
    print(f"{name}: {passed} passed, {failed} failed")
    return failed
