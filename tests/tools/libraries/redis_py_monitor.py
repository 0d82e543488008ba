"""redis-py's MONITOR, blocking and asyncio: HOST PORT [PASSWORD]."""

import asyncio
import sys
import traceback
import uuid

import redis
import redis.asyncio

HOST, PORT = sys.argv[1], int(sys.argv[2])
PASSWORD = sys.argv[3] if len(sys.argv) > 3 else None
PATIENCE = 20


def client(module, protocol):
    return module.Redis(host=HOST, port=PORT, password=PASSWORD, protocol=protocol, socket_timeout=PATIENCE)


def check(shown, marker):
    wanted = (f'SET {marker} a "quoted" value', 0, "127.0.0.1", "tcp")
    found = (shown["command"], shown["db"], shown["client_address"], shown["client_type"])
    if found != wanted:
        raise AssertionError(f"{found} is not {wanted}")


def blocking(protocol, marker):
    with client(redis, protocol).monitor() as monitor:
        client(redis, protocol).set(marker, 'a "quoted" value')
        check(next(shown for shown in monitor.listen() if marker in shown["command"]), marker)


async def asynchronous(protocol, marker):
    async with client(redis.asyncio, protocol).monitor() as monitor:
        setter = client(redis.asyncio, protocol)
        await setter.set(marker, 'a "quoted" value')
        async for shown in monitor.listen():
            if marker in shown["command"]:
                check(shown, marker)
                break
        await setter.aclose()


passed = failed = 0
for protocol in (2, 3):
    for run in (blocking, lambda *given: asyncio.run(asynchronous(*given))):
        try:
            run(protocol, f"redis-py-monitor:{uuid.uuid4().hex}")
            passed += 1
        except Exception:
            failed += 1
            traceback.print_exc(limit=-4, file=sys.stdout)
print(f"redis-py-monitor: {passed} passed, {failed} failed")
sys.exit(min(failed, 1))
