//! The cluster client of redis-rs, blocking and async, RESP2 and RESP3.

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::{AsyncTypedCommands, ProtocolVersion, RedisConnectionInfo, TypedCommands};
use redis::{ConnectionInfo, IntoConnectionInfo};

use crate::libraries::report;
use crate::libraries::server::Server;

fn client(server: Server, protocol: ProtocolVersion) -> ClusterClient {
    let mut settings = RedisConnectionInfo::default().set_protocol(protocol);
    if let Some(password) = server.password {
        settings = settings.set_password(password);
    }
    let info: ConnectionInfo = ("127.0.0.1", server.port)
        .into_connection_info()
        .expect("an address");
    ClusterClientBuilder::new([info.set_redis_settings(settings)])
        .use_protocol(protocol)
        .build()
        .expect("a client")
}

fn names(server: Server, protocol: ProtocolVersion, of: &str) -> Vec<String> {
    let name = |n| format!("redis-rs-cluster:{}:{protocol:?}:{of}:{n}", server.port);
    (0..200).map(name).collect()
}

#[test]
fn redis_rs_cluster_blocking() {
    for server in Server::clusters() {
        for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
            let mut connection = client(server, protocol)
                .get_connection()
                .expect("connected");
            let names = names(server, protocol, "blocking");
            for (n, name) in names.iter().enumerate() {
                connection.set(name, n).expect("set");
                assert_eq!(connection.get(name), Ok(Some(n.to_string())), "{server:?}");
            }
            let mut pipeline = redis::cluster::cluster_pipe();
            for name in &names {
                pipeline.cmd("INCR").arg(name);
            }
            let counts: Vec<usize> = pipeline.query(&mut connection).expect("replies");
            assert_eq!(counts, (1..=200).collect::<Vec<_>>(), "{server:?}");
            assert_eq!(connection.del(&names), Ok(200), "{server:?}");
        }
    }
}

#[tokio::test]
async fn redis_rs_cluster_async() {
    for server in Server::clusters() {
        for protocol in [ProtocolVersion::RESP2, ProtocolVersion::RESP3] {
            let mut connection = client(server, protocol)
                .get_async_connection()
                .await
                .expect("connected");
            let names = names(server, protocol, "async");
            let tasks: Vec<_> = names
                .iter()
                .cloned()
                .map(|name| {
                    let mut connection = connection.clone();
                    tokio::spawn(async move {
                        connection.set(&name, &name).await.expect("set");
                        assert_eq!(connection.get(&name).await, Ok(Some(name)));
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no wrong reply");
            }
            let values: Vec<String> = redis::cmd("MGET")
                .arg(&names)
                .query_async(&mut connection)
                .await
                .expect("values");
            assert_eq!(values, names, "{server:?}");
            let sum: usize = redis::cmd("DBSIZE")
                .query_async(&mut connection)
                .await
                .expect("a count");
            assert!(sum >= 200, "{server:?}: {sum}");
            assert_eq!(connection.del(&names).await, Ok(200), "{server:?}");
        }
    }
    report::passed("redis-rs-cluster", "RESP2 and RESP3");
}
