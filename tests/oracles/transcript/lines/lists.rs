//! Lists.

pub const LINES: &str = r#"
LPUSH l a b c
RPUSH l d e "" "\x00\r\n"
LRANGE l 0 -1
LRANGE l 1 2
LRANGE l -2 -1
LRANGE l 5 1
LRANGE l a b
LRANGE l 0 9223372036854775808
LRANGE nosuch 0 -1
LLEN l
LLEN nosuch
LINDEX l 0
LINDEX l -1
LINDEX l 100
LINDEX l a
LINDEX nosuch 0
LSET l 0 A
LSET l 100 x
LSET l a x
LSET nosuch 0 x
LINSERT l BEFORE a before-a
LINSERT l after a after-a
LINSERT l AFTER nosuch x
LINSERT l FOO a x
LINSERT nosuch BEFORE a x
LRANGE l 0 -1
LPUSHX l x y
RPUSHX l z
LPUSHX nosuch x
RPUSHX nosuch x
LPOP l
RPOP l
LPOP l 2
RPOP l 2
LPOP l 0
LPOP l -1
LPOP l a
LPOP l 1 2
LPOP nosuch
LPOP nosuch 2
RPOP nosuch
RPOP nosuch 0
RPUSH p a b c a b c a
LPOS p a
LPOS p a RANK 2
LPOS p a RANK -1
LPOS p a RANK 0
LPOS p a COUNT 0
LPOS p a COUNT 2
LPOS p a COUNT -1
LPOS p a MAXLEN 1
LPOS p a MAXLEN -1
LPOS p a RANK -1 COUNT 2 MAXLEN 3
LPOS p z
LPOS p z COUNT 1
LPOS nosuch z COUNT 1
LPOS nosuch z
LPOS p a FOO 1
LPOS p a RANK
LPOS p a RANK -9223372036854775808
LREM p 2 a
LREM p -1 c
LREM p 0 b
LREM p a b
LREM nosuch 0 a
LRANGE p 0 -1
RPUSH t 1 2 3 4 5
LTRIM t 1 3
LTRIM t a 3
LRANGE t 0 -1
LTRIM t 5 1
EXISTS t
LTRIM nosuch 0 1
RPUSH {m}a 1 2 3
RPOPLPUSH {m}a {m}b
RPOPLPUSH {m}a {m}a
RPOPLPUSH {m}nosuch {m}b
LMOVE {m}a {m}b LEFT RIGHT
LMOVE {m}a {m}b right left
LMOVE {m}a {m}b FOO left
LMOVE {m}nosuch {m}b LEFT LEFT
LRANGE {m}b 0 -1
RPUSH {m}x 1 2 3 4
LMPOP 1 {m}nosuch LEFT
LMPOP 2 {m}nosuch {m}x LEFT
LMPOP 2 {m}nosuch {m}x RIGHT COUNT 2
LMPOP 1 {m}x LEFT COUNT 100
LMPOP 1 {m}x LEFT COUNT 0
LMPOP 1 {m}x FOO
LMPOP 0 {m}x LEFT
LMPOP -1 {m}x LEFT
LMPOP a {m}x LEFT
LMPOP 3 {m}x LEFT
LMPOP 1 {m}x LEFT COUNT
LMPOP 1 {m}x LEFT COUNT 1 COUNT 2
LMPOP 1 {m}x LEFT FOO
SET {m}str v
LPUSH {m}str a
LPUSHX {m}str a
RPUSH {m}str a
LPOP {m}str
LLEN {m}str
LRANGE {m}str 0 1
LINDEX {m}str 0
LSET {m}str 0 a
LINSERT {m}str BEFORE a b
LREM {m}str 0 a
LTRIM {m}str 0 1
LPOS {m}str a
RPOPLPUSH {m}str {m}b
RPOPLPUSH {m}b {m}str
LMOVE {m}b {m}str LEFT LEFT
LMPOP 2 {m}nosuch {m}str LEFT
DEL {m}a {m}b {m}x
BLPOP {m}a 0.01
BRPOP {m}a {m}b 0.01
BLMOVE {m}a {m}b LEFT LEFT 0.01
BRPOPLPUSH {m}a {m}b 0.01
BLMPOP 0.01 2 {m}a {m}b LEFT
RPUSH {m}a 1 2 3 4 5 6 7 8
BLPOP {m}b {m}a 0
BRPOP {m}b {m}a 0
BLMOVE {m}a {m}b LEFT RIGHT 0
BRPOPLPUSH {m}a {m}b 0
BLMPOP 0 1 {m}a LEFT COUNT 2
BLMPOP 0 0 {m}a LEFT
BLMPOP x 1 {m}a LEFT
BLMPOP 0 1 {m}a UP
BLMOVE {m}a {m}b UP LEFT 0
BLPOP {m}a -1
BLPOP {m}a x
BLPOP {m}str 0
BRPOPLPUSH {m}a {m}str 0
LRANGE {m}a 0 -1
LRANGE {m}b 0 -1
"#;
