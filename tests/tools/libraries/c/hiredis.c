/* hiredis, its blocking interface: HOST PORT [PASSWORD]. Nothing is set up for slotmux. */

#include "checks.h"

static redisContext *connected(void) {
    struct timeval patience = {20, 0};
    redisContext *context = redisConnectWithTimeout(host, port, patience);
    CHECK(context && !context->err);
    CHECK(redisSetTimeout(context, patience) == REDIS_OK);
    if (password) {
        redisReply *reply = redisCommand(context, "AUTH %s", password);
        CHECK(is_text(reply, "OK"));
        freeReplyObject(reply);
    }
    return context;
}

#define ASK(reply, context, ...)                                   \
    redisReply *reply = redisCommand(context, __VA_ARGS__);        \
    CHECK(reply)

static void handshake(void) {
    redisContext *context = connected();
    ASK(pong, context, "PING");
    CHECK(is_text(pong, "PONG"));
    ASK(named, context, "CLIENT SETNAME %s", "by-name");
    CHECK(is_text(named, "OK"));
    ASK(name, context, "CLIENT GETNAME");
    CHECK(is_text(name, "by-name"));
    if (password) {
        redisContext *other = redisConnect(host, port);
        ASK(missing, other, "GET k");
        CHECK(is_error(missing, "NOAUTH"));
        ASK(wrong, other, "AUTH %s", "certainly wrong");
        CHECK(is_error(wrong, "WRONGPASS"));
        redisFree(other);
    }
    redisFree(context);
}

static void values(void) {
    redisContext *context = connected();
    static char big[1 << 20];
    for (size_t n = 0; n < sizeof big; n++) {
        big[n] = (char) n;
    }
    size_t sizes[] = {0, 1, 256, sizeof big};
    for (int n = 0; n < 4; n++) {
        ASK(set, context, "SET %s %b EX 1000", key("k"), big, sizes[n]);
        CHECK(is_text(set, "OK"));
        ASK(got, context, "GET %s", key("k"));
        CHECK(got->type == REDIS_REPLY_STRING && (size_t) got->len == sizes[n] && !memcmp(got->str, big, sizes[n]));
        freeReplyObject(got);
    }
    ASK(missing, context, "GET %s", key("missing"));
    CHECK(missing->type == REDIS_REPLY_NIL);
    redisFree(context);
}

static void pipelines(void) {
    redisContext *context = connected();
    for (int n = 0; n < 2000; n++) {
        CHECK(redisAppendCommand(context, "SET %s %d", numbered("p", n), n) == REDIS_OK);
        CHECK(redisAppendCommand(context, "INCR %s", numbered("p", n)) == REDIS_OK);
    }
    CHECK(redisAppendCommand(context, "LPUSH %s x", numbered("p", 0)) == REDIS_OK);
    redisReply *reply;
    for (int n = 0; n < 2000; n++) {
        CHECK(redisGetReply(context, (void **) &reply) == REDIS_OK && is_text(reply, "OK"));
        freeReplyObject(reply);
        CHECK(redisGetReply(context, (void **) &reply) == REDIS_OK && is_number(reply, n + 1));
        freeReplyObject(reply);
    }
    CHECK(redisGetReply(context, (void **) &reply) == REDIS_OK && is_error(reply, "WRONGTYPE"));
    redisFree(context);
}

static void many_keys(void) {
    redisContext *context = connected();
    static char names[200][128];
    const char *words[401] = {"MSET"};
    for (int n = 0; n < 200; n++) {
        strcpy(names[n], numbered("many", n));
        words[1 + 2 * n] = words[2 + 2 * n] = names[n];
    }
    redisReply *set = redisCommandArgv(context, 401, words, NULL);
    CHECK(is_text(set, "OK"));
    words[0] = "MGET";
    for (int n = 0; n < 200; n++) {
        words[1 + n] = names[n];
    }
    redisReply *got = redisCommandArgv(context, 201, words, NULL);
    CHECK(got && got->type == REDIS_REPLY_ARRAY && got->elements == 200);
    for (int n = 0; n < 200; n++) {
        CHECK(is_text(got->element[n], names[n]));
    }
    redisFree(context);
}

static void transactions(void) {
    redisContext *context = connected(), *other = connected();
    for (int disturbed = 0; disturbed < 2; disturbed++) {
        ASK(watched, context, "WATCH %s", key("{t}a"));
        CHECK(is_text(watched, "OK"));
        if (disturbed) {
            ASK(changed, other, "SET %s 100", key("{t}a"));
            CHECK(is_text(changed, "OK"));
        }
        ASK(begun, context, "MULTI");
        CHECK(is_text(begun, "OK"));
        ASK(first, context, "INCR %s", key("{t}a"));
        CHECK(is_text(first, "QUEUED"));
        ASK(second, context, "INCRBY %s 5", key("{t}b"));
        CHECK(is_text(second, "QUEUED"));
        ASK(done, context, "EXEC");
        if (disturbed) {
            CHECK(done->type == REDIS_REPLY_NIL);
        } else {
            CHECK(done->elements == 2 && is_number(done->element[0], 1) && is_number(done->element[1], 5));
        }
    }
    redisFree(context);
    redisFree(other);
}

