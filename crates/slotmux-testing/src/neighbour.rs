//! An unrelated client that works while a test disturbs others: it pipelines, checks every reply, and counts its
//! pipelines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use super::{PATIENCE, RawClient, Value, poll_until};

/// Commands per pipeline; half of them read values that the other half wrote.
const DEPTH: usize = 64;

/// A client that works until it is stopped.
pub struct Neighbour {
    stop: Arc<AtomicBool>,
    rounds: Arc<AtomicUsize>,
    worker: Option<JoinHandle<()>>,
}

impl Neighbour {
    /// Starts working, on keys that begin with `name` and cover many slots.
    pub fn start(port: u16, name: &str) -> Neighbour {
        Neighbour::start_on(port, move |name, i| format!("{name}:{i}"), name)
    }

    /// Starts working on keys of the caller's choice, made of the name and a small number.
    pub fn start_on(
        port: u16,
        key: impl Fn(&str, usize) -> String + Send + 'static,
        name: &str,
    ) -> Neighbour {
        let (stop, rounds) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let (until, done, name) = (stop.clone(), rounds.clone(), name.to_owned());
        let worker = thread::spawn(move || {
            let mut client = RawClient::connect(port);
            while !until.load(Ordering::Relaxed) {
                let round = done.load(Ordering::Relaxed);
                let commands: Vec<Vec<String>> = (0..DEPTH)
                    .map(|i| {
                        let key = key(&name, i / 2);
                        match i % 2 {
                            0 => vec!["SET".to_owned(), key, format!("{name} {round} {i}")],
                            _ => vec!["GET".to_owned(), key],
                        }
                    })
                    .collect();
                for (i, reply) in client.pipeline(&commands).into_iter().enumerate() {
                    let expected = match i % 2 {
                        0 => Value::ok(),
                        _ => Value::bulk(format!("{name} {round} {}", i - 1)),
                    };
                    assert_eq!(reply, expected, "{name}, round {round}, command {i}");
                }
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
        Neighbour {
            stop,
            rounds,
            worker: Some(worker),
        }
    }

    /// Pipelines answered so far.
    pub fn rounds(&self) -> usize {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Waits until a few more pipelines are answered, which shows that the client is not blocked.
    #[track_caller]
    pub fn goes_on(&self) {
        let before = self.rounds();
        poll_until(PATIENCE, "the neighbour to continue", || {
            let failed = self.worker.as_ref().is_none_or(JoinHandle::is_finished);
            failed || self.rounds() > before + 3
        });
        assert!(self.rounds() > before + 3, "the neighbour has failed");
    }

    /// Stops; panics if any reply was wrong.
    #[track_caller]
    pub fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let worker = self.worker.take().expect("not joined yet");
        worker
            .join()
            .expect("every reply of the neighbour was right");
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
