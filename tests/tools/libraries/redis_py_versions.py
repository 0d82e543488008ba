"""Features of every version of redis-py from 4 on, blocking and asyncio: HOST PORT [PASSWORD].

It knows nothing of slotmux.
"""

import asyncio
import queue
import sys
import threading
import traceback
import uuid

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.retry import Retry

HOST, PORT = sys.argv[1], int(sys.argv[2])
PASSWORD = sys.argv[3] if len(sys.argv) > 3 else None
PATIENCE = 20

# Early versions 4 lack RESP3; only later ones check it.
PROTOCOLS = [2, 3] if int(redis.__version__.split(".")[0]) >= 5 else [None]


def equal(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r:.300} is not {wanted!r:.300}")


class Checks:
    """Every check_* is one check, for one protocol."""

    def __init__(self, protocol):
        self.more = {"protocol": protocol} if protocol else {}
        self.run = f"redis-py-{redis.__version__}:{uuid.uuid4().hex[:8]}"

    def key(self, name):
        return f"{self.run}:{name}"

    def client(self, module=redis):
        more = self.more | ({"retry": Retry(NoBackoff(), 1)} if module is redis else {})
        return module.Redis(host=HOST, port=PORT, password=PASSWORD, socket_timeout=PATIENCE, **more)

    def check_values(self):
        client = self.client()
        for value in (b"v", b"", bytes(range(256)), b"0123456789abcdef" * 65536):
            equal(client.set(self.key("k"), value, ex=1000), True)
            equal(client.get(self.key("k")), value)
        equal(client.hset(self.key("h"), mapping={"a": 1, "b": "two"}), 2)
        equal(client.hgetall(self.key("h")), {b"a": b"1", b"b": b"two"})
        equal(client.zadd(self.key("z"), {"a": 1, "b": 2.5}), 2)
        equal([tuple(pair) for pair in client.zrange(self.key("z"), 0, -1, withscores=True)], [(b"a", 1.0), (b"b", 2.5)])
        equal(client.mset({self.key(n): n for n in range(100)}), True)
        equal(client.mget([self.key(n) for n in range(100)]), [b"%d" % n for n in range(100)])
        equal(client.delete(*[self.key(n) for n in range(100)]), 100)

    def check_pipelines(self):
        client = self.client()
        plain = client.pipeline(transaction=False)
        for n in range(500):
            plain.set(self.key(f"p:{n}"), n).incr(self.key(f"p:{n}"))
        equal(plain.execute(), [item for n in range(500) for item in (True, n + 1)])
        # The default is a transaction.
        default = client.pipeline()
        for n in range(50):
            default.set(self.key(f"{{t}}:{n}"), n).get(self.key(f"{{t}}:{n}"))
        equal(default.execute(), [item for n in range(50) for item in (True, b"%d" % n)])
        reading = client.pipeline()
        for n in range(50):
            reading.get(self.key(f"p:{n}"))
        equal(reading.execute(), [b"%d" % (n + 1) for n in range(50)])

    def check_transactions_by_threads(self):
        name = self.key("counter")

        def up(pipe):
            value = int(pipe.get(name) or 0)
            pipe.multi()
            pipe.set(name, value + 1)

        def work():
            client = self.client()
            for _ in range(10):
                client.transaction(up, name)

        self.by_threads(4, work)
        equal(self.client().get(name), b"40")

    def check_locks_by_threads(self):
        inside, seen = [], []

        def work():
            client = self.client()
            for _ in range(5):
                with client.lock(self.key("lock"), timeout=PATIENCE, sleep=0.005):
                    inside.append(1)
                    seen.append(len(inside))
                    client.incr(self.key("locked"))
                    inside.pop()

        self.by_threads(4, work)
        equal((set(seen), self.client().get(self.key("locked"))), ({1}, b"20"))

    def check_scans(self):
        client = self.client()
        names = {self.key(f"scan:{n}").encode() for n in range(300)}
        for name in names:
            client.set(name, 1)
        equal(set(client.scan_iter(match=self.key("scan:*"), count=50)), names)
        client.sadd(self.key("set"), *range(300))
        equal(len(set(client.sscan_iter(self.key("set"), count=20))), 300)

    def check_subscriptions_in_a_thread(self):
        client, came = self.client(), queue.Queue()
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        channel, pattern = self.key("channel"), self.key("pattern:*")
        pubsub.subscribe(**{channel: lambda message: came.put(message["data"])})
        pubsub.psubscribe(**{pattern: lambda message: came.put(message["data"])})
        thread = pubsub.run_in_thread(sleep_time=0.01)
        try:
            until = threading.Event()
            while client.pubsub_numsub(channel)[0][1] < 1 or client.pubsub_numpat() < 1:
                until.wait(0.01)
            for n in range(50):
                client.publish(channel, n)
            equal([came.get(timeout=PATIENCE) for _ in range(50)], [b"%d" % n for n in range(50)])
            while not client.publish(self.key("pattern:1"), "by pattern"):
                until.wait(0.01)
            equal(came.get(timeout=PATIENCE), b"by pattern")
        finally:
            thread.stop()
            thread.join(PATIENCE)

    def check_blocking_and_streams(self):
        client = self.client()
        name = self.key("list")
        feeder = threading.Timer(0.1, lambda: self.client().rpush(name, "x"))
        feeder.start()
        equal(tuple(client.blpop([name], timeout=10)), (name.encode(), b"x"))
        feeder.join()
        stream = self.key("stream")
        client.xgroup_create(stream, "g", mkstream=True)
        ident = client.xadd(stream, {"a": 1})
        found = client.xreadgroup("g", "me", {stream: ">"}, block=1000)
        equal(ident in repr(found).encode() or ident.decode() in repr(found), True)
        equal(client.xack(stream, "g", ident), 1)

    def check_scripts(self):
        add = self.client().register_script(f"return redis.call('incrby', KEYS[1], ARGV[1]) -- {self.run}")
        equal([add(keys=[self.key(f"s:{n}")], args=[1]) for n in range(10)], [1] * 10)

    def check_asyncio(self):
        async def work():
            client = self.client(redis.asyncio)
            await asyncio.gather(*[client.incr(self.key(f"a:{n % 10}")) for n in range(100)])
            pipeline = client.pipeline()
            for n in range(10):
                pipeline.get(self.key(f"a:{n}"))
            equal(await pipeline.execute(), [b"10"] * 10)
            # The other tests have up to a hundred thousand keys in the way.
            names = client.scan_iter(match=self.key("a:*"), count=1000)
            equal(len([name async for name in names]), 10)
            async with client.lock(self.key("a:lock"), timeout=PATIENCE):
                equal(await client.exists(self.key("a:lock")), 1)
            pubsub = client.pubsub()
            await pubsub.subscribe(self.key("a:channel"))
            equal((await pubsub.get_message(timeout=PATIENCE))["type"], "subscribe")
            await client.publish(self.key("a:channel"), "hello")
            equal((await pubsub.get_message(timeout=PATIENCE))["data"], b"hello")
            close = getattr(pubsub, "aclose", pubsub.close)
            await close()
            await getattr(client, "aclose", client.close)()

        asyncio.run(asyncio.wait_for(work(), PATIENCE))

    @staticmethod
    def by_threads(count, work):
        errors = []

        def guarded():
            try:
                work()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=guarded) for _ in range(count)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        equal(errors, [])


passed = failed = 0
for protocol in PROTOCOLS:
    for name in [name for name in dir(Checks) if name.startswith("check_")]:
        try:
            getattr(Checks(protocol), name)()
            passed += 1
        except Exception:
            failed += 1
            print(f"FAILED redis-py {redis.__version__} RESP{protocol} {name}")
            traceback.print_exc(limit=-4, file=sys.stdout)
print(f"redis-py {redis.__version__}: {passed} passed, {failed} failed")
sys.exit(min(failed, 1))
