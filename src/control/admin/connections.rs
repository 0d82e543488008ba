//! The connections to the admin page, and the choice of the one that is closed for a new one. There is always room for
//! a new connection, so a crowd of silent ones cannot lock others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

/// A connection to the page.
#[derive(Debug)]
pub(super) struct Connection {
    peer: IpAddr,
    last_activity: Mutex<Instant>,
    /// Closes the connection at once.
    pub close: CancellationToken,
}

impl Connection {
    /// Notes that bytes were read or written.
    pub fn note_activity(&self) {
        *locked(&self.last_activity) = Instant::now();
    }

    fn quiet_since(&self) -> Instant {
        *locked(&self.last_activity)
    }
}

/// All connections except those that are being closed.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<Vec<Arc<Connection>>>);

impl Connections {
    /// Registers a connection, until the returned value is dropped.
    pub fn register(self: &Arc<Connections>, peer: IpAddr) -> Registration {
        let connection = Arc::new(Connection {
            peer,
            last_activity: Mutex::new(Instant::now()),
            close: CancellationToken::new(),
        });
        locked(&self.0).push(connection.clone());
        Registration {
            connection,
            connections: self.clone(),
        }
    }

    /// Closes the connection that has been quiet longest, to make room for another.
    pub fn close_one(&self) {
        let mut connections = locked(&self.0);
        let quiet: Vec<(IpAddr, Instant)> = connections
            .iter()
            .map(|connection| (connection.peer, connection.quiet_since()))
            .collect();
        if let Some(at) = next_to_close(&quiet) {
            connections.swap_remove(at).close.cancel();
        }
    }
}

/// The registration of one connection.
pub(super) struct Registration {
    pub connection: Arc<Connection>,
    connections: Arc<Connections>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        locked(&self.connections.0).retain(|connection| !Arc::ptr_eq(connection, &self.connection));
    }
}

/// Index of the connection that has been quiet longest, among the addresses with the most connections.
fn next_to_close<T: Ord + Copy>(quiet_since: &[(IpAddr, T)]) -> Option<usize> {
    let mut crowd: HashMap<IpAddr, usize> = HashMap::new();
    for (peer, _) in quiet_since {
        *crowd.entry(*peer).or_default() += 1;
    }
    let most = crowd.values().max()?;
    (0..quiet_since.len())
        .filter(|&at| crowd[&quiet_since[at].0] == *most)
        .min_by_key(|&at| quiet_since[at].1)
}

/// The mutex is never poisoned: no code that holds it can panic.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quietest_of_the_largest_crowd_gives_way() {
        let peer = |last| IpAddr::from([10, 0, 0, last]);
        for (quiet_since, chosen) in [
            (&[][..], None),
            (&[(1, 7)], Some(0)),
            (&[(1, 7), (2, 3), (3, 9)], Some(1)),
            (&[(1, 1), (2, 9), (2, 8), (3, 2)], Some(2)),
            (&[(1, 5), (1, 4), (2, 3), (2, 6)], Some(2)),
        ] {
            let connections: Vec<(IpAddr, u32)> = quiet_since
                .iter()
                .map(|&(last, since)| (peer(last), since))
                .collect();
            assert_eq!(next_to_close(&connections), chosen, "{quiet_since:?}");
        }
    }

    #[test]
    fn a_closed_connection_is_not_chosen_again() {
        let connections = Arc::new(Connections::default());
        let peer = IpAddr::from([127, 0, 0, 1]);
        let [first, second, third] = [0; 3].map(|_| connections.register(peer));
        first.connection.note_activity();
        drop(second);
        connections.close_one();
        assert!(third.connection.close.is_cancelled() && !first.connection.close.is_cancelled());
        connections.close_one();
        assert!(first.connection.close.is_cancelled());
        connections.close_one();
    }
}
