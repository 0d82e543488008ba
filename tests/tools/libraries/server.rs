//! The servers for the libraries: one plain Redis with a password, and slotmux in front of a cluster, open and with a
//! password.

use std::sync::OnceLock;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use slotmux_testing::{Proxy, ProxyConfig, shared_cluster, shared_proxy};

/// Contains characters that a library or a URL could get wrong.
const PASSWORD: &str = "pässword:of/the@test%20";

/// A server for a client.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    pub title: &'static str,
    pub port: u16,
    /// The login that it requires.
    pub password: Option<&'static str>,
}

impl Server {
    /// For cluster clients: a node of a cluster, and slotmux with the personality of a cluster, open and with a
    /// password.
    pub fn clusters() -> [Server; 3] {
        static ALL: OnceLock<[Proxy; 2]> = OnceLock::new();
        let [open, locked] = ALL.get_or_init(|| {
            [None, Some(PASSWORD)].map(|password| {
                Proxy::start(shared_cluster(), |config| {
                    config.set("listener.personality", "cluster");
                    if let Some(password) = password {
                        config.env("SLOTMUX_PASSWORD", password);
                    }
                })
            })
        });
        let server = |title, port, password| Server {
            title,
            port,
            password,
        };
        [
            server("a node", shared_cluster().node(0).port, None),
            server("slotmux as a cluster", open.port(), None),
            server(
                "slotmux as a cluster with a password",
                locked.port(),
                Some(PASSWORD),
            ),
        ]
    }

    /// The plain one, and slotmux with `multi = "split"`.
    pub fn splitting() -> [Server; 2] {
        static SPLITTING: OnceLock<Proxy> = OnceLock::new();
        let set = |config: &mut ProxyConfig| config.set("defaults.namespace.multi", "split");
        let proxy = SPLITTING.get_or_init(|| Proxy::start(shared_cluster(), set));
        Server::plain_and("slotmux with multi = \"split\"", proxy)
    }

    /// The plain one, and slotmux with `commands.admin = "fanout"`.
    pub fn administered() -> [Server; 2] {
        static ADMINISTERED: OnceLock<Proxy> = OnceLock::new();
        let set = |config: &mut ProxyConfig| config.set("commands.admin", "fanout");
        let proxy = ADMINISTERED.get_or_init(|| Proxy::start(shared_cluster(), set));
        Server::plain_and("slotmux with commands.admin = \"fanout\"", proxy)
    }

    fn plain_and(title: &'static str, proxy: &Proxy) -> [Server; 2] {
        let [plain, ..] = Server::all();
        let other = Server {
            title,
            port: proxy.port(),
            password: None,
        };
        [plain, other]
    }

    /// All three; the plain one first, because it shows that the checks are right.
    pub fn all() -> [Server; 3] {
        static ALL: OnceLock<(LocalServer, Proxy)> = OnceLock::new();
        let (plain, locked) = ALL.get_or_init(|| {
            let plain = LocalServer::start(&ServerOptions {
                password: Some(PASSWORD.to_owned()),
                ..ServerOptions::default()
            });
            let proxy = Proxy::start(shared_cluster(), |config| {
                config.env("SLOTMUX_PASSWORD", PASSWORD);
            });
            (plain.expect("a server"), proxy)
        });
        let server = |title, port, password| Server {
            title,
            port,
            password,
        };
        [
            server("one plain Redis", plain.port(), Some(PASSWORD)),
            server("slotmux", shared_proxy().port(), None),
            server("slotmux with a password", locked.port(), Some(PASSWORD)),
        ]
    }
}