static void scripts(void) {
    redisContext *context = connected();
    ASK(sum, context, "EVAL %s 1 %s 5", ADD, key("sum"));
    CHECK(is_number(sum, 5));
    ASK(digest, context, "SCRIPT LOAD %s", ADD " -- hiredis");
    CHECK(digest->type == REDIS_REPLY_STRING && digest->len == 40);
    for (int n = 0; n < 21; n++) {
        ASK(found, context, "EVALSHA %s 1 %s %d", digest->str, numbered("s", n), n);
        CHECK(is_number(found, n));
    }
    ASK(unknown, context, "EVALSHA %s 1 %s 1", "0000000000000000000000000000000000000000", key("sum"));
    CHECK(is_error(unknown, "NOSCRIPT"));
    redisFree(context);
}

static void subscriptions(void) {
    redisContext *listener = connected(), *publisher = connected();
    ASK(subscribed, listener, "SUBSCRIBE %s", key("channel"));
    CHECK(subscribed->elements == 3 && is_text(subscribed->element[0], "subscribe"));
    for (int n = 0; n < 50; n++) {
        ASK(receivers, publisher, "PUBLISH %s %d", key("channel"), n);
        CHECK(is_number(receivers, 1));
    }
    for (int n = 0; n < 50; n++) {
        redisReply *message;
        CHECK(redisGetReply(listener, (void **) &message) == REDIS_OK);
        CHECK(message->elements == 3 && is_text(message->element[0], "message") && atoi(message->element[2]->str) == n);
    }
    redisFree(listener);
    redisFree(publisher);
}

static void blocking(void) {
    redisContext *context = connected(), *other = connected();
    int written = 0;
    CHECK(redisAppendCommand(context, "BLPOP %s 20", key("list")) == REDIS_OK);
    while (!written) {
        CHECK(redisBufferWrite(context, &written) == REDIS_OK);
    }
    ASK(pushed, other, "RPUSH %s x", key("list"));
    CHECK(is_number(pushed, 1));
    redisReply *popped;
    CHECK(redisGetReply(context, (void **) &popped) == REDIS_OK);
    CHECK(popped->elements == 2 && is_text(popped->element[0], key("list")) && is_text(popped->element[1], "x"));
    ASK(none, context, "BLPOP %s 0.1", key("list"));
    CHECK(none->type == REDIS_REPLY_NIL);
    redisFree(context);
    redisFree(other);
}

static void scans(void) {
    redisContext *context = connected();
    int found[200] = {0};
    for (int n = 0; n < 200; n++) {
        ASK(set, context, "SET %s 1", numbered("scan", n));
    }
    char cursor[32] = "0";
    do {
        ASK(page, context, "SCAN %s MATCH %s COUNT 50", cursor, key("scan:*"));
        CHECK(page->elements == 2);
        snprintf(cursor, sizeof cursor, "%s", page->element[0]->str);
        for (size_t n = 0; n < page->element[1]->elements; n++) {
            found[atoi(strrchr(page->element[1]->element[n]->str, ':') + 1)] = 1;
        }
        freeReplyObject(page);
    } while (strcmp(cursor, "0"));
    for (int n = 0; n < 200; n++) {
        CHECK(found[n]);
    }
    redisFree(context);
}

/* A killed connection is an error of its context, and redisReconnect brings it back. */
static void reconnect(void) {
    redisContext *context = connected(), *other = connected();
    ASK(victim, context, "CLIENT ID");
    ASK(killed, other, "CLIENT KILL ID %lld", victim->integer);
    CHECK(is_number(killed, 1));
    CHECK(redisCommand(context, "PING") == NULL && context->err);
    CHECK(redisReconnect(context) == REDIS_OK);
    if (password) {
        ASK(login, context, "AUTH %s", password);
    }
    ASK(set, context, "SET %s 1", key("again"));
    CHECK(is_text(set, "OK"));
    redisFree(context);
    redisFree(other);
}

static const struct check checks[] = {
    {"handshake", handshake},         {"values", values},     {"pipelines", pipelines}, {"many keys", many_keys},
    {"transactions", transactions},   {"scripts", scripts},   {"blocking", blocking},   {"scans", scans},
    {"subscriptions", subscriptions}, {"reconnect", reconnect}, {NULL, NULL},
};

int main(int count, char **values) {
    arguments(count, values);
    return run_all("hiredis", checks);
}
