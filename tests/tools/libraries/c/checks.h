/* Shared by the C programs: the server from the command line, values, and the run with its last line. */

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

static const char *host, *password;
static int port;
static char run_id[32];
static jmp_buf next_check;

#define ADD "return redis.call('incrby', KEYS[1], ARGV[1])"

/* Ends the check unless the condition holds. */
#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            longjmp(next_check, 1);                                           \
        }                                                                     \
    } while (0)

/* A key of this run, in one of several buffers. */
static const char *key(const char *end) {
    static char names[8][128];
    static int used;
    char *name = names[used++ % 8];
    snprintf(name, sizeof names[0], "hiredis:%s:%s", run_id, end);
    return name;
}

static inline const char *numbered(const char *kind, int n) {
    char end[64];
    snprintf(end, sizeof end, "%s:%d", kind, n);
    return key(end);
}

static inline int is_text(const redisReply *reply, const char *text) {
    return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) && !strcmp(reply->str, text);
}

static inline int is_number(const redisReply *reply, long long number) {
    return reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == number;
}

static inline int is_error(const redisReply *reply, const char *text) {
    return reply && reply->type == REDIS_REPLY_ERROR && strstr(reply->str, text);
}

static void arguments(int count, char **values) {
    if (count < 3) {
        fprintf(stderr, "usage: %s HOST PORT [PASSWORD]\n", values[0]);
        exit(64);
    }
    host = values[1];
    port = atoi(values[2]);
    password = count > 3 ? values[3] : NULL;
    snprintf(run_id, sizeof run_id, "%lx-%x", (long) time(NULL), (unsigned) getpid());
}

struct check {
    const char *name;
    void (*run)(void);
};

/* Counts the checks that reach their end. */
static int run_all(const char *name, const struct check *checks) {
    volatile int passed = 0, failed = 0;
    for (const struct check *volatile check = checks; check->name; check++) {
        if (setjmp(next_check)) {
            failed++;
            printf("FAILED %s %s\n", name, check->name);
        } else {
            check->run();
            passed++;
        }
    }
    printf("%s: %d passed, %d failed\n", name, passed, failed);
    return failed > 0;
}
