"""django-redis as Django's cache and the store of its sessions: HOST PORT [PASSWORD]. Nothing is set up for slotmux."""

import sys

from checks import RUN, URL, equal, run

import django
from django.conf import settings

settings.configure(
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": URL,
            "KEY_PREFIX": RUN,
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SECRET_KEY="of a test",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402

NAMES = [f"name {n}" for n in range(30)]


def check_values():
    for value in [None, 1, "text", b"\0\r\n", {"a": [1, 2]}]:
        cache.set("value", value)
        equal(cache.get("value"), value)
    equal(cache.delete("value"), True)
    equal(cache.get("value", "none"), "none")
    equal(cache.get_or_set("value", lambda: 5), 5)


def check_lifetimes():
    cache.set("lifetime", 1, timeout=100)
    equal(90 < cache.ttl("lifetime") <= 100, True)
    cache.touch("lifetime", 1000)
    equal(cache.ttl("lifetime") > 900, True)
    cache.persist("lifetime")
    equal(cache.ttl("lifetime"), None)
    cache.expire("lifetime", timeout=50)
    equal(cache.ttl("lifetime") <= 50, True)


def check_numbers():
    cache.set("number", 5)
    equal([cache.incr("number"), cache.incr("number", 10), cache.decr("number")], [6, 16, 15])
    equal(cache.add("number", 1), False)
    equal(cache.add("another number", 1), True)


def check_many():
    cache.set_many({name: name.upper() for name in NAMES})
    equal(cache.get_many(NAMES), {name: name.upper() for name in NAMES})
    equal(cache.delete_many(NAMES), len(NAMES))
    equal(cache.get_many(NAMES), {})


def check_patterns():
    for name in NAMES:
        cache.set(name, 1)
    equal(sorted(cache.keys("name *")), sorted(NAMES))
    equal(sorted(cache.iter_keys("name *")), sorted(NAMES))
    equal(cache.delete_pattern("name *"), len(NAMES))
    equal(cache.keys("name *"), [])


def check_locks():
    with cache.lock("lock", timeout=20):
        equal(cache.lock("lock", timeout=20).acquire(blocking=False), False)
    equal(cache.lock("lock", timeout=20).acquire(blocking=False), True)


def check_sessions():
    session = SessionStore()
    session["who"] = "somebody"
    session.save()
    again = SessionStore(session.session_key)
    equal(again["who"], "somebody")
    again.cycle_key()
    equal(SessionStore(session.session_key).load(), {})
    equal(SessionStore(again.session_key)["who"], "somebody")
    again.flush()


if __name__ == "__main__":
    sys.exit(min(run("django-redis", globals()), 1))
