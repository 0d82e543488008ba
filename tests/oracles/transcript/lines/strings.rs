//! Strings, bitmaps, HyperLogLogs; and the commands that slotmux splits.

/// One key, or one slot.
pub const LINES: &str = r#"
SET s v
get s
GeT s
GET nosuch
SET "" empty-key
GET ""
SET empty ""
GET empty
STRLEN empty
SET "bin\x00\r\n\xff" "\x00\r\n$3\r\nabc\r\n\xff"
GET "bin\x00\r\n\xff"
SET s v NX
SET s2 v nx
SET s2 w XX
SET s3 v xx
SET s2 x GET
SET s4 x get
SET s2 y XX GET
SET s2 z NX GET
SET s v NX XX
SET s v EX
SET s v EX 0
SET s v EX -1
SET s v EX a
SET s v PX 99999999999999999999
SET s v EX 9223372036854775807
SET s v EX 10 PX 10
SET s v KEEPTTL EX 10
SET s v FOO
SET s v EX 100000
SET s w KEEPTTL
TTL s
SET s v EXAT 33177117420
EXPIRETIME s
SET s v PXAT 33177117420123
PEXPIRETIME s
SET s v
TTL s
SET s
SETNX s x
SETNX s5 x
SETNX s
SETEX se 100000 v
TTL se
SETEX se 0 v
SETEX se -5 v
SETEX se a v
SETEX se 9223372036854775807 v
PSETEX pse 100000000 v
PTTL pse
PSETEX pse 0 v
PSETEX pse x v
GETSET s new
GETSET gs-new first
GETDEL s
GETDEL s
GETEX s2
GETEX s2 EX 100000
TTL s2
GETEX s2 PERSIST
TTL s2
GETEX s2 EXAT 33177117420
GETEX s2 PXAT 33177117420123
PEXPIRETIME s2
GETEX s2 EX 0
GETEX s2 FOO
GETEX s2 EX
GETEX nosuch EX 10
APPEND ap abc
APPEND ap "\x00def"
GET ap
GETRANGE ap 0 -1
GETRANGE ap 1 2
GETRANGE ap -3 -1
GETRANGE ap 5 2
GETRANGE ap a 2
GETRANGE ap 0 99999999999999999999
GETRANGE nosuch 0 -1
SUBSTR ap 0 2
SETRANGE ap 2 XY
SETRANGE ap -1 X
SETRANGE ap 600000000 X
SETRANGE ap 4294967296 X
SETRANGE srnew 5 hello
GET srnew
SETRANGE srnew2 5 ""
EXISTS srnew2
STRLEN ap
STRLEN nosuch
INCR n
INCRBY n 41
GET n
DECR n
DECRBY n 100
DECRBY n -9223372036854775808
INCRBY n 9223372036854775807
INCRBY n 9223372036854775807
INCRBY n 9223372036854775808
INCRBY n -9223372036854775808
INCRBY n ""
INCRBY n 1.5
INCRBY n " 1"
INCRBY n 01
SET max 9223372036854775807
INCR max
DECR max
SET min -9223372036854775808
DECR min
INCR ap
INCRBYFLOAT fl 0.1
INCRBYFLOAT fl 1e3
INCRBYFLOAT fl -5.0e-1
INCRBYFLOAT fl 3.0
INCRBYFLOAT fl nan
INCRBYFLOAT fl inf
INCRBYFLOAT fl x
INCRBYFLOAT ap 1
INCRBYFLOAT n 0.5
GET fl
INCR fl
SET huge 99999999999999999999
INCR huge
INCRBYFLOAT huge 1
LPUSH wrong a
GET wrong
SET wrong v
GET wrong
LPUSH wrong a
LPUSH wronglist a
GET wronglist
APPEND wronglist a
INCR wronglist
INCRBYFLOAT wronglist 1
GETSET wronglist a
GETDEL wronglist
GETEX wronglist
STRLEN wronglist
SETRANGE wronglist 0 a
GETRANGE wronglist 0 1
SETBIT wronglist 0 1
GETBIT wronglist 0
BITCOUNT wronglist
BITPOS wronglist 1
BITFIELD wronglist GET u8 0
SET wronglist v GET
SETNX wronglist v
PFADD wronglist a
PFCOUNT wronglist
SET {l}a ohmytext
SET {l}b mynewtext
LCS {l}a {l}b
LCS {l}a {l}b LEN
LCS {l}a {l}b IDX
LCS {l}a {l}b IDX MINMATCHLEN 4
LCS {l}a {l}b IDX MINMATCHLEN 4 WITHMATCHLEN
LCS {l}a {l}b LEN IDX
LCS {l}a {l}b FOO
LCS {l}a {l}nosuch
LCS {l}a {l}b MINMATCHLEN
MSETNX {l}a 1 {l}c 2
MSETNX {l}c 1 {l}d 2 {l}c 3
MGET {l}a {l}c {l}d
MSETNX {l}e
MSETNX {l}e 1 {l}f

