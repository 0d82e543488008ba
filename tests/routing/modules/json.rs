//! JSON values in several slots: read and written as if one node had them.

use slotmux_core::command::split::MOST_REPEATED;
use slotmux_testing::{Proxy, RawClient, Value};

use super::{modules, shared, words};

/// The keys, as many as there are slots for, in no order of slots.
fn keys(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}:{i}")).collect()
}

fn set_all(client: &mut RawClient, keys: &[String]) {
    for (i, key) in keys.iter().enumerate() {
        let value = format!("{{\"n\":{i}}}");
        assert_eq!(client.call(&["JSON.SET", key, "$", &value]), Value::ok());
    }
}

#[test]
fn values_of_several_slots_come_in_the_order_of_the_keys() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |_| {});
    let one = modules().expect("modules").server();
    for (protocol, mut client, mut direct) in [
        (2, proxy.client(), RawClient::connect(one.port())),
        (
            3,
            proxy.client_resp3(),
            RawClient::connect_resp3(one.port()),
        ),
    ] {
        // 300 are more than one turn takes.
        let keys = keys(&format!("json:{protocol}"), 300);
        set_all(&mut client, &keys);
        set_all(&mut direct, &keys);
        let few = [&keys[5], "json:none", &keys[0], &keys[7], &keys[5]];
        let mut short = words("JSON.MGET");
        short.extend(few.map(str::to_owned));
        short.push("$.n".to_owned());
        let mut long = words("JSON.MGET");
        long.extend(keys.iter().rev().cloned());
        long.push("$.n".to_owned());
        let mut without_path = words("JSON.MGET");
        without_path.extend(keys[..2].iter().cloned());
        for request in [&short, &long, &without_path] {
            assert_eq!(client.call(request), direct.call(request), "{protocol}");
        }
        let items = client.call(&short);
        assert_eq!(items.items()[3], Value::bulk("[7]"));
        assert!(!client.call(&["JSON.MGET"]).error().is_empty());
    }
}

#[test]
fn values_are_written_to_several_slots() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |_| {});
    let mut client = proxy.client();
    let keys = keys("mset", 20);
    let mut request = words("JSON.MSET");
    for (i, key) in keys.iter().enumerate() {
        request.extend([key.clone(), "$".to_owned(), i.to_string()]);
    }
    assert_eq!(client.call(&request), Value::ok());
    for (i, key) in keys.iter().enumerate() {
        let expected = Value::bulk(i.to_string());
        assert_eq!(client.call(&["JSON.GET", key]), expected);
    }
    request.pop();
    let incomplete = client.call(&request);
    assert_eq!(
        incomplete.error(),
        "ERR wrong number of arguments for 'json.mset' command"
    );
    // One value is wrong: the error says that other slots have theirs.
    let wrong = client.call(&[
        "JSON.MSET",
        &keys[0],
        "$",
        "100",
        &keys[1],
        "$",
        "{",
        &keys[2],
        "$",
        "102",
    ]);
    assert!(
        wrong
            .error()
            .starts_with("ERR slotmux: partial failure, 2 of 3 parts applied: "),
        "{wrong:?}"
    );
}

#[test]
fn a_path_that_every_part_repeats_has_a_limit() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |_| {});
    let mut client = proxy.client();
    let keys = keys("path", 3);
    set_all(&mut client, &keys);
    let get = |path: &str| [&words("JSON.MGET")[..], &keys, &[path.to_owned()]].concat();
    let longest = format!("$.{}", "n".repeat(MOST_REPEATED - "JSON.MGET$.".len()));
    assert_eq!(client.call(&get(&longest)).items().len(), 3);
    let longer = client.call(&get(&format!("{longest}n")));
    assert!(
        longer.error().starts_with("ERR slotmux: not executed"),
        "{longer:?}"
    );
    // In one slot it goes as it is.
    let one = client.call(&["JSON.MGET", &keys[0], &format!("{longest}n")]);
    assert_eq!(one.items().len(), 1);
}

#[test]
fn in_a_transaction() {
    let Some(cluster) = shared() else { return };
    let proxy = Proxy::start(cluster, |config| {
        config.set("defaults.namespace.multi", "split");
    });
    for mut client in [proxy.client(), proxy.client_resp3()] {
        let lines = [
            "MULTI",
            "JSON.MSET tx:1 $ 1 tx:2 $ 2 tx:3 $ 3",
            "JSON.MGET tx:3 tx:none tx:1 tx:2 $",
            "GRAPH.LIST",
            "EXEC",
        ];
        let replies: Vec<Value> = lines.iter().map(|line| client.call(&words(line))).collect();
        assert!(
            replies[3]
                .error()
                .starts_with("ERR slotmux: 'graph.list' is refused: it can't be used inside MULTI"),
            "{replies:?}"
        );
        assert!(replies[4].error().starts_with("EXECABORT"), "{replies:?}");
        let replies: Vec<Value> = lines
            .iter()
            .filter(|line| **line != "GRAPH.LIST")
            .map(|line| client.call(&words(line)))
            .collect();
        let done = replies[3].items();
        assert_eq!(done[0], Value::ok());
        let texts: Vec<&Value> = done[1].items().iter().collect();
        let [three, none, one, two] = texts[..] else {
            panic!("{done:?}")
        };
        assert_eq!(
            [three, one, two],
            [
                &Value::bulk("[3]"),
                &Value::bulk("[1]"),
                &Value::bulk("[2]")
            ]
        );
        assert_eq!(*none, Value::Null);
    }
}
