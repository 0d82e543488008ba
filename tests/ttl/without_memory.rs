//! Scripts under a policy on a node without free memory: no script runs without its expiries.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use super::add_namespace;
use slotmux_testing::{Proxy, RawClient, Value};

const READS: &str = "return redis.call('GET', KEYS[1])";
const WRITES: &str = "return redis.call('SET', KEYS[1], 'script')";
const ALLOWED: &str = "#!lua flags=allow-oom\nreturn redis.call('SET', KEYS[1], 'allowed')";

#[test]
fn scripts_leave_no_key_without_its_ttl() {
    let server = LocalServer::start(&ServerOptions::default()).expect("a server");
    for strength in ["atomic", "pipelined"] {
        let proxy = Proxy::start_before(&server, |config| {
            let ttl = format!("default = \"100s\", strength = \"{strength}\"");
            add_namespace(config, "ns", &ttl);
        });
        let mut client = proxy.client();
        let direct = |words: &[&str]| -> String { server.query(words).expect("a reply") };
        direct(&["CONFIG", "SET", "maxmemory", "0"]);
        direct(&["SET", "ns:old", "v"]);
        // An empty server uses more than this.
        direct(&["CONFIG", "SET", "maxmemory", "1"]);
        let is_oom = |reply: &Value| matches!(reply, Value::Error(text) if text.starts_with("OOM"));
        let written = client.call(&["EVAL", WRITES, "1", "ns:old"]);
        assert!(is_oom(&written), "{strength}: {written:?}");
        // Before 7.2 a node without memory refuses a script between MULTI and EXEC at its start.
        let is_refused = strength == "atomic" && !runs_scripts_in_multi(&server);
        let ttl = |key: &str| server.query::<i64>(&["TTL", key]).expect("a TTL");
        // A block runs as a whole or not at all; PEXPIRE alone needs no memory.
        assert_eq!(ttl("ns:old") > 0, !is_refused, "{strength}");
        let read = client.call(&["EVAL", READS, "1", "ns:old"]);
        assert_eq!(is_oom(&read), is_refused, "{strength}: {read:?}");
        let read = client.call(&["EVAL_RO", READS, "1", "ns:old"]);
        assert_eq!(read, Value::bulk("v"), "{strength}");
        let allowed = client.call(&["EVAL", ALLOWED, "1", "ns:new"]);
        assert_eq!(is_oom(&allowed), is_refused, "{strength}: {allowed:?}");
        let expected = if is_refused { -2..=-2 } else { 99..=100 };
        assert!(expected.contains(&ttl("ns:new")), "{strength}");
    }
}

fn runs_scripts_in_multi(server: &LocalServer) -> bool {
    let mut direct = RawClient::connect(server.port());
    direct.call(&["MULTI"]);
    let queued = direct.call(&["EVAL", READS, "1", "plain"]);
    direct.call(&["DISCARD"]);
    !matches!(queued, Value::Error(_))
}
