//! Requests of the workers to the control thread for a fresh topology, and its reports about the refreshes.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use slotmux_core::cluster::addr::Addr;

/// Asks for a refresh, from any thread.
#[derive(Clone, Debug)]
pub struct RefreshHandle(Arc<RefreshState>);

/// The other end of [`RefreshHandle`], for the discovery.
#[derive(Debug)]
pub struct RefreshRequests(Arc<RefreshState>);

#[derive(Debug, Default)]
struct RefreshState {
    is_wanted: AtomicBool,
    notify: Notify,
    stats: RefreshStats,
    /// Why the last refresh has failed, if it has.
    trouble: Mutex<Option<String>>,
    /// Nodes that close connections because of big replies, by their configuration at the start.
    limited: Mutex<HashSet<Addr>>,
}

impl RefreshState {
    fn trouble(&self) -> MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limited(&self) -> MutexGuard<'_, HashSet<Addr>> {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts of refreshes; written by the discovery only.
#[derive(Debug, Default)]
pub struct RefreshStats {
    /// Discoveries that were started.
    pub started: AtomicU64,
    /// Discoveries in which no upstream could be used.
    pub failed: AtomicU64,
    /// Topologies that were published.
    pub published: AtomicU64,
    /// When a discovery succeeded last, in seconds since 1970; 0 is never.
    pub last_success: AtomicU64,
}

/// A handle, and the end at which the discovery receives its requests.
pub fn channel() -> (RefreshHandle, RefreshRequests) {
    let state = Arc::new(RefreshState::default());
    (RefreshHandle(state.clone()), RefreshRequests(state))
}

impl RefreshHandle {
    /// Asks for a refresh. Cheap; all requests before the next refresh count as one.
    pub fn request(&self) {
        // A storm of redirects only reads: the flag's cache line stays state.
        if !self.0.is_wanted.load(Ordering::Relaxed)
            && !self.0.is_wanted.swap(true, Ordering::AcqRel)
        {
            self.0.notify.notify_one();
        }
    }

    /// Whether a node closes connections because of big replies, by its configuration at the start.
    pub fn is_output_limited(&self, node: &Addr) -> bool {
        self.0.limited().contains(node)
    }

    /// Counts of refreshes.
    pub fn stats(&self) -> &RefreshStats {
        &self.0.stats
    }

    /// Why the last refresh has failed; `None` if it has not.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble().clone()
    }
}

impl RefreshRequests {
    /// Returns once a refresh is requested; the request stays until [`Self::take`].
    pub async fn wanted(&self) {
        while !self.0.is_wanted.load(Ordering::Acquire) {
            self.0.notify.notified().await;
        }
    }

    /// Takes the request: the next one asks for another refresh.
    pub fn take(&self) {
        self.0.is_wanted.store(false, Ordering::Release);
    }

    /// Counts of refreshes.
    pub fn stats(&self) -> &RefreshStats {
        &self.0.stats
    }

    /// Records why a refresh has failed, or that it has not.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.0.trouble() = trouble;
    }

    /// Returns a function that records nodes that close connections because of big replies.
    pub fn limited_nodes(&self) -> impl Fn(Addr) + Send + use<> {
        let state = self.0.clone();
        move |node| {
            state.limited().insert(node);
        }
    }
}
