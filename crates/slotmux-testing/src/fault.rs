//! A port that forwards to another port of this machine through a network that fails on request: slow, silent, cut in
//! the middle of a frame, or with inserted bytes.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Interval at which a stalled connection checks whether it may continue.
const LOOK: Duration = Duration::from_millis(5);

/// Direction of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// To the node: requests.
    Up = 0,
    /// From the node: replies.
    Down = 1,
}

#[derive(Default)]
struct Faults {
    /// Additional milliseconds for each piece, in both directions.
    delay: AtomicU64,
    /// All bytes are held back.
    stalled: AtomicBool,
    /// The same for connections from this address only.
    stalled_from: Mutex<Option<IpAddr>>,
    /// Pieces to be cut in half, by direction; the connection ends there.
    cuts: [AtomicUsize; 2],
    /// Bytes that are inserted before the next piece from the node.
    garbage: Mutex<Option<Vec<u8>>>,
    /// Cuts and insertions so far.
    happened: AtomicUsize,
}

/// Forwards bytes in both directions until the test process ends.
pub struct FaultProxy {
    port: u16,
    faults: Arc<Faults>,
}

impl FaultProxy {
    /// Starts a network that forwards to this port.
    pub fn start(target: u16) -> FaultProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let faults = Arc::<Faults>::default();
        let shared = faults.clone();
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let Ok(source) = here.peer_addr() else {
                    continue;
                };
                // A connection without a listening target is closed.
                if let Ok(there) = TcpStream::connect(("127.0.0.1", target)) {
                    pump(&here, &there, Way::Up, source.ip(), &shared);
                    pump(&there, &here, Way::Down, source.ip(), &shared);
                }
            }
        });
        FaultProxy { port, faults }
    }

    /// Its own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Delays every piece by this much from now on.
    pub fn delay(&self, time: Duration) {
        let milliseconds = u64::try_from(time.as_millis()).expect("a short time");
        self.faults.delay.store(milliseconds, Ordering::SeqCst);
    }

    /// Holds all bytes back from now on, also on new connections; or continues, first with the bytes held back.
    pub fn stall(&self, is_stalled: bool) {
        self.faults.stalled.store(is_stalled, Ordering::SeqCst);
    }

    /// Holds all bytes back, in both directions, on connections from this address; without an address, continues.
    pub fn stall_from(&self, source: Option<IpAddr>) {
        *held(&self.faults.stalled_from) = source;
    }

    /// Delivers half of the next piece in this direction and closes the connection.
    pub fn cut(&self, way: Way) {
        self.faults.cuts[way as usize].fetch_add(1, Ordering::SeqCst);
    }

    /// Inserts bytes before the next piece from the node.
    pub fn inject(&self, bytes: &[u8]) {
        *held(&self.faults.garbage) = Some(bytes.to_vec());
    }

    /// Cuts and insertions so far.
    pub fn happened(&self) -> usize {
        self.faults.happened.load(Ordering::SeqCst)
    }
}

impl Faults {
    fn is_stalled(&self, source: IpAddr) -> bool {
        self.stalled.load(Ordering::SeqCst) || *held(&self.stalled_from) == Some(source)
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forwards the bytes of one end, with faults; when it ends, both ends do.
fn pump(from: &TcpStream, to: &TcpStream, way: Way, source: IpAddr, faults: &Arc<Faults>) {
    let mut ends = [from, to].map(|end| end.try_clone().expect("a second handle"));
    let faults = faults.clone();
    thread::spawn(move || {
        let [from, to] = &mut ends;
        let _ = to.set_nodelay(true);
        let _ = pass(from, to, way, source, &faults);
        for end in [from, to] {
            let _ = end.shutdown(Shutdown::Both);
        }
    });
}

fn pass(
    from: &mut TcpStream,
    to: &mut TcpStream,
    way: Way,
    source: IpAddr,
    faults: &Faults,
) -> io::Result<()> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 {
            return Ok(());
        }
        while faults.is_stalled(source) {
            thread::sleep(LOOK);
        }
        thread::sleep(Duration::from_millis(faults.delay.load(Ordering::SeqCst)));
        let cuts = &faults.cuts[way as usize];
        let take = |left: usize| left.checked_sub(1);
        if cuts
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
            .is_ok()
        {
            faults.happened.fetch_add(1, Ordering::SeqCst);
            return to.write_all(&piece[..length / 2]);
        }
        if way == Way::Down {
            let garbage = held(&faults.garbage).take();
            if let Some(bytes) = garbage {
                faults.happened.fetch_add(1, Ordering::SeqCst);
                to.write_all(&bytes)?;
            }
        }
        to.write_all(&piece[..length])?;
    }
}
