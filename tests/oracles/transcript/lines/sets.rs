//! Sets.

pub const LINES: &str = r#"
SADD s a b c
SADD s a d "" "\x00\r\n\xff"
SADD i 3 1 2 -9223372036854775808 9223372036854775807
SADD i 2
SMEMBERS i
SMEMBERS s
SMEMBERS nosuch
SCARD s
SCARD nosuch
SISMEMBER s a
SISMEMBER s z
SISMEMBER nosuch z
SMISMEMBER s a z b ""
SMISMEMBER nosuch a b
SREM s d z
SREM s z
SREM nosuch z
SADD one only
SPOP one
SPOP one
SPOP one 2
SADD one only
SRANDMEMBER one
SRANDMEMBER one 5
SRANDMEMBER one -3
SRANDMEMBER one 0
SRANDMEMBER one a
SRANDMEMBER one 1 2
SRANDMEMBER nosuch
SRANDMEMBER nosuch 3
SRANDMEMBER i 100
SPOP one 0
SPOP one -1
SPOP one a
SPOP one 1 2
SPOP one 10
SADD all 5 6 7
SPOP all 100
EXISTS all
SADD {s}1 a b c d
SADD {s}2 c d e
SADD {s}3 d
SINTER {s}1 {s}2
SINTER {s}1 {s}2 {s}3
SINTER {s}1 {s}nosuch
SINTER {s}nosuch
SUNION {s}1 {s}2
SUNION {s}1 {s}nosuch
SUNION {s}nosuch
SDIFF {s}1 {s}2
SDIFF {s}3 {s}1
SDIFF {s}nosuch {s}1
SINTERSTORE {s}d {s}1 {s}2
SMEMBERS {s}d
SUNIONSTORE {s}d {s}1 {s}2
SCARD {s}d
SDIFFSTORE {s}d {s}1 {s}2
SMEMBERS {s}d
SINTERSTORE {s}d {s}1 {s}nosuch
EXISTS {s}d
SUNIONSTORE {s}d {s}nosuch
SDIFFSTORE {s}d {s}nosuch
SINTERCARD 2 {s}1 {s}2
SINTERCARD 2 {s}1 {s}2 LIMIT 1
SINTERCARD 2 {s}1 {s}2 LIMIT 0
SINTERCARD 2 {s}1 {s}2 LIMIT -1
SINTERCARD 2 {s}1 {s}2 LIMIT
SINTERCARD 0 {s}1
SINTERCARD -1 {s}1
SINTERCARD a {s}1
SINTERCARD 3 {s}1 {s}2
SINTERCARD 1 {s}1 FOO
SINTERCARD 1 {s}nosuch
SMOVE {s}1 {s}2 a
SMOVE {s}1 {s}2 a
SMOVE {s}1 {s}1 b
SMOVE {s}nosuch {s}1 b
SMOVE {s}3 {s}new d
EXISTS {s}3
SSCAN {s}1 0
SSCAN {s}1 0 COUNT 1000
SSCAN {s}1 0 MATCH b*
SSCAN {s}1 0 MATCH nosuch COUNT 1000
SSCAN {s}nosuch 0
SSCAN {s}1 a
SSCAN {s}nosuch -1
SSCAN {s}1 99999999999999999999999
SSCAN {s}1 0 COUNT 0
SSCAN {s}1 0 COUNT a
SSCAN {s}1 0 FOO
SSCAN {s}1 0 TYPE string
SSCAN i 0
SET {s}str v
SADD {s}str a
SREM {s}str a
SCARD {s}str
SMEMBERS {s}str
SISMEMBER {s}str a
SMISMEMBER {s}str a
SPOP {s}str
SRANDMEMBER {s}str
SINTER {s}1 {s}str
SUNION {s}str {s}1
SDIFF {s}1 {s}str
SINTERSTORE {s}d {s}1 {s}str
SUNIONSTORE {s}d {s}1 {s}str
SDIFFSTORE {s}d {s}str {s}1
SINTERCARD 2 {s}1 {s}str
SMOVE {s}1 {s}str b
SMOVE {s}str {s}1 b
SSCAN {s}str 0
SUNIONSTORE {s}str {s}1
TYPE {s}str
"#;
