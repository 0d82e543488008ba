//! Order in which subscriptions end when no names are given: the order of subscription. Redis 7.0 does the same for
//! patterns; its order of channels, and that of patterns of newer servers, differs at every start, so any order is valid.

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use crate::pubsub::shared_proxy;
use slotmux_testing::{RawClient, Value};

use super::subscribe;

/// So many names that no table has them in this order by chance.
const NAMES: usize = 20;

fn names(prefix: &str) -> Vec<String> {
    // Sorted in neither direction.
    (0..NAMES)
        .map(|i| format!("{{order}}{prefix}{}", i * 7 % NAMES))
        .collect()
}

/// Subscribes to all names, ends some, renews some, and ends the rest; returns the confirmations of the last step.
fn ended(client: &mut RawClient, [on, off]: [&str; 2], names: &[String]) -> Vec<Value> {
    let mut words = vec![on];
    words.extend(names.iter().map(String::as_str));
    subscribe(client, &words);
    // A repeated subscription changes nothing; a renewed one is the last.
    subscribe(client, &[on, &names[0]]);
    subscribe(client, &[off, &names[3]]);
    subscribe(client, &[on, &names[3]]);
    client.send(&[off]);
    (0..NAMES).map(|_| client.read()).collect()
}

/// Confirmations without their order: their words and names, sorted, and their counts.
fn parts(told: &[Value]) -> (Vec<(String, String)>, Vec<Value>) {
    let items = || told.iter().map(Value::items);
    let mut names: Vec<_> = items()
        .map(|items| (items[0].text(), items[1].text()))
        .collect();
    names.sort_unstable();
    (names, items().map(|items| items[2].clone()).collect())
}

#[test]
fn subscriptions_end_in_the_order_of_their_begin() {
    let redis = LocalServer::start(&ServerOptions::default()).expect("a server");
    for pair in [
        ["PSUBSCRIBE", "PUNSUBSCRIBE"],
        ["SUBSCRIBE", "UNSUBSCRIBE"],
        ["SSUBSCRIBE", "SUNSUBSCRIBE"],
    ] {
        let names = names(&pair[0].to_lowercase());
        let mut expected = names.clone();
        let renewed = expected.remove(3);
        expected.push(renewed);
        for connect in [RawClient::connect, RawClient::connect_resp3] {
            let told = ended(&mut connect(shared_proxy().port()), pair, &names);
            let order: Vec<String> = told.iter().map(|told| told.items()[1].text()).collect();
            assert_eq!(order, expected, "{pair:?}");
            if pair[0] == "PSUBSCRIBE" {
                let of_redis = ended(&mut connect(redis.port()), pair, &names);
                assert_eq!(parts(&told), parts(&of_redis));
            }
        }
    }
}
