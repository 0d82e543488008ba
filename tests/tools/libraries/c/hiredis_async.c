/* hiredis, its asynchronous interface over libevent: HOST PORT [PASSWORD]. Nothing is set up for slotmux. */

#include "checks.h"

#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>

static struct event_base *base;
static int remaining, wrong;

static void connected(const redisAsyncContext *context, int status) {
    (void) context;
    wrong += status != REDIS_OK;
}

static redisAsyncContext *client(void) {
    redisAsyncContext *context = redisAsyncConnect(host, port);
    CHECK(context && !context->err);
    CHECK(redisLibeventAttach(context, base) == REDIS_OK);
    redisAsyncSetConnectCallback(context, connected);
    if (password) {
        CHECK(redisAsyncCommand(context, NULL, NULL, "AUTH %s", password) == REDIS_OK);
    }
    return context;
}

/* Runs the loop until the replies that are awaited have come. */
static void await(void) {
    struct timeval patience = {20, 0};
    event_base_loopexit(base, &patience);
    event_base_dispatch(base);
    CHECK(remaining == 0 && wrong == 0);
}

static void settle(int right) {
    wrong += !right;
    if (--remaining == 0) {
        event_base_loopbreak(base);
    }
}

static void on_number(redisAsyncContext *context, void *reply, void *wanted) {
    (void) context;
    settle(is_number(reply, (long) wanted));
}

static void on_popped(redisAsyncContext *context, void *data, void *wanted) {
    (void) context;
    redisReply *reply = data;
    settle(reply && reply->elements == 2 && is_text(reply->element[1], wanted));
}

/* All at once on a few connections: a reply that reached another request would show. */
static void many_at_once(void) {
    redisAsyncContext *clients[5];
    for (int n = 0; n < 5; n++) {
        clients[n] = client();
    }
    for (long n = 0; n < 5000; n++) {
        remaining++;
        CHECK(redisAsyncCommand(clients[n % 5], on_number, (void *) n, "INCRBY %s %ld", numbered("n", n), n) == REDIS_OK);
    }
    await();
    for (int n = 0; n < 5; n++) {
        redisAsyncFree(clients[n]);
    }
}

static void scripts(void) {
    redisAsyncContext *context = client();
    for (long n = 0; n < 100; n++) {
        remaining++;
        CHECK(redisAsyncCommand(context, on_number, (void *) n, "EVAL %s 1 %s %ld", ADD, numbered("s", n), n) == REDIS_OK);
    }
    await();
    redisAsyncFree(context);
}

static void blocking(void) {
    redisAsyncContext *context = client(), *other = client();
    remaining = 2;
    CHECK(redisAsyncCommand(context, on_popped, "x", "BLPOP %s 20", key("list")) == REDIS_OK);
    CHECK(redisAsyncCommand(other, on_number, (void *) 1, "RPUSH %s x", key("list")) == REDIS_OK);
    await();
    redisAsyncFree(context);
    redisAsyncFree(other);
}

static redisAsyncContext *publisher;
static char channel[128], pattern[128];

static void on_message(redisAsyncContext *context, void *data, void *unused) {
    (void) context;
    (void) unused;
    redisReply *reply = data;
    if (!reply || reply->type != REDIS_REPLY_ARRAY) {
        return;
    }
    const char *kind = reply->element[0]->str;
    if (!strcmp(kind, "psubscribe")) {
        for (int n = 0; n < 50; n++) {
            redisAsyncCommand(publisher, NULL, NULL, "PUBLISH %s %d", channel, n);
        }
    } else if (strstr(kind, "message")) {
        settle(1);
    }
}

static void subscriptions(void) {
    redisAsyncContext *listener = client();
    publisher = client();
    strcpy(channel, key("channel"));
    strcpy(pattern, key("chan*"));
    remaining = 100;
    CHECK(redisAsyncCommand(listener, on_message, NULL, "SUBSCRIBE %s", channel) == REDIS_OK);
    CHECK(redisAsyncCommand(listener, on_message, NULL, "PSUBSCRIBE %s", pattern) == REDIS_OK);
    await();
    redisAsyncFree(listener);
    redisAsyncFree(publisher);
}

static int lost;

static void disconnected(const redisAsyncContext *context, int status) {
    (void) context;
    lost += status != REDIS_OK;
    settle(1);
}

static void on_id(redisAsyncContext *context, void *reply, void *other) {
    (void) context;
    redisAsyncCommand(other, on_number, (void *) 1, "CLIENT KILL ID %lld", ((redisReply *) reply)->integer);
}

/* A killed connection calls back; the next one works. */
static void reconnect(void) {
    redisAsyncContext *victim = client(), *other = client();
    redisAsyncSetDisconnectCallback(victim, disconnected);
    remaining = 2;
    CHECK(redisAsyncCommand(victim, on_id, other, "CLIENT ID") == REDIS_OK);
    await();
    CHECK(lost == 1);
    victim = client();
    remaining = 1;
    CHECK(redisAsyncCommand(victim, on_number, (void *) 7, "INCRBY %s 7", key("again")) == REDIS_OK);
    await();
    redisAsyncFree(victim);
    redisAsyncFree(other);
}

static const struct check checks[] = {
    {"many at once", many_at_once},   {"scripts", scripts},     {"blocking", blocking},
    {"subscriptions", subscriptions}, {"reconnect", reconnect}, {NULL, NULL},
};

int main(int count, char **values) {
    arguments(count, values);
    base = event_base_new();
    return run_all("hiredis-async", checks);
}
