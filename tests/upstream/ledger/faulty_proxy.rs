//! A proxy between the rig and slotmux that makes one fault, by which a test checks that the rig detects it.

use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use slotmux_testing::Value;
use slotmux_testing::reply::read_value;

/// The fault that is made once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Two successive replies change places.
    SwapReplies,
    /// A write is sent twice, its first reply forwarded.
    WriteTwice,
    /// A write is acknowledged without being sent.
    DropWrite,
    /// An executed write is answered with the error that it was not executed.
    DenyWrite,
    /// Two successive writes to the same key change places.
    SwapWrites,
    /// No fault.
    None,
}

/// Progress of the fault.
#[derive(Default)]
struct Progress {
    begun: AtomicBool,
    made: AtomicBool,
}

/// A listening proxy. It forwards one request after the other, also of a pipeline.
pub struct FaultyProxy {
    port: u16,
    progress: Arc<Progress>,
}

impl FaultyProxy {
    /// Starts it in front of a port.
    pub fn start(target: u16, fault: Fault) -> FaultyProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let progress = Arc::<Progress>::default();
        let shared = progress.clone();
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                let progress = shared.clone();
                // Every connection ends with a hang-up.
                thread::spawn(move || serve(&here, target, fault, &progress));
            }
        });
        FaultyProxy { port, progress }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the fault was made.
    pub fn has_acted(&self) -> bool {
        self.progress.made.load(Ordering::SeqCst)
    }
}

/// Requests on a connection before the fault, so that the books have entries.
const CORRECT: usize = 100;

fn serve(here: &TcpStream, target: u16, fault: Fault, progress: &Progress) -> io::Result<()> {
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
        let is_candidate = number > CORRECT && !in_transaction && name != "EXEC";
        let wants = is_candidate
            && match fault {
                // The client may wait for this reply before it sends more: swap only with a request that is here.
                Fault::SwapReplies => {
                    matches!(&*name, "GET" | "ECHO" | "INCR") && !requests.buffer().is_empty()
                }
                Fault::WriteTwice | Fault::SwapWrites => name == "LPUSH",
                Fault::DropWrite | Fault::DenyWrite => name == "HSET",
                Fault::None => false,
            };
        if !wants || progress.begun.swap(true, Ordering::SeqCst) {
            here.write_all(&ask(&request)?)?;
            continue;
        }
        match fault {
            Fault::SwapReplies => {
                let (_, second) = next(&mut requests)?;
                let (first, second) = (ask(&request)?, ask(&second)?);
                here.write_all(&[second.as_slice(), first.as_slice()].concat())?;
                if first == second {
                    // Equal replies are not a fault.
                    progress.begun.store(false, Ordering::SeqCst);
                    continue;
                }
            }
            Fault::WriteTwice => {
                let reply = ask(&request)?;
                ask(&request)?;
                here.write_all(&reply)?;
            }
            Fault::SwapWrites => swap_writes(&mut requests, &mut here, &mut ask, &request)?,
            Fault::DropWrite => here.write_all(b":1\r\n")?,
            Fault::DenyWrite => {
                ask(&request)?;
                here.write_all(
                    b"-ERR slotmux: node is unreachable, the command was not executed\r\n",
                )?;
            }
            Fault::None => {}
        }
        progress.made.store(true, Ordering::SeqCst);
    }
    Ok(())
}

/// Waits for the next LPUSH to the same key and sends it first, answered as if it were the second.
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
    // The reply to the held write: one more than the length of the list.
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
