//! Requests of the workers to the control thread for the functions that a primary lacks, and unfinished deletions of libraries.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use slotmux_core::cluster::addr::Addr;
use slotmux_core::functions::Deletions;

/// Requests that may wait. A client whose call finds no room gets its error.
const MOST_WAITING: usize = 1024;
/// A primary is not asked for the same function again within this: a client may call one that exists nowhere all the time.
const REST: Duration = Duration::from_secs(1);
/// Functions that are kept for [`REST`].
const MOST_RESTING: usize = 1024;

/// A function that a primary lacks.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MissingFunction {
    /// The primary that said so.
    pub node: Addr,
    /// The function; `None` if it is not known, as in a transaction.
    pub function: Option<Box<[u8]>>,
}

/// A request for the library of a function.
#[derive(Debug)]
pub struct LibraryRequest {
    /// The function, and the primary that lacks it.
    pub missing: MissingFunction,
    /// Gets whether the primary lacked the function and has it after loading.
    pub then: oneshot::Sender<bool>,
}

/// The channel of the requests, and the state of both sides.
#[derive(Debug)]
pub struct LibraryRequests {
    /// Deletions that went through slotmux.
    pub deletions: Deletions,
    sender: mpsc::Sender<LibraryRequest>,
    /// `None` while the control thread has it.
    receiver: Mutex<Option<mpsc::Receiver<LibraryRequest>>>,
    resting: Mutex<HashMap<MissingFunction, Instant>>,
}

impl Default for LibraryRequests {
    fn default() -> LibraryRequests {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        LibraryRequests {
            deletions: Deletions::default(),
            sender,
            receiver: Mutex::new(Some(receiver)),
            resting: Mutex::default(),
        }
    }
}

impl LibraryRequests {
    /// Asks for the library of `function` for `node`. `None`: it was not found a moment ago, or too many requests wait.
    pub fn ask(&self, node: &Addr, function: Option<&[u8]>) -> Option<oneshot::Receiver<bool>> {
        let missing = MissingFunction {
            node: node.clone(),
            function: function.map(Into::into),
        };
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting
            .get(&missing)
            .is_some_and(|since| since.elapsed() < REST)
        {
            return None;
        }
        drop(resting);
        let (then, outcome) = oneshot::channel();
        let request = LibraryRequest { missing, then };
        self.sender.try_send(request).ok().map(|()| outcome)
    }

    /// Records that no library was found for a request.
    pub fn rest(&self, request: &LibraryRequest) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.len() >= MOST_RESTING {
            resting.clear();
        }
        resting.insert(request.missing.clone(), Instant::now());
    }

    /// The other end, for the one task of the control thread; it comes back when that ends, also by a panic.
    pub fn take_requests(&self) -> TakenRequests<'_> {
        let mut receiver = self.receiver.lock().unwrap_or_else(PoisonError::into_inner);
        TakenRequests {
            receiver: receiver.take(),
            home: self,
        }
    }
}

/// The end of the requests that the control thread reads.
#[derive(Debug)]
pub struct TakenRequests<'a> {
    receiver: Option<mpsc::Receiver<LibraryRequest>>,
    home: &'a LibraryRequests,
}

impl TakenRequests<'_> {
    /// The next request.
    pub async fn next(&mut self) -> Option<LibraryRequest> {
        match &mut self.receiver {
            Some(receiver) => receiver.recv().await,
            None => std::future::pending().await,
        }
    }

    /// The next request, if one waits.
    pub fn next_waiting(&mut self) -> Option<LibraryRequest> {
        self.receiver.as_mut()?.try_recv().ok()
    }
}

impl Drop for TakenRequests<'_> {
    fn drop(&mut self) {
        let mut home = self
            .home
            .receiver
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(receiver) = self.receiver.take() {
            *home = Some(receiver);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_was_not_found_is_not_asked_for_all_the_time() {
        let requests = LibraryRequests::default();
        let node = Addr::new("127.0.0.1", 1);
        for function in [Some(&b"f"[..]), None] {
            let asked = requests.ask(&node, function);
            assert!(asked.is_some());
            // Each task gets all requests, also after one that has ended.
            let request = requests.take_requests().next_waiting();
            requests.rest(&request.expect("a request"));
            assert!(requests.ask(&node, function).is_none());
            assert!(requests.ask(&node, Some(b"g")).is_some());
            assert!(requests.ask(&Addr::new("127.0.0.1", 2), function).is_some());
            let mut taken = requests.take_requests();
            assert!(taken.next_waiting().is_some() && taken.next_waiting().is_some());
            assert!(taken.next_waiting().is_none());
        }
        let asked = (0..).take_while(|_| requests.ask(&node, Some(b"h")).is_some());
        assert_eq!(asked.count(), MOST_WAITING);
    }
}
