//! A fake upstream for fault tests: it presents itself as a node of a cluster, then sends exactly the bytes of a
//! script, cut where the script says, or hangs up.

use std::io::{self, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::PATIENCE;
use super::reply::{Value, read_value};

/// An action of a peer in answer to a request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends these bytes in one write.
    Bytes(Vec<u8>),
    /// Pause between writes, so that they are likely to arrive separately. No test may depend on its length.
    Pause(Duration),
    /// Waits until the gate is open.
    Gate(Gate),
    /// Hangs up.
    Close,
}

impl Step {
    /// A reply in one write.
    pub fn reply(bytes: impl AsRef<[u8]>) -> Vec<Step> {
        vec![Step::Bytes(bytes.as_ref().to_vec())]
    }

    /// A reply in two writes, cut before this byte.
    pub fn cut(bytes: &[u8], at: usize) -> Vec<Step> {
        let (head, tail) = bytes.split_at(at);
        vec![
            Step::Bytes(head.to_vec()),
            Step::Pause(Duration::from_millis(1)),
            Step::Bytes(tail.to_vec()),
        ]
    }
}

/// Holds a peer back until the test opens it.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    /// Opens the gate for all, permanently.
    pub fn open(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One request that a peer received.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Number of the peer's connection that carried it, from 0.
    pub connection: usize,
    /// Name and arguments.
    pub words: Vec<Vec<u8>>,
}

impl Request {
    /// The command's name in upper case.
    pub fn name(&self) -> String {
        self.word(0).to_ascii_uppercase()
    }

    /// The argument at `index` as text; empty beyond the last one.
    pub fn word(&self, index: usize) -> String {
        self.words
            .get(index)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .unwrap_or_default()
    }
}

/// Owners of the slots, as every peer with this layout reports them. Empty: the peers are plain servers without a
/// cluster.
#[derive(Clone, Default)]
pub struct Layout(Arc<Mutex<Vec<(u16, u16, u16)>>>);

impl Layout {
    /// Replaces it by these ranges: first slot, last slot, port.
    pub fn set(&self, ranges: &[(u16, u16, u16)]) {
        *lock(&self.0) = ranges.to_vec();
    }
}

type Script = dyn Fn(&Request) -> Option<Vec<Step>> + Send + Sync;

struct Shared {
    port: u16,
    layout: Layout,
    script: Box<Script>,
    requests: Mutex<Vec<Request>>,
    accepted: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
    closing: AtomicBool,
}

/// A listening peer; closes all connections when dropped.
pub struct Peer {
    shared: Arc<Shared>,
}

impl Peer {
    /// Starts a peer that claims all slots. The script sees every request; where it returns `None`, cluster queries are
    /// answered as a node would and everything else with `+OK`.
    pub fn start(script: impl Fn(&Request) -> Option<Vec<Step>> + Send + Sync + 'static) -> Peer {
        let layout = Layout::default();
        let peer = Peer::start_in(&layout, script);
        layout.set(&[(0, 16383, peer.port())]);
        peer
    }

    /// Starts a peer among others with a common layout, which the test sets once their ports are known.
    pub fn start_in(
        layout: &Layout,
        script: impl Fn(&Request) -> Option<Vec<Step>> + Send + Sync + 'static,
    ) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let shared = Arc::new(Shared {
            port: listener.local_addr().expect("its address").port(),
            layout: layout.clone(),
            script: Box::new(script),
            requests: Mutex::default(),
            accepted: AtomicUsize::new(0),
            streams: Mutex::default(),
            closing: AtomicBool::new(false),
        });
        let server = shared.clone();
        thread::spawn(move || server.accept(&listener));
        Peer { shared }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// Its address as a seed.
    pub fn seeds(&self) -> Vec<String> {
        vec![format!("redis://127.0.0.1:{}", self.port())]
    }

