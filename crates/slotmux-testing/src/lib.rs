//! Shared by the integration tests: the real binary in front of a real cluster, a client that sees every byte, and a
//! peer that misbehaves on command.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use slotmux::tools::demo::cluster::{LocalCluster, Options};

pub mod alike;
pub mod built;
pub mod client;
pub mod fault;
pub mod forward;
pub mod full;
pub mod neighbour;
pub mod peer;
pub mod proxy;
pub mod replay;
pub mod reply;

pub use client::RawClient;
pub use fault::FaultProxy;
pub use forward::Forward;
pub use full::times;
pub use neighbour::Neighbour;
pub use peer::{Layout, Peer, Step};
pub use proxy::{Proxy, ProxyConfig};
pub use replay::replay;
pub use reply::Value;

/// Deadline of each step of a test: far longer than the step takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A node timeout that a busy machine does not reach: no failover happens unless a test causes it.
pub const CALM: Duration = Duration::from_secs(20);

/// Checks every few milliseconds until `ready` is true; panics with `what` at the deadline.
pub fn poll_until(limit: Duration, what: &str, mut ready: impl FnMut() -> bool) {
    poll_for(limit, what, || ready().then_some(()));
}

/// The same for a condition that returns a value.
pub fn poll_for<T>(limit: Duration, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A cluster and a slotmux for many tests, started by the first test that asks.
pub struct Shared {
    cluster: OnceLock<LocalCluster>,
    proxy: OnceLock<Proxy>,
}

impl Shared {
    /// Does not start anything yet.
    #[allow(clippy::new_without_default, reason = "for statics")]
    pub const fn new() -> Shared {
        Shared {
            cluster: OnceLock::new(),
            proxy: OnceLock::new(),
        }
    }

    /// Three primaries without failover.
    pub fn cluster(&self) -> &LocalCluster {
        self.cluster.get_or_init(|| calm_cluster(0))
    }

    /// slotmux with its defaults in front of [`Shared::cluster`].
    pub fn proxy(&self) -> &Proxy {
        self.proxy
            .get_or_init(|| Proxy::start(self.cluster(), |_| {}))
    }
}

/// The instance for all tests of a program, except for modules with their own.
static SHARED: Shared = Shared::new();

/// Three primaries for every test of this program that writes only keys of its own and leaves the cluster unchanged.
/// Tests that remove, list or count all keys, scripts or channels have a [`Shared`] of their own.
pub fn shared_cluster() -> &'static LocalCluster {
    SHARED.cluster()
}

/// slotmux with its defaults in front of [`shared_cluster`], for every test of this program.
pub fn shared_proxy() -> &'static Proxy {
    SHARED.proxy()
}

/// A cluster for one test: three primaries, without failover by chance.
pub fn calm_cluster(replicas_per_primary: usize) -> LocalCluster {
    LocalCluster::start(Options {
        replicas_per_primary,
        node_timeout: CALM,
        ..Options::default()
    })
    .expect("a cluster")
}

/// Sets a flag when dropped, also in a panic, so that threads that work until then do not outlive a failed test.
pub struct SetAtEnd<'a>(pub &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
