"""Dramatiq with a worker that runs jobs: HOST PORT [PASSWORD].

Nothing is set up for slotmux except the namespace of its keys: its scripts touch several keys of a queue, some of which they
make themselves, and only a hash tag puts these into one slot.
"""

import sys
import threading

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from checks import PATIENCE, RUN, URL, equal, run, until

NAMESPACE = f"{{dramatiq-{RUN}}}"
BROKER = RedisBroker(url=URL, namespace=NAMESPACE)
BROKER.add_middleware(Results(backend=RedisBackend(url=URL, namespace=f"{NAMESPACE}-results")))
dramatiq.set_broker(BROKER)
TRIES = []
PATIENCE_MS = PATIENCE * 1000


@dramatiq.actor(store_results=True)
def add(x, y):
    return x + y


@dramatiq.actor(store_results=True, queue_name="other")
def other(text):
    return text[::-1]


@dramatiq.actor(store_results=True, max_retries=5, min_backoff=50, max_backoff=100)
def again():
    TRIES.append(threading.get_ident())
    if len(TRIES) < 3:
        raise ValueError("as it should")
    return len(TRIES)


@dramatiq.actor(max_retries=0)
def broken():
    raise ValueError("as it should")


def result(message):
    return message.get_result(block=True, timeout=PATIENCE_MS)


def check_jobs_and_their_results():
    messages = [add.send(n, n) for n in range(50)]
    equal([result(message) for message in messages], [2 * n for n in range(50)])


def check_two_queues():
    equal(result(other.send("text")), "txet")
    equal(result(add.send(1, 2)), 3)


def check_later():
    equal(result(add.send_with_options(args=(3, 4), delay=500)), 7)


def check_retry():
    equal(result(again.send()), 3)


def check_the_dead_are_kept():
    broken.send()
    dead = f"{NAMESPACE}:default.XQ"
    until(lambda: BROKER.client.zcard(dead) == 1, "the dead one")


def check_pipeline():
    equal((add.message(1, 2) | add.message(3) | add.message(4)).run().get_result(block=True, timeout=PATIENCE_MS), 10)


def check_group():
    group = dramatiq.group([add.message(n, 1) for n in range(10)]).run()
    equal(list(group.get_results(block=True, timeout=PATIENCE_MS)), [n + 1 for n in range(10)])


def check_all_is_done():
    BROKER.join("default", timeout=PATIENCE_MS)
    BROKER.join("other", timeout=PATIENCE_MS)


if __name__ == "__main__":
    worker = dramatiq.Worker(BROKER, worker_threads=4, worker_timeout=50)
    worker.start()
    failed = run("dramatiq", globals())
    worker.stop()
    sys.exit(min(failed, 1))
