//! The connection of a block cut behind every byte of its request and of its replies, and replies in two pieces, cut
//! everywhere: one reply per request, no write runs twice, no key is left without its TTL.
//!
//! The node is a real Redis; a cutting relay is between it and slotmux.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use slotmux::tools::demo::server::{LocalServer, ServerOptions};

use super::add_namespace;
use slotmux_testing::{PATIENCE, Proxy, RawClient, Value, poll_until};

/// The fault of the next block.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Cut {
    /// Hang up behind this many bytes of its request.
    Request(usize),
    /// Hang up behind this many bytes of its replies.
    Replies(usize),
    /// Forward this many bytes of its replies, and the rest later.
    Pause(usize),
}

/// Forwards bytes between slotmux and a server, and applies the cuts.
struct Scissors {
    port: u16,
    next: Arc<Mutex<Option<Cut>>>,
    /// Bytes of the request and of the replies of the last block that passed whole.
    whole: Arc<Mutex<(usize, usize)>>,
}

impl Scissors {
    fn start(server: u16) -> Scissors {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let scissors = Scissors {
            port: listener.local_addr().expect("its address").port(),
            next: Arc::default(),
            whole: Arc::default(),
        };
        let (next, whole) = (scissors.next.clone(), scissors.whole.clone());
        thread::spawn(move || {
            for here in listener.incoming().flatten() {
                if let Ok(there) = TcpStream::connect(("127.0.0.1", server)) {
                    let (next, whole) = (next.clone(), whole.clone());
                    thread::spawn(move || {
                        // At its end, both sides are closed.
                        let _ = pass(&here, &there, &next, &whole);
                        let _ = here.shutdown(Shutdown::Both);
                        let _ = there.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        scissors
    }

    fn set(&self, cut: Option<Cut>) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = cut;
    }

    fn is_set(&self) -> bool {
        self.next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }
}

/// Forwards one connection, request by request: slotmux has nothing else in flight when a block is cut.
fn pass(
    mut here: &TcpStream,
    mut there: &TcpStream,
    next: &Mutex<Option<Cut>>,
    whole: &Mutex<(usize, usize)>,
) -> std::io::Result<()> {
    let mut requests = vec![0; 64 * 1024];
    let mut replies = vec![0; 64 * 1024];
    for stream in [here, there] {
        stream.set_nodelay(true)?;
    }
    loop {
        let read = here.read(&mut requests)?;
        if read == 0 {
            return Ok(());
        }
        let request = &requests[..read];
        let is_block = request.windows(7).any(|part| part == b"ns:cut:")
            && request.windows(7).any(|part| part == b"PEXPIRE");
        let cut = match is_block {
            true => next.lock().unwrap_or_else(PoisonError::into_inner).take(),
            false => None,
        };
        if let Some(Cut::Request(at)) = cut {
            there.write_all(&request[..at.min(read)])?;
            // Complete commands run before the server sees the end.
            there.shutdown(Shutdown::Write)?;
            while there.read(&mut replies)? > 0 {}
            return Ok(());
        }
        there.write_all(request)?;
        // A server answers in one write all commands of one read, unless the reply is large.
        let got = there.read(&mut replies)?;
        let reply = &replies[..got];
        if got == 0 {
            return Ok(());
        }
        match cut {
            Some(Cut::Replies(at)) => return here.write_all(&reply[..at.min(got)]),
            Some(Cut::Pause(at)) => {
                let (first, rest) = reply.split_at(at.min(got));
                here.write_all(first)?;
                thread::sleep(Duration::from_millis(2));
                here.write_all(rest)?;
            }
            _ => here.write_all(reply)?,
        }
        if is_block {
            *whole.lock().unwrap_or_else(PoisonError::into_inner) = (read, got);
        }
    }
}

struct Bench {
    plain: redis::Connection,
    scissors: Scissors,
    client: RawClient,
    _proxy: Proxy,
    _server: LocalServer,
}

impl Bench {
    fn new(strength: &str) -> Bench {
        let server = LocalServer::start(&ServerOptions::default()).expect("a plain Redis");
        let scissors = Scissors::start(server.port());
        let seeds = [format!("redis://127.0.0.1:{}", scissors.port)];
        let proxy = Proxy::start_at(&seeds, None, |config| {
            add_namespace(
                config,
                "ns",
                &format!("default = \"100s\", max = \"200s\", strength = \"{strength}\""),
            );
            config.set("server.workers", 1);
            config.set("cluster.connections.backoff", "1ms..5ms");
            config.set("log.level", "error");
        });
        Bench {
            plain: server.connect().expect("a connection"),
            scissors,
            client: proxy.client(),
            _proxy: proxy,
            _server: server,
        }
    }

    /// Runs a command that adds one to the length of `key`, with this cut, and checks the key.
    fn run(&mut self, command: &[&str], key: &str, cut: Cut) {
        self.scissors.set(Some(cut));
        let reply = self.client.call(command);
        assert!(!self.scissors.is_set(), "{cut:?}: not cut");
        let ran: usize = redis::cmd("STRLEN")
            .arg(key)
            .query(&mut self.plain)
            .expect("its length");
        match &reply {
            Value::Integer(1) => assert_eq!(ran, 1, "{command:?} {cut:?}"),
            Value::Error(text) if text.contains("may have been executed") => {
                assert!(ran <= 1, "{command:?} {cut:?}: ran {ran} times");
                assert!(!matches!(cut, Cut::Pause(_)), "{command:?} {cut:?}");
            }
            other => panic!("{command:?} {cut:?}: {other:?}"),
        }
        if ran > 0 {
            poll_until(PATIENCE, "the TTL of the key", || {
                let ttl: i64 = redis::cmd("PTTL")
                    .arg(key)
                    .query(&mut self.plain)
                    .expect("its TTL");
                (1..=100_000).contains(&ttl)
            });
        }
        // The next replies belong to the next requests.
        let mark = format!("{cut:?}");
        let replies =
            self.client
                .pipeline(&[vec!["ECHO", &mark], vec!["STRLEN", key], vec!["ECHO", "x"]]);
        let expected = [
            Value::bulk(&mark),
            Value::Integer(ran as i64),
            Value::bulk("x"),
        ];
        assert_eq!(replies, expected, "{command:?} {cut:?}");
    }

    fn run_everywhere(&mut self, name: &str, command: impl Fn(&str) -> Vec<String>) {
        let mut number = 0;
        let mut run = |bench: &mut Bench, cut| {
            number += 1;
            // Keys of equal length, so that all blocks have equal length.
            let key = format!("ns:cut:{name}:{number:04}");
            let words = command(&key);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            bench.run(&words, &key, cut);
        };
        run(self, Cut::Pause(usize::MAX));
        let (request, replies) = *self
            .scissors
            .whole
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        assert!(request > 100 && replies > 10, "{request} {replies}");
        for at in 0..=request {
            run(self, Cut::Request(at));
        }
        for at in 0..=replies {
            run(self, Cut::Replies(at));
            run(self, Cut::Pause(at));
        }
    }
}

fn append(key: &str) -> Vec<String> {
    ["APPEND", key, "x"].map(str::to_owned).to_vec()
}

fn script(key: &str) -> Vec<String> {
    let script = "return redis.call('APPEND',KEYS[1],'x')";
    ["EVAL", script, "1", key].map(str::to_owned).to_vec()
}

#[test]
fn an_atomic_block_cut_everywhere() {
    let mut bench = Bench::new("atomic");
    bench.run_everywhere("append", append);
    bench.run_everywhere("script", script);
}

#[test]
fn a_pipelined_expiry_cut_everywhere() {
    Bench::new("pipelined").run_everywhere("append", append);
}