SETBIT bit 7 1
SETBIT bit 7 0
SETBIT bit 100 1
SETBIT bit 3 2
SETBIT bit -1 1
SETBIT bit 4294967296 1
SETBIT bit a 1
SETBIT bit 1 a
GETBIT bit 100
GETBIT bit 101
GETBIT bit 100000
GETBIT nosuch 5
GETBIT bit -1
GETBIT bit a
SET bits foobar
BITCOUNT bits
BITCOUNT bits 0 0
BITCOUNT bits 1 1
BITCOUNT bits 5 30 BIT
BITCOUNT bits 0 -5 BYTE
BITCOUNT bits 0
BITCOUNT bits a b
BITCOUNT bits 0 1 FOO
BITCOUNT nosuch
BITCOUNT nosuch 0 a
BITPOS bits 1
BITPOS bits 0
BITPOS bits 1 2
BITPOS bits 1 2 -1
BITPOS bits 1 7 15 BIT
BITPOS bits 2
BITPOS bits a
BITPOS nosuch 1
BITPOS nosuch 0
BITPOS bits 1 0 1 FOO
SET {b}1 abcdef
SET {b}2 "\xff\x0f\x00"
BITOP AND {b}d {b}1 {b}2
GET {b}d
BITOP or {b}d {b}1 {b}2 {b}nosuch
GET {b}d
BITOP XOR {b}d {b}1 {b}2
GET {b}d
BITOP NOT {b}d {b}2
GET {b}d
BITOP NOT {b}d {b}1 {b}2
BITOP FOO {b}d {b}1
BITOP AND {b}d {b}nosuch
EXISTS {b}d
LPUSH {b}list a
BITOP AND {b}d {b}1 {b}list
BITFIELD bf SET u8 0 255 GET u8 0
BITFIELD bf INCRBY u8 0 10 OVERFLOW SAT INCRBY u8 0 300 OVERFLOW FAIL INCRBY u8 0 1
BITFIELD bf GET i4 #1 SET i64 64 -1 INCRBY i5 100 1
BITFIELD bf
BITFIELD bf GET u64 0
BITFIELD bf GET u8 -1
BITFIELD bf GET x8 0
BITFIELD bf OVERFLOW FOO
BITFIELD bf FOO u8 0
BITFIELD bf GET u8
BITFIELD_RO bf GET u8 0 GET i16 8
BITFIELD_RO bf SET u8 0 1
BITFIELD_RO nosuch GET u8 0

PFADD {h}1 a b c d e f g
PFADD {h}1 a b
PFADD {h}2 f g h i
PFADD {h}empty
PFADD {h}empty
PFCOUNT {h}1
PFCOUNT {h}1 {h}2
PFCOUNT {h}1 {h}2 {h}nosuch
PFCOUNT {h}nosuch
PFMERGE {h}d {h}1 {h}2
PFCOUNT {h}d
PFMERGE {h}d
PFMERGE {h}e {h}nosuch
GET {h}empty
SET {h}str notahll
PFADD {h}str a
PFCOUNT {h}str
PFCOUNT {h}1 {h}str
PFMERGE {h}d {h}str
PFDEBUG ENCODING {h}1
PFDEBUG TODENSE {h}1
PFDEBUG ENCODING {h}1
PFDEBUG DECODE {h}1
PFDEBUG GETREG {h}nosuch
PFDEBUG FOO {h}1
"#;

/// Keys of many slots, duplicates, missing keys, wrong types, tags that share a slot.
pub const SPLIT: &str = r#"
MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10
MGET a b c d e f g h i j
MGET j a nosuch a j nosuch b ""
mget a a a a
MSET a first b x a second
GET a
MSET a
MSET a 1 b
MSET a 1 b 2 c
MSET "" e "\x00" n "k\r\n" "v\r\n"
MGET "" "\x00" "k\r\n"
MSET {x}1 1 {x}2 2 {y}1 3 {y}2 4 {x}3 5
MGET {y}2 {x}3 {x}1 {y}1 {x}2 {z}1
MSET {}a 1 a}b 2 {a 3 }{a} 4 {{a}} 5 a{}{b} 6
MGET {}a a}b {a }{a} {{a}} a{}{b}
RPUSH split:list 1
SADD split:set 1
MGET a split:list b split:set
EXISTS a b c nosuch
EXISTS a a a
EXISTS nosuch nosuch2
EXISTS split:list split:set a nosuch ""
TOUCH a b c nosuch
TOUCH a a nosuch
TOUCH nosuch
UNLINK a nosuch b
UNLINK c c d
UNLINK nosuch
MGET a b c d e
DEL e e f split:list nosuch
DEL nosuch
DEL "" "\x00" "k\r\n"
DEL g h i j split:set {x}1 {x}2 {x}3 {y}1 {y}2
EXISTS g
MSET {one}a 1 {one}b 2
EXISTS {one}a {one}b {one}c
DEL {one}a {one}b {one}c
DEL {}a a}b {a }{a} {{a}} a{}{b}
DBSIZE
"#;
