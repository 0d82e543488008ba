//! MULTI, EXEC and DISCARD: queued commands, refused commands, and the replies of EXEC.

/// Whole transactions, one behind the other. Keys of one share a slot, or it only reads.
pub const LINES: &str = r##"
MULTI
EXEC

MULTI
SET {m}a 1
INCR {m}a
GET {m}a
LPUSH {m}list x y z
LRANGE {m}list 0 -1
HSET {m}hash f v
HGETALL {m}hash
SMEMBERS {m}nosuch
ZADD {m}zset 1.5 a
ZSCORE {m}zset a
GET {m}nosuch
EXEC

MULTI
INCR {m}list
LPUSH {m}a x
GET {m}a
EXEC

MULTI
SET {m}a 1
DEBUG ERROR "MOVED 1\n127.0.0.1:1"
DEBUG ERROR
INCR {m}a
EXEC

multi
PING
PING text
ECHO text
SELECT 0
SELECT 99
CLIENT SETNAME multi
CLIENT GETNAME
UNWATCH
COMMAND COUNT
PUBLISH channel message
EVAL "return 1" 0
EVAL "return redis.call('GET',KEYS[1])" 1 {m}a
exec

MULTI
GET a
GET b
MGET a b c {m}a
EXISTS a {m}a {m}list
EXEC

MULTI
MGET {m}a {m}nosuch
MSET {m}a 1 {m}b 2
DEL {m}a {m}b
SETNX {m}a 1
SETNX {m}a 2
EXEC

MULTI
BLPOP {m}nosuch 0
BRPOPLPUSH {m}list {m}list 0
XREAD BLOCK 0 STREAMS {m}nosuch 0
EXEC

MULTI
NOSUCH a b
SET {m}never 1
EXEC
EXISTS {m}never
EXEC
DISCARD

MULTI
GET
EXEC

MULTI
SET {m}never 1
CLIENT FOO
EXEC
EXISTS {m}never

MULTI
MULTI
SET {m}a 5
EXEC

MULTI
WATCH {m}a
GET {m}a
EXEC

MULTI
MULTI x
EXEC

MULTI
SET {m}never 1
DISCARD
EXISTS {m}never
DISCARD

MULTI
SET {m}never 1
DISCARD x
EXEC

MULTI
SET {m}never 1
EXEC x
EXEC
EXISTS {m}never

MULTI
SYNC
EXEC

MULTI
AUTH nobody wrong
PING
EXEC

MULTI x
WATCH
UNWATCH x

WATCH {m}a
GET {m}a
MULTI
SET {m}a 7
GET {m}a
EXEC

WATCH {m}a {m}b
SET {m}b by-itself
MULTI
SET {m}a 8
EXEC
GET {m}a

WATCH {m}a
SET {m}a 9
UNWATCH
MULTI
GET {m}a
UNWATCH
EXEC

WATCH {m}a
SET {m}a 10
WATCH {m}b
MULTI
EXEC
MULTI
EXEC

WATCH {m}a
MULTI
GET {m}a
DISCARD
SET {m}a 11
MULTI
GET {m}a
EXEC

WATCH {m}a
SET {m}a 12
MULTI
NOSUCHCOMMAND
EXEC
MULTI
GET {m}a
EXEC

WATCH {m}a
SET {m}a 13
EXEC
MULTI
EXEC

WATCH {m}a
MULTI
PING
ECHO x
EXEC
"##;
