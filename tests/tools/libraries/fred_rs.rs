//! fred, which sends more requests at connect than other clients, RESP2 and RESP3.

use fred::prelude::*;
use fred::types::RespVersion;

use crate::libraries::report;
use crate::libraries::server::Server;

async fn connected(server: Server, version: RespVersion) -> Client {
    let config = Config {
        server: ServerConfig::new_centralized("127.0.0.1", server.port),
        password: server.password.map(str::to_owned),
        version,
        ..Config::default()
    };
    let client = Builder::from_config(config).build().expect("a client");
    client.init().await.expect("connected");
    client
}

#[tokio::test]
async fn fred() {
    for server in Server::all() {
        for version in [RespVersion::RESP2, RespVersion::RESP3] {
            let key = |name: &str| format!("fred:{}:{version:?}:{name}", server.port);
            let client = connected(server, version.clone()).await;
            let value: Vec<u8> = (0..=255).chain(*b"\r\n$3\r\n").collect();
            let _: () = client
                .set(key("binary"), &value[..], None, None, false)
                .await
                .expect("set");
            let found: Vec<u8> = client.get(key("binary")).await.expect("got");
            assert_eq!(found, value, "{server:?}");
            let absent: Option<String> = client.get(key("absent")).await.expect("got");
            assert_eq!(absent, None);

            let pipeline = client.pipeline();
            for n in 0..200_i64 {
                let name = key(&format!("of-many:{n}"));
                let _: () = pipeline.del(&name).await.expect("queued");
                let _: () = pipeline.incr_by(&name, n).await.expect("queued");
            }
            let replies: Vec<i64> = pipeline.all().await.expect("replies");
            let counts: Vec<i64> = replies.into_iter().skip(1).step_by(2).collect();
            assert_eq!(counts, (0..200).collect::<Vec<_>>(), "{server:?}");
            let names: Vec<String> = (0..200).map(|n| key(&format!("of-many:{n}"))).collect();
            let values: Vec<i64> = client.mget(names).await.expect("values");
            assert_eq!(values, (0..200).collect::<Vec<_>>(), "{server:?}");

            let refused = client.lpush::<i64, _, _>(key("binary"), "x").await;
            let error = refused.expect_err("no list");
            assert!(error.details().contains("WRONGTYPE"), "{error}");
            let pong: String = client.ping(None).await.expect("a reply");
            assert_eq!(pong, "PONG");
            client.quit().await.expect("quit");
        }
    }
    report::passed("fred", "RESP2 and RESP3");
}
