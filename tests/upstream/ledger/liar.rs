//! A proxy between the rig and slotmux that tells one lie, so that the rig shows that it sees it.

use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use slotmux_testing::Value;
use slotmux_testing::reply::read_value;

/// What is done once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// Two successive replies change places.
    SwapReplies,
    /// A write is sent twice, its first reply passed on.
    WriteTwice,
    /// A write is acknowledged and not sent.
    DropWrite,
    /// An error says that a write was not executed, and it was.
    DenyWrite,
    /// Two successive writes to the same key change places.
    SwapWrites,
    /// Nothing.
    None,
}

/// How far it is with its lie.
#[derive(Default)]
struct Progress {
    begun: AtomicBool,
    told: AtomicBool,
}

/// A listening liar. It passes on one request after the other, also of a pipeline.
pub struct Liar {
    port: u16,
    progress: Arc<Progress>,
}

impl Liar {
    /// Starts it in front of a port.
    pub fn start(target: u16, lie: Lie) -> Liar {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let progress = Arc::<Progress>::default();
        let shared = progress.clone();
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let progress = shared.clone();
                // A hang-up is how every connection ends.
                thread::spawn(move || serve(&here, target, lie, &progress));
            }
        });
        Liar { port, progress }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the lie was told.
    pub fn has_lied(&self) -> bool {
        self.progress.told.load(Ordering::SeqCst)
    }
}

/// Requests on a connection before it lies: there is something to be wrong about then.
const HONEST: usize = 100;

fn serve(here: &TcpStream, target: u16, lie: Lie, progress: &Progress) -> io::Result<()> {
    let there = TcpStream::connect(("127.0.0.1", target))?;
    there.set_nodelay(true)?;
    here.set_nodelay(true)?;
    let (mut requests, mut replies) = (
        BufReader::new(here.try_clone()?),
        BufReader::new(there.try_clone()?),
    );
    let (mut here, mut there) = (here.try_clone()?, there);
    let mut ask = |bytes: &[u8]| -> io::Result<Vec<u8>> {
        there.write_all(bytes)?;
        let mut reply = Vec::new();
        read_value(&mut replies, &mut reply)?;
        Ok(reply)
    };
    let mut in_transaction = false;
    for number in 0.. {
        let (name, request) = next(&mut requests)?;
        in_transaction = (in_transaction || name == "MULTI") && name != "EXEC";
        let may_lie = number > HONEST && !in_transaction && name != "EXEC";
        let wants = may_lie
            && match lie {
                // The client may wait for this reply before it sends more: only with one that is here to swap with.
                Lie::SwapReplies => {
                    matches!(&*name, "GET" | "ECHO" | "INCR") && !requests.buffer().is_empty()
                }
                Lie::WriteTwice | Lie::SwapWrites => name == "LPUSH",
                Lie::DropWrite | Lie::DenyWrite => name == "HSET",
                Lie::None => false,
            };
        if !wants || progress.begun.swap(true, Ordering::SeqCst) {
            here.write_all(&ask(&request)?)?;
            continue;
        }
        match lie {
            Lie::SwapReplies => {
                let (_, second) = next(&mut requests)?;
                let (first, second) = (ask(&request)?, ask(&second)?);
                here.write_all(&[second.as_slice(), first.as_slice()].concat())?;
                if first == second {
                    // That was no lie.
                    progress.begun.store(false, Ordering::SeqCst);
                    continue;
                }
            }
            Lie::WriteTwice => {
                let reply = ask(&request)?;
                ask(&request)?;
                here.write_all(&reply)?;
            }
            Lie::SwapWrites => swap_writes(&mut requests, &mut here, &mut ask, &request)?,
            Lie::DropWrite => here.write_all(b":1\r\n")?,
            Lie::DenyWrite => {
                ask(&request)?;
                here.write_all(
                    b"-ERR slotmux: node is unreachable, the command was not executed\r\n",
                )?;
            }
            Lie::None => {}
        }
        progress.told.store(true, Ordering::SeqCst);
    }
    Ok(())
}

/// Waits for the next LPUSH to the same key and sends it first, answered as if it had come second.
fn swap_writes(
    requests: &mut BufReader<TcpStream>,
    here: &mut TcpStream,
    ask: &mut impl FnMut(&[u8]) -> io::Result<Vec<u8>>,
    held: &[u8],
) -> io::Result<()> {
    let key = |request: &[u8]| {
        request
            .split(|&byte| byte == b'\n')
            .nth(4)
            .map(<[u8]>::to_vec)
    };
    // The reply that it would have got: one more than the list has.
    let length = {
        let word = key(held).unwrap_or_default();
        let mut query = b"*2\r\n$4\r\nLLEN\r\n".to_vec();
        query.extend_from_slice(format!("${}\r\n", word.len() - 1).as_bytes());
        query.extend_from_slice(&word);
        query.push(b'\n');
        let reply = String::from_utf8_lossy(&ask(&query)?).into_owned();
        reply.trim()[1..].parse::<u64>().map_err(io::Error::other)?
    };
    here.write_all(format!(":{}\r\n", length + 1).as_bytes())?;
    loop {
        let (name, request) = next(requests)?;
        if name == "LPUSH" && key(&request) == key(held) {
            ask(&request)?;
            return here.write_all(&ask(held)?);
        }
        here.write_all(&ask(&request)?)?;
    }
}

/// The next request: its name and its bytes.
fn next(requests: &mut BufReader<TcpStream>) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let name = match read_value(requests, &mut bytes)? {
        Value::Array(words) => words.first().map(Value::text).unwrap_or_default(),
        _ => String::new(),
    };
    Ok((name, bytes))
}
