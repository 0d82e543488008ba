//! Requests of the workers to the control thread for the functions that a primary lacks, and what both sides know of libraries.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{MutexGuard, mpsc, oneshot};

use slotmux_core::cluster::addr::Addr;
use slotmux_core::functions::Deletions;

/// Requests that may wait. A client whose call finds no room gets its error.
const MOST_WAITING: usize = 1024;
/// A primary is not asked for the same function again within this: a client may call one that exists nowhere all the time.
const REST: Duration = Duration::from_secs(1);
/// Functions that are kept for [`REST`].
const MOST_RESTING: usize = 1024;

/// A request for the library of a function.
#[derive(Debug)]
pub struct LibraryRequest {
    /// The primary that said that it lacks the function.
    pub node: Addr,
    /// The function; `None` if it is not known, as in a transaction.
    pub function: Option<Box<[u8]>>,
    /// Told whether the primary did lack the function, and has it.
    pub then: oneshot::Sender<bool>,
}

/// The way of the requests.
#[derive(Debug)]
pub struct LibraryRequests {
    /// Deletions that went through slotmux.
    pub deletions: Deletions,
    sender: mpsc::Sender<LibraryRequest>,
    receiver: tokio::sync::Mutex<mpsc::Receiver<LibraryRequest>>,
    resting: Mutex<HashMap<(Addr, Option<Box<[u8]>>), Instant>>,
}

impl Default for LibraryRequests {
    fn default() -> LibraryRequests {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        LibraryRequests {
            deletions: Deletions::default(),
            sender,
            receiver: receiver.into(),
            resting: Mutex::default(),
        }
    }
}

impl LibraryRequests {
    /// Asks for the library of `function` for `node`. `None`: it was not found a moment ago, or too many requests wait.
    pub fn ask(&self, node: &Addr, function: Option<&[u8]>) -> Option<oneshot::Receiver<bool>> {
        let function: Option<Box<[u8]>> = function.map(Into::into);
        let key = (node.clone(), function);
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting
            .get(&key)
            .is_some_and(|since| since.elapsed() < REST)
        {
            return None;
        }
        drop(resting);
        let (node, function) = key;
        let (then, outcome) = oneshot::channel();
        let request = LibraryRequest {
            node,
            function,
            then,
        };
        self.sender.try_send(request).ok().map(|()| outcome)
    }

    /// Records that no library was found for a request.
    pub fn rest(&self, request: &LibraryRequest) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if resting.len() >= MOST_RESTING {
            resting.clear();
        }
        let key = (request.node.clone(), request.function.clone());
        resting.insert(key, Instant::now());
    }

    /// The other end, for the control thread.
    pub async fn requests(&self) -> MutexGuard<'_, mpsc::Receiver<LibraryRequest>> {
        self.receiver.lock().await
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
            let mut receiver = requests.receiver.try_lock().expect("free");
            let request = receiver.try_recv().expect("a request");
            drop(receiver);
            requests.rest(&request);
            assert!(requests.ask(&node, function).is_none());
            assert!(requests.ask(&node, Some(b"g")).is_some());
            assert!(requests.ask(&Addr::new("127.0.0.1", 2), function).is_some());
            requests.receiver.try_lock().expect("free").try_recv().ok();
            requests.receiver.try_lock().expect("free").try_recv().ok();
        }
        let asked = (0..).take_while(|_| requests.ask(&node, Some(b"h")).is_some());
        assert_eq!(asked.count(), MOST_WAITING);
    }
}
