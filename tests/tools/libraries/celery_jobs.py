"""Celery with a separate worker that runs jobs: HOST PORT [PASSWORD].

Nothing is set up for slotmux except the prefix of its keys: a worker waits for several queues in one BRPOP, and only a hash
tag puts these into one slot.
"""

import os
import subprocess
import sys
import traceback
import urllib.parse
import uuid
from pathlib import Path

from celery import Celery, chain, chord, group
from celery.exceptions import TimeoutError as NotYet

# The worker imports this script once more, and has arguments of its own.
SERVER = os.environ.setdefault("CELERY_JOBS_SERVER", "\n".join(sys.argv[1:])).split("\n")
HOST, PORT = SERVER[:2]
PASSWORD = SERVER[2] if len(SERVER) > 2 else None
PATIENCE = 60

RUN = os.environ.setdefault("CELERY_JOBS_RUN", uuid.uuid4().hex[:8])
USER = f":{urllib.parse.quote(PASSWORD, safe='')}@" if PASSWORD else ""
URL = f"redis://{USER}{HOST}:{PORT}/0"
PREFIX = {"global_keyprefix": f"{{celery-{RUN}}}"}

app = Celery("celery_jobs", broker=URL, backend=URL)
app.conf.update(
    broker_transport_options=PREFIX,
    result_backend_transport_options=PREFIX,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    task_track_started=True,
    task_routes={"jobs.other": {"queue": "other"}},
)


@app.task(name="jobs.add")
def add(x, y):
    return x + y


@app.task(name="jobs.total")
def total(numbers):
    return sum(numbers)


@app.task(name="jobs.other")
def other(text):
    return text[::-1]


@app.task(name="jobs.again", bind=True, max_retries=3)
def again(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.1)
    return self.request.retries


@app.task(name="jobs.broken")
def broken():
    raise ValueError("as it should")


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r:.300} is not {wanted!r:.300}")


def check_delay_and_get():
    equal([add.delay(n, n).get(timeout=PATIENCE) for n in range(5)], [0, 2, 4, 6, 8])


def check_many_at_once():
    results = [add.delay(n, 1) for n in range(100)]
    equal([result.get(timeout=PATIENCE) for result in results], [n + 1 for n in range(100)])


def check_two_queues():
    results = [other.delay(f"text {n}") for n in range(20)]
    equal([result.get(timeout=PATIENCE) for result in results], [f"text {n}"[::-1] for n in range(20)])


def check_countdown():
    equal(add.apply_async((2, 3), countdown=0.3).get(timeout=PATIENCE), 5)


def check_retry():
    equal(again.delay().get(timeout=PATIENCE), 2)


def check_failure():
    try:
        broken.delay().get(timeout=PATIENCE)
    except ValueError as error:
        equal(str(error), "as it should")
    else:
        raise AssertionError("no error")


def check_chain():
    equal(chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=PATIENCE), 10)


def check_group():
    equal(group(add.s(n, n) for n in range(10))().get(timeout=PATIENCE), [2 * n for n in range(10)])


def check_chord():
    equal(chord([add.s(n, n) for n in range(10)])(total.s()).get(timeout=PATIENCE), 90)


def check_revoke_and_forget():
    late = add.apply_async((1, 1), countdown=3600)
    late.revoke()
    try:
        late.get(timeout=0.2, propagate=False)
    except NotYet:
        pass
    done = add.delay(1, 1)
    equal(done.get(timeout=PATIENCE), 2)
    done.forget()


def check_the_worker_answers():
    replies = app.control.ping(timeout=PATIENCE, limit=1)
    equal([answer["ok"] for reply in replies for answer in reply.values()], ["pong"])
    active = app.control.inspect(timeout=PATIENCE, limit=1).active_queues()
    equal(sorted(queue["name"] for queues in active.values() for queue in queues), ["celery", "other"])


def main():
    arguments = "worker --pool threads --concurrency 4 --queues celery,other --loglevel WARNING --without-mingle"
    command = [sys.executable, "-m", "celery", "-A", "celery_jobs", *arguments.split(), "-n", f"{RUN}@test"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONDONTWRITEBYTECODE": "1"}
    worker = subprocess.Popen(command, env=environment)
    passed = failed = 0
    try:
        for name, check in [item for item in globals().items() if item[0].startswith("check_")]:
            try:
                check()
                passed += 1
            except Exception:
                failed += 1
                print(f"FAILED celery {name}")
                traceback.print_exc(limit=-4, file=sys.stdout)
    finally:
        worker.terminate()
        worker.wait(PATIENCE)
    print(f"celery: {passed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    status = min(main(), 1)
    sys.stdout.flush()
    # Results collected during the exit of Python would still use the server, and print errors.
    os._exit(status)
