//! The connections to the admin page, and the choice of the one that is closed for a new one. There is always room for
//! a new connection, so a crowd of silent ones cannot lock others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

/// A connection to the page.
#[derive(Debug)]
pub(super) struct Guest {
    peer: IpAddr,
    heard: Mutex<Instant>,
    /// Closes the connection at once.
    pub leave: CancellationToken,
}

impl Guest {
    /// Notes that bytes were read from it or written to it.
    pub fn moved(&self) {
        *locked(&self.heard) = Instant::now();
    }

    fn quiet_since(&self) -> Instant {
        *locked(&self.heard)
    }
}

/// All connections except those that were told to close.
#[derive(Debug, Default)]
pub(super) struct Guests(Mutex<Vec<Arc<Guest>>>);

impl Guests {
    /// Registers a connection, until the returned value is dropped.
    pub fn arrive(self: &Arc<Guests>, peer: IpAddr) -> Stay {
        let guest = Arc::new(Guest {
            peer,
            heard: Mutex::new(Instant::now()),
            leave: CancellationToken::new(),
        });
        locked(&self.0).push(guest.clone());
        Stay {
            guest,
            guests: self.clone(),
        }
    }

    /// Tells one connection to close.
    pub fn send_one_away(&self) {
        let mut guests = locked(&self.0);
        let quiet: Vec<(IpAddr, Instant)> = guests
            .iter()
            .map(|guest| (guest.peer, guest.quiet_since()))
            .collect();
        if let Some(at) = least_wanted(&quiet) {
            guests.swap_remove(at).leave.cancel();
        }
    }
}

/// The registration of one connection.
pub(super) struct Stay {
    pub guest: Arc<Guest>,
    guests: Arc<Guests>,
}

impl Drop for Stay {
    fn drop(&mut self) {
        locked(&self.guests.0).retain(|guest| !Arc::ptr_eq(guest, &self.guest));
    }
}

/// Index of the connection that has been quiet longest, among the addresses with the most connections.
fn least_wanted<T: Ord + Copy>(quiet_since: &[(IpAddr, T)]) -> Option<usize> {
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
            let guests: Vec<(IpAddr, u32)> = quiet_since
                .iter()
                .map(|&(last, since)| (peer(last), since))
                .collect();
            assert_eq!(least_wanted(&guests), chosen, "{quiet_since:?}");
        }
    }

    #[test]
    fn who_was_sent_away_or_has_left_is_not_chosen_again() {
        let guests = Arc::new(Guests::default());
        let peer = IpAddr::from([127, 0, 0, 1]);
        let [first, second, third] = [0; 3].map(|_| guests.arrive(peer));
        first.guest.moved();
        drop(second);
        guests.send_one_away();
        assert!(third.guest.leave.is_cancelled() && !first.guest.leave.is_cancelled());
        guests.send_one_away();
        assert!(first.guest.leave.is_cancelled());
        guests.send_one_away();
    }
}
