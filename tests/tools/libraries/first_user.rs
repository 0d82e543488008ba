//! The first user's store, with the repository's example configuration.

use crate::libraries::server::Server;
use crate::libraries::tool::Tool;
use slotmux_testing::{Proxy, Value, shared_cluster};

const EXAMPLE: &str = include_str!("../../../slotmux.example.toml");

#[test]
fn the_example_serves_the_first_user() {
    let proxy = Proxy::start(shared_cluster(), |config| {
        config.extend(EXAMPLE);
        config.set("log.level", "warn");
    });
    let [plain, ..] = Server::all();
    let behind_example = Server {
        title: "slotmux as in the example",
        port: proxy.port(),
        password: None,
    };
    for server in [plain, behind_example] {
        let tool = Tool::python("first_user.py")
            .arg("127.0.0.1")
            .arg(server.port.to_string());
        tool.args(server.password).checks(server);
    }
    let split = proxy.metric("slotmux_transactions_split_total");
    assert!(split.is_some_and(|split| split > 50.0), "{split:?}");
    assert_eq!(
        proxy.metric("slotmux_transactions_split_failed_total"),
        Some(0.0)
    );
    // Keys that the store leaves without a TTL get that of the example's policy: half a day, give or take a tenth.
    let mut client = proxy.client();
    let key = "nano_graphrag:llm_response_cache:forgotten";
    client.pipeline(&[
        vec!["MULTI"],
        vec!["SET", key, "v"],
        vec!["SET", "nano_graphrag:full_docs:kept", "v"],
        vec!["EXEC"],
    ]);
    let ttl = client.call(&["TTL", key]).integer();
    assert!((38_000..=47_600).contains(&ttl), "{ttl}");
    assert_eq!(
        client.call(&["TTL", "nano_graphrag:full_docs:kept"]),
        Value::Integer(-1)
    );
}
