//! The two sides that are compared.

use slotmux::tools::demo::cluster::LocalCluster;
use slotmux::tools::demo::server::{LocalServer, ServerOptions, server_program};

use crate::transcript::lines::words;
use slotmux_testing::{Proxy, ProxyConfig, RawClient, Value};

/// slotmux in front of a cluster, and one plain Redis with the same client-visible settings.
pub struct Pair {
    /// The upstream of slotmux.
    pub cluster: &'static LocalCluster,
    /// slotmux.
    pub proxy: Proxy,
    /// The plain Redis.
    pub redis: LocalServer,
}

impl Pair {
    /// Starts both; slotmux with its defaults and the settings of `configure`.
    pub fn start(
        cluster: &'static LocalCluster,
        password: Option<&str>,
        configure: impl FnOnce(&mut ProxyConfig),
    ) -> Pair {
        let proxy = Proxy::start(cluster, |config| {
            configure(config);
            if let Some(password) = password {
                config.add_user("default", password);
            }
        });
        let redis = LocalServer::start(&settings(password));
        Pair {
            cluster,
            proxy,
            redis: redis.expect("a server"),
        }
    }

    /// Removes all keys on both sides.
    pub fn empty(&self) {
        for port in [self.proxy.port(), self.redis.port()] {
            let mut client = RawClient::connect(port);
            for line in ["FLUSHALL", "SCRIPT FLUSH", "FUNCTION FLUSH"] {
                assert_eq!(client.call(&words(line)), Value::ok(), "{line}");
            }
        }
    }
}

/// Whether redis-server has the version whose texts slotmux uses. If not, a message is printed, and nothing is
/// compared.
pub fn speaks_7_0() -> bool {
    let told = std::process::Command::new(server_program().expect("a server"))
        .arg("--version")
        .output()
        .expect("its version");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let speaks = told.contains(" v=7.0.");
    if !speaks {
        eprintln!("SKIPPED: the transcript is that of Redis 7.0, installed is {told}");
    }
    speaks
}

/// Settings of a plain server that equal those of slotmux.
pub fn settings(password: Option<&str>) -> ServerOptions {
    let extra = [
        ("databases", "1"),
        ("tcp-keepalive", "60"),
        // For DEBUG ERROR, which slotmux answers with any upstream.
        ("enable-debug-command", "yes"),
    ];
    let extra = extra.map(|(name, value)| (name.to_owned(), value.to_owned()));
    ServerOptions {
        password: password.map(str::to_owned),
        extra: extra.to_vec(),
        ..ServerOptions::default()
    }
}
