//! `cross_slot` and `cross_slot_max`: the commands that run, and the errors of the others.

use slotmux_testing::{Proxy, RawClient, Value, shared_cluster, shared_proxy};
use toml::Table;

use super::call;

const PLAIN: &str = "CROSSSLOT Keys in request don't hash to the same slot";

#[track_caller]
fn refused(client: &mut RawClient, line: &str) -> String {
    call(client, line).error().to_owned()
}

fn with_namespaces(namespaces: &[(&str, &str)]) -> Proxy {
    Proxy::start(shared_cluster(), |config| {
        for (name, setting) in namespaces {
            let section: Table =
                format!("name = \"{name}\"\nmatch = [\"{name}:\"]\ncross_slot = \"{setting}\"")
                    .parse()
                    .expect("TOML");
            config.add_section("namespace", section);
        }
        config.set("log.level", "warn");
    })
}

#[test]
fn by_default_reads_run_and_writes_do_not() {
    let mut client = shared_proxy().client();
    call(&mut client, "SADD set:{1} a b");
    call(&mut client, "SADD set:{2} b c");
    assert_eq!(
        call(&mut client, "SINTER set:{1} set:{2}").items(),
        [Value::Bulk(b"b".to_vec())]
    );
    let error = refused(&mut client, "SINTERSTORE set:{3} set:{1} set:{2}");
    assert!(error.starts_with(PLAIN), "{error}");
    assert!(
        error.contains("cross_slot = \"reads\" of [defaults.namespace]"),
        "{error}"
    );
    assert_eq!(call(&mut client, "EXISTS set:{3}"), Value::Integer(0));
    // It takes from one key only.
    call(&mut client, "RPUSH set:{l} x");
    assert!(matches!(
        call(&mut client, "LMPOP 2 set:{none} set:{l} LEFT"),
        Value::Array(_)
    ));
}

#[test]
fn the_strictest_namespace_decides() {
    let proxy = with_namespaces(&[("no", "reject"), ("some", "reads"), ("any", "all")]);
    let mut client = proxy.client();
    assert_eq!(refused(&mut client, "SUNION no:1 no:2"), PLAIN);
    assert_eq!(refused(&mut client, "SUNION any:1 any:2 no:3"), PLAIN);
    assert_eq!(refused(&mut client, "SMOVE any:1 no:2 m"), PLAIN);
    let error = refused(&mut client, "SUNIONSTORE any:1 some:2 any:3");
    assert!(error.contains("of namespace 'some'"), "{error}");
    assert!(call(&mut client, "SUNION any:1 some:2").items().is_empty());
    assert_eq!(
        call(&mut client, "SUNIONSTORE any:1 any:2 any:3"),
        Value::Integer(0)
    );
    // The keys of no namespace are under the default of all namespaces.
    let error = refused(&mut client, "SUNIONSTORE any:1 any:2 other");
    assert!(error.contains("of [defaults.namespace]"), "{error}");
}

#[test]
fn inside_a_transaction_they_are_refused() {
    let mut client = shared_proxy().client();
    for line in [
        "SINTER set:{1} set:{2}",
        "LMPOP 2 set:{1} set:{2} LEFT",
        "XREAD STREAMS set:{1} set:{2} 0 0",
    ] {
        call(&mut client, "MULTI");
        assert_eq!(refused(&mut client, line), PLAIN);
        assert!(refused(&mut client, "EXEC").starts_with("EXECABORT"));
    }
}

#[test]
fn what_other_slots_hold_is_bounded() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.set("defaults.namespace.cross_slot", "all");
        config.set("commands.cross_slot_max", "64KiB");
        config.set("log.level", "warn");
    });
    let mut client = proxy.client();
    // Random letters, as DUMP compresses repetitions.
    let noise =
        |length: usize| -> String { (0..length).map(|_| fastrand::alphanumeric()).collect() };
    client.call(&["SET", "max:{1}", &noise(40_000)]);
    client.call(&["SET", "max:{2}", &noise(40_000)]);
    client.call(&["SET", "max:{big}", &noise(400_000)]);
    call(&mut client, "SET max:{d} old");
    // One of them is at home.
    let answered = client.call(&["BITOP", "AND", "max:{1}", "max:{1}", "max:{2}"]);
    assert_eq!(answered, Value::Integer(40_000));
    for line in [
        "BITOP AND max:{d} max:{1} max:{2}",
        "BITOP NOT max:{d} max:{big}",
        "COPY max:{big} max:{d} REPLACE",
        "RENAME max:{big} max:{d}",
        "LCS max:{1} max:{big}",
    ] {
        let error = refused(&mut client, line);
        assert!(
            error.starts_with("ERR slotmux: not executed, ")
                && error.contains("commands.cross_slot_max (65536 bytes)"),
            "{line}: {error}"
        );
    }
    assert_eq!(
        call(&mut client, "GET max:{d}"),
        Value::Bulk(b"old".to_vec())
    );
    assert_eq!(
        call(&mut client, "STRLEN max:{big}"),
        Value::Integer(400_000)
    );
}

#[test]
fn explain_tells_the_steps() {
    let proxy = super::running_all();
    let mut client = proxy.client();
    let mut explained = |line: &str| {
        let words = ["SLOTMUX", "EXPLAIN"].into_iter().chain(line.split(' '));
        let reply = client.call_bytes(&words.collect::<Vec<_>>());
        String::from_utf8(reply).expect("text")
    };
    let steps = explained("SUNIONSTORE ex:{d} ex:{1} ex:{2}");
    for step in [
        "WATCH and DUMP ex:{1}",
        "WATCH and DUMP ex:{2}",
        "DEL of the temporaries",
    ] {
        assert!(steps.contains(step), "{step}: {steps}");
    }
    let steps = explained("LMOVE ex:{1} ex:{2} LEFT LEFT");
    assert!(steps.contains("a push to ex:{2}"), "{steps}");
}