    /// Every request so far, including cluster queries.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// The requests with this command's name so far.
    pub fn requests_named(&self, name: &str) -> Vec<Request> {
        self.requests()
            .into_iter()
            .filter(|request| request.name() == name)
            .collect()
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Closes all present connections.
    pub fn hang_up(&self) {
        for stream in lock(&self.shared.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        self.hang_up();
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(("127.0.0.1", self.shared.port));
    }
}

impl Shared {
    fn accept(self: Arc<Shared>, listener: &TcpListener) {
        for stream in listener.incoming().flatten() {
            if self.closing.load(Ordering::SeqCst) {
                return;
            }
            let connection = self.accepted.fetch_add(1, Ordering::SeqCst);
            let shared = self.clone();
            thread::spawn(move || {
                // Every connection ends with a hang-up, ours or that of slotmux.
                let _ = shared.serve(connection, &stream);
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    }

    fn serve(&self, connection: usize, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        lock(&self.streams).push(stream.try_clone()?);
        let mut input = BufReader::new(stream.try_clone()?);
        let mut output = stream.try_clone()?;
        // At its start slotmux checks its rights on a separate connection: a bare HELLO, then a WATCH and a transaction
        // that is discarded. It gets the usual replies; scripts do not see it and it is not counted.
        let (mut said_hello, mut tries_rights) = (false, false);
        loop {
            let Value::Array(words) = read_value(&mut input, &mut Vec::new())? else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let words = words.into_iter().filter_map(|word| {
                if let Value::Bulk(w) = word {
                    Some(w)
                } else {
                    None
                }
            });
            let request = Request {
                connection,
                words: words.collect(),
            };
            tries_rights |= said_hello && matches!(request.name().as_str(), "WATCH" | "MULTI");
            said_hello = request.name() == "HELLO" && request.words.len() == 1;
            if tries_rights {
                output.write_all(&self.usual_answer(&request))?;
                continue;
            }
            lock(&self.requests).push(request.clone());
            let steps =
                (self.script)(&request).unwrap_or_else(|| Step::reply(self.usual_answer(&request)));
            for step in steps {
                match step {
                    Step::Bytes(bytes) => output.write_all(&bytes)?,
                    Step::Pause(time) => thread::sleep(time),
                    Step::Gate(gate) => self.wait(&gate)?,
                    Step::Close => return Ok(()),
                }
            }
        }
    }

    fn wait(&self, gate: &Gate) -> io::Result<()> {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !gate.0.load(Ordering::SeqCst) {
            if self.closing.load(Ordering::SeqCst) || std::time::Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn usual_answer(&self, request: &Request) -> Vec<u8> {
        let ranges = lock(&self.layout.0).clone();
        match (
            request.name().as_str(),
            request.word(1).to_ascii_uppercase().as_str(),
        ) {
            ("PING", _) => b"+PONG\r\n".to_vec(),
            ("COMMAND", _) => b"*0\r\n".to_vec(),
            ("HELLO", "3") => format!(
                "%2\r\n{}{}:3\r\n",
                bulk("server"),
                bulk("redis") + &bulk("proto")
            )
            .into_bytes(),
            ("HELLO", _) => format!(
                "*4\r\n{}{}:2\r\n",
                bulk("server"),
                bulk("redis") + &bulk("proto")
            )
            .into_bytes(),
            ("INFO", _) => {
                let enabled = u8::from(!ranges.is_empty());
                let mode = if enabled == 1 {
                    "cluster"
                } else {
                    "standalone"
                };
                bulk(&format!(
                    "# Server\r\nredis_version:7.0.15\r\nredis_mode:{mode}\r\nloading:0\r\nrole:master\r\n\
                     cluster_enabled:{enabled}\r\n"
                ))
                .into_bytes()
            }
            ("CLUSTER", _) if ranges.is_empty() => {
                b"-ERR This instance has cluster support disabled\r\n".to_vec()
            }
            ("CLUSTER", "SLOTS") => slots(&ranges).into_bytes(),
            ("CLUSTER", "SHARDS") => shards(&ranges).into_bytes(),
            ("CLUSTER", "NODES") => bulk(&nodes(&ranges, self.port)).into_bytes(),
            ("CLUSTER", "MYID") => bulk(&id(self.port)).into_bytes(),
            ("CLUSTER", "INFO") => {
                bulk("cluster_state:ok\r\ncluster_slots_assigned:16384\r\n").into_bytes()
            }
            _ => b"+OK\r\n".to_vec(),
        }
    }
}

/// A node's name: forty digits, made of its port.
fn id(port: u16) -> String {
    format!("{port:040}")
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn slots(ranges: &[(u16, u16, u16)]) -> String {
    let entry = |&(first, last, port): &(u16, u16, u16)| {
        format!(
            "*3\r\n:{first}\r\n:{last}\r\n*4\r\n{}:{port}\r\n{}*0\r\n",
            bulk("127.0.0.1"),
            bulk(&id(port))
        )
    };
    format!(
        "*{}\r\n{}",
        ranges.len(),
        ranges.iter().map(entry).collect::<String>()
    )
}

fn shards(ranges: &[(u16, u16, u16)]) -> String {
    let entry = |&port: &u16| {
        let own: Vec<_> = ranges.iter().filter(|range| range.2 == port).collect();
        let numbers: String = own
            .iter()
            .map(|(first, last, _)| format!(":{first}\r\n:{last}\r\n"))
            .collect();
        let mut node = format!(
            "*14\r\n{}{}{}:{port}\r\n",
            bulk("id"),
            bulk(&id(port)),
            bulk("port")
        );
        for (key, value) in [
            ("ip", "127.0.0.1"),
            ("endpoint", "127.0.0.1"),
            ("role", "master"),
        ] {
            node += &(bulk(key) + &bulk(value));
        }
        node += &(bulk("replication-offset") + ":0\r\n" + &bulk("health") + &bulk("online"));
        format!(
            "*4\r\n{}*{}\r\n{numbers}{}*1\r\n{node}",
            bulk("slots"),
            own.len() * 2,
            bulk("nodes")
        )
    };
    let mut ports: Vec<u16> = ranges.iter().map(|range| range.2).collect();
    ports.sort_unstable();
    ports.dedup();
    format!(
        "*{}\r\n{}",
        ports.len(),
        ports.iter().map(entry).collect::<String>()
    )
}

fn nodes(ranges: &[(u16, u16, u16)], me: u16) -> String {
    let line = |&(first, last, port): &(u16, u16, u16)| {
        let flags = if port == me {
            "myself,master"
        } else {
            "master"
        };
        format!(
            "{} 127.0.0.1:{port}@{} {flags} - 0 0 1 connected {first}-{last}\n",
            id(port),
            u32::from(port) + 10_000
        )
    };
    ranges.iter().map(line).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
