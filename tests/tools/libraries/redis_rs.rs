//! redis-rs, blocking and async, RESP2 and RESP3.

use redis::{AsyncTypedCommands, ConnectionInfo, ErrorKind, IntoConnectionInfo, ProtocolVersion};
use redis::{RedisConnectionInfo, ServerErrorKind, TypedCommands, Value};

use crate::libraries::report;
use crate::libraries::server::Server;

const PROTOCOLS: [ProtocolVersion; 2] = [ProtocolVersion::RESP2, ProtocolVersion::RESP3];

/// How to connect to a server.
fn client(server: Server, protocol: ProtocolVersion) -> redis::Client {
    let mut settings = RedisConnectionInfo::default().set_protocol(protocol);
    if let Some(password) = server.password {
        settings = settings.set_password(password);
    }
    let address = ("127.0.0.1", server.port);
    let info: ConnectionInfo = address.into_connection_info().expect("an address");
    redis::Client::open(info.set_redis_settings(settings)).expect("a client")
}

/// Keys of one run; different names mostly map to different slots.
fn key(server: Server, protocol: ProtocolVersion, name: &str) -> String {
    format!("redis-rs:{}:{protocol:?}:{name}", server.port)
}

#[test]
fn blocking() {
    for server in Server::all() {
        for protocol in PROTOCOLS {
            let key = |name: &str| key(server, protocol, &format!("blocking:{name}"));
            let mut connection = client(server, protocol)
                .get_connection()
                .expect("connected");
            let value: Vec<u8> = (0..=255).chain(*b"\r\n$3\r\n").collect();
            connection.set(key("binary"), &value[..]).expect("set");
            let found: Vec<u8> = redis::cmd("GET")
                .arg(key("binary"))
                .query(&mut connection)
                .expect("got");
            assert_eq!(found, value, "{server:?}");
            assert_eq!(connection.get(key("absent")), Ok(None));

            let names: Vec<String> = (0..200).map(|n| key(&format!("of-many:{n}"))).collect();
            let mut pipeline = redis::pipe();
            for (n, name) in names.iter().enumerate() {
                pipeline.set(name, n).ignore().incr(name, 1);
            }
            let counts: Vec<usize> = pipeline.query(&mut connection).expect("replies");
            assert_eq!(counts, (1..=200).collect::<Vec<_>>(), "{server:?}");
            let counts: Vec<usize> = redis::cmd("MGET")
                .arg(&names)
                .query(&mut connection)
                .expect("values");
            assert_eq!(counts, (1..=200).collect::<Vec<_>>(), "{server:?}");
            assert_eq!(connection.del(&names), Ok(200), "{server:?}");

            let error = connection.lpush(key("binary"), "x").expect_err("no list");
            assert_eq!(error.code(), Some("WRONGTYPE"), "{server:?}");
            let error = redis::cmd("NO-SUCH")
                .query::<Value>(&mut connection)
                .expect_err("unknown");
            assert_eq!(
                error.kind(),
                ErrorKind::Server(ServerErrorKind::ResponseError)
            );
            assert_eq!(connection.ping(), Ok("PONG".to_owned()), "{server:?}");
        }
    }
}

#[tokio::test]
async fn asynchronous() {
    for server in Server::all() {
        for protocol in PROTOCOLS {
            let key = |name: &str| key(server, protocol, &format!("async:{name}"));
            let connection = client(server, protocol)
                .get_multiplexed_async_connection()
                .await
                .expect("connected");
            // Many tasks on one connection: a reply that reached the wrong one would show.
            let tasks: Vec<_> = (0..200)
                .map(|n| {
                    let mut connection = connection.clone();
                    let name = key(&n.to_string());
                    tokio::spawn(async move {
                        connection.set(&name, n).await.expect("set");
                        connection.expire(&name, 100).await.expect("expires");
                        assert_eq!(connection.get(&name).await, Ok(Some(n.to_string())));
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("no wrong reply");
            }
            let mut connection = connection;
            connection
                .hset_multiple(key("hash"), &[("a", "1")])
                .await
                .expect("set");
            let hash: Value = redis::cmd("HGETALL")
                .arg(key("hash"))
                .query_async(&mut connection)
                .await
                .expect("a hash");
            let is_map = matches!(hash, Value::Map(_));
            assert_eq!(is_map, protocol == ProtocolVersion::RESP3, "{server:?}");
        }
    }
    report::passed("redis-rs", "RESP2 and RESP3");
}
