//! A port that forwards to another port of this machine, as a port forward or an address translation does.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;

/// Forwards bytes in both directions until the test process ends.
pub struct Forward {
    port: u16,
    target: Arc<AtomicU16>,
    passed: Arc<AtomicUsize>,
}

impl Forward {
    /// Starts a forward to this port; with port 0, connections are closed until the target is set.
    pub fn start(target: u16) -> Forward {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let forward = Forward {
            port: listener.local_addr().expect("its address").port(),
            target: Arc::new(AtomicU16::new(target)),
            passed: Arc::default(),
        };
        let (target, passed) = (forward.target.clone(), forward.passed.clone());
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let target = target.load(Ordering::SeqCst);
                // A connection without a listening target is closed.
                if let Ok(there) = TcpStream::connect(("127.0.0.1", target)) {
                    passed.fetch_add(1, Ordering::SeqCst);
                    join(&here, &there);
                    join(&there, &here);
                }
            }
        });
        forward
    }

    /// Its own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes the target.
    pub fn lead_to(&self, target: u16) {
        self.target.store(target, Ordering::SeqCst);
    }

    /// Connections forwarded so far.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::SeqCst)
    }
}

/// Forwards the bytes of one end, and its hang-up.
fn join(from: &TcpStream, to: &TcpStream) {
    let mut ends = [from, to].map(|end| end.try_clone().expect("a second handle"));
    thread::spawn(move || {
        let [from, to] = &mut ends;
        let _ = io::copy(from, to);
        let _ = to.shutdown(Shutdown::Write);
    });
}
