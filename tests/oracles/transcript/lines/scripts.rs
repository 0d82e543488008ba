//! Scripts and functions: with keys of one slot, without keys, and for every reply type.

/// Scripts that run and scripts that fail.
pub const LINES: &str = r##"
EVAL "return 2" 0
EVAL "return ARGV[1]" 0 a
EVAL "return {KEYS[1],KEYS[2],ARGV[1],ARGV[2]}" 2 {e}a {e}b c d
EVAL "return redis.call('SET',KEYS[1],ARGV[1])" 1 {e}a v
EVAL "return redis.call('GET',KEYS[1])" 1 {e}a
EVAL "return redis.call('GET',KEYS[1])" 1 {e}nosuch
EVAL "return redis.call('LPUSH',KEYS[1],'x')" 1 {e}a
EVAL "return redis.pcall('LPUSH',KEYS[1],'x')" 1 {e}a
EVAL "return redis.call('NOSUCH')" 0
EVAL "return redis.error_reply('MY error')" 0
EVAL "return redis.error_reply('-MY error')" 0
EVAL "return redis.status_reply('FINE')" 0
EVAL "return {err='plain'}" 0
EVAL "return {ok='fine'}" 0
EVAL "return nosuch.field" 0
EVAL "this is no lua" 0
EVAL "error('thrown')" 0
EVAL "return redis.sha1hex('')" 0
EVAL "return redis.call('INCR',KEYS[1])" 1 {e}n
EVAL "return redis.call('MGET',KEYS[1],KEYS[2])" 2 {e}a {e}nosuch
EVAL "return 1" -1
EVAL "return 1" a
EVAL "return 1" 2 {e}a
EVAL "return 1" ""
EVAL "return 1" 01
EVAL "return 1" 9999999999
EVAL "" 0
EVAL "return KEYS[1]" 1 ""
EVAL "#!lua\nreturn 5" 0
EVAL "#!lua flags=no-writes\nreturn redis.call('SET',KEYS[1],'x')" 1 {e}a
EVAL "#!nosuch\nreturn 5" 0
EVAL "return cjson.encode({1,2,3})" 0
EVAL "return redis.call('MULTI')" 0
EVAL_RO "return redis.call('GET',KEYS[1])" 1 {e}a
EVAL_RO "return redis.call('SET',KEYS[1],'w')" 1 {e}a
EVAL_RO "return 1" 0
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
EVALSHA short 0
EVALSHA ffffffffffffffffffffffffffffffffffffffff 1 {e}a
EVALSHA_RO ffffffffffffffffffffffffffffffffffffffff 0
SCRIPT LOAD "return 1"
SCRIPT LOAD "no lua at all"
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 1 {e}a
EVALSHA_RO e0e1f9fabfc9d4800c877a703b823ac0578ff8db 1 {e}b
SCRIPT EXISTS
SCRIPT EXISTS x
EVAL "return 'seen once'" 0
SCRIPT EXISTS f508fd6573544b6360ae2da6b3c65dd7cc8d6846
SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db ffffffffffffffffffffffffffffffffffffffff E0E1F9FABFC9D4800C877A703B823AC0578FF8DB
EVAL "return 'run on one node'" 1 {e}a
SCRIPT EXISTS ffffffffffffffffffffffffffffffffffffffff 5f4e712d414d03651fdaf860477aec4f5822740d
SCRIPT HELP
SCRIPT FOO
SCRIPT
SCRIPT FLUSH
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 1 {e}a
SCRIPT FLUSH ASYNC
SCRIPT FLUSH FOO

FUNCTION LOAD "#!lua name=lib\nredis.register_function('f1', function(keys, args) return {keys[1] or 'none', args[1] or 'none'} end)\nredis.register_function{function_name='f2', callback=function() return 2 end, flags={'no-writes'}}"
FUNCTION LOAD "#!lua name=lib\nredis.register_function('f1', function() return 1 end)"
FUNCTION LOAD REPLACE "#!lua name=lib\nredis.register_function('f1', function(keys, args) return {keys[1] or 'none', args[1] or 'none', 3} end)\nredis.register_function{function_name='f2', callback=function() return 2 end, flags={'no-writes'}}"
FUNCTION LOAD "no header"
FUNCTION LOAD "#!lua name=bad\nnosuch()"
FUNCTION LOAD FOO x
FCALL f1 1 {f}a x
FCALL f1 0
FCALL f1 2 {f}a {f}b y
FCALL nosuch 0
FCALL f1 -1
FCALL f1 a
FCALL f1 3 {f}a
FCALL_RO f2 0
FCALL_RO f2 1 {f}a
FCALL_RO f1 0
FUNCTION LIST
FUNCTION LIST WITHCODE LIBRARYNAME nosuch
FUNCTION LIST FOO
FUNCTION DUMP
FUNCTION DUMP x
FUNCTION STATS
FUNCTION KILL
FUNCTION RESTORE x
FUNCTION RESTORE x FOO
SCRIPT KILL
FUNCTION HELP
FUNCTION FOO
FUNCTION
FUNCTION DELETE nosuch
FUNCTION DELETE lib
FCALL f1 0
FUNCTION FLUSH
FUNCTION FLUSH SYNC
FUNCTION FLUSH FOO
"##;

/// Every reply type, as a script of either protocol can make it.
pub const TYPES: &str = r##"
EVAL "redis.setresp(3) return {map={a=1}}" 0
EVAL "redis.setresp(3) return {set={a=true}}" 0
EVAL "redis.setresp(3) return {double=3.25}" 0
EVAL "redis.setresp(3) return {double=0/0}" 0
EVAL "redis.setresp(3) return {double=1/0}" 0
EVAL "redis.setresp(3) return {double=-1/0}" 0
EVAL "redis.setresp(3) return {big_number='1234567890123456789012345678901234567890'}" 0
EVAL "redis.setresp(3) return {big_number='not\r\na number'}" 0
EVAL "redis.setresp(3) return {verbatim_string={format='txt',string='plain\\r\\ntext'}}" 0
EVAL "redis.setresp(3) return {verbatim_string={format='mkd',string=''}}" 0
EVAL "redis.setresp(3) return true" 0
EVAL "redis.setresp(3) return false" 0
EVAL "redis.setresp(3) return nil" 0
EVAL "redis.setresp(3) return {true,false,{double=1.5},{map={x={1,2}}},'s',7}" 0
EVAL "redis.setresp(3) return redis.call('HGETALL',KEYS[1])" 1 {ty}h
EVAL "redis.setresp(3) return redis.call('ZSCORE',KEYS[1],'m')" 1 {ty}z
EVAL "redis.setresp(4) return 1" 0
EVAL "return true" 0
EVAL "return false" 0
EVAL "return nil" 0
EVAL "return 3.99" 0
EVAL "return -3.99" 0
EVAL "return '3.99'" 0
EVAL "return {}" 0
EVAL "return {1,nil,3}" 0
EVAL "return {1,{2,{3,{4,{5,{6}}}}}}" 0
EVAL "return {false,true,'',{}}" 0
EVAL "return 9223372036854775807" 0
EVAL "return -9007199254740993" 0
EVAL "return '\\000\\r\\n\\255'" 0
EVAL "local t={} for i=1,2000 do t[i]=i end return t" 0
EVAL "local t={} for i=1,300 do t[i]={i,tostring(i),{i}} end return t" 0
EVAL "local r=1 for i=1,100 do r={r} end return r" 0
EVAL "return string.rep('x',100000)" 0
EVAL "return {string.rep('y',20000),string.rep('z',20000)}" 0
"##;
