//! The nodes: each serves every slot and echoes the keys, as correctly as its manners allow.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use slotmux_core::resp::{Limits, Scan, scan_request};
use slotmux_core::slot::slot_of;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::Pieces;
use super::dice::Dice;
use super::request::{ERROR_FOR, array, bulk, number, value};

/// How a node behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manners {
    /// It answers.
    Good,
    /// It redirects, refuses, falls silent and hangs up, as a node may.
    Bad,
    /// It also sends surplus replies, and bytes that are not RESP.
    Invalid,
}

/// The behaviour of the nodes for each request, chosen per key, so that it does not depend on the order in which requests
/// and retries reach the nodes.
pub struct Script {
    manners: Manners,
    ports: Rc<[u16]>,
    conduct: RefCell<HashMap<String, Rc<RefCell<Dice>>>>,
    /// How many connections may still fall silent: each costs a deadline.
    silences: Cell<usize>,
}

impl Script {
    /// An empty script.
    pub fn new(manners: Manners, ports: Rc<[u16]>, dice: &mut Dice) -> Script {
        Script {
            manners,
            ports,
            conduct: RefCell::default(),
            silences: Cell::new(dice.below(4)),
        }
    }

    /// Adds the keys of a request, whose outcome `dice` chooses.
    pub fn add<'a>(&self, keys: impl Iterator<Item = &'a String>, dice: Dice) {
        let dice = Rc::new(RefCell::new(dice));
        let mut conduct = self.conduct.borrow_mut();
        conduct.extend(keys.map(|key| (key.clone(), dice.clone())));
    }

    fn of(&self, key: &str) -> Option<Rc<RefCell<Dice>>> {
        self.conduct.borrow().get(key).cloned()
    }

    fn may_fall_silent(&self) -> bool {
        let left = self.silences.get();
        self.silences.set(left.saturating_sub(1));
        left > 0
    }
}

/// Accepts connections until the case ends.
pub async fn serve(listener: TcpListener, script: Rc<Script>, mut dice: Dice) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = Connection {
            script: script.clone(),
            dice: Rc::new(RefCell::new(dice.fork())),
            queued: None,
        };
        tokio::task::spawn_local(async move {
            // The side that hangs up first ends the connection.
            let _ = connection.run(stream).await;
        });
    }
}

/// A deviation from the correct reply.
enum Fault {
    /// These bytes in place of the reply.
    Instead(String),
    /// This many bytes of it, then the connection closes.
    Partly,
    /// The reply, then the connection closes.
    Last,
    /// The connection stays silent.
    Silence,
    /// These bytes, then the reply.
    After(&'static [u8]),
    /// The reply, then these bytes.
    Before(&'static [u8]),
}

struct Connection {
    script: Rc<Script>,
    /// For requests that are not in the script.
    dice: Rc<RefCell<Dice>>,
    /// The elements of EXEC's reply, or a refusal.
    queued: Option<Result<Vec<Vec<u8>>, ()>>,
}

/// The bytes to send, and the fate of the connection afterwards.
struct Answer {
    pieces: Pieces,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    GoOn,
    HangUp,
    FallSilent,
}

impl Connection {
    async fn run(mut self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut buffer = Vec::new();
        let mut args = Vec::new();
        while stream.read_buf(&mut buffer).await? > 0 {
            let mut at = 0;
            while let Ok(Scan::Complete { len }) =
                scan_request(&buffer[at..], &Limits::default(), &mut args)
            {
                let request = &buffer[at..at + len];
                let words: Vec<String> = args
                    .iter()
                    .map(|span| String::from_utf8_lossy(span.of(request)).into_owned())
                    .collect();
                at += len;
                let answer = self.answer(&words);
                answer.pieces.write(&mut stream).await?;
                match answer.then {
                    Then::GoOn => {}
                    Then::HangUp => return stream.shutdown().await,
                    Then::FallSilent => tokio::time::sleep(Duration::from_secs(600)).await,
                }
            }
            buffer.drain(..at);
        }
        Ok(())
    }

    fn answer(&mut self, words: &[String]) -> Answer {
        let key = key_of(words);
        let dice = self.script.of(&key).unwrap_or_else(|| self.dice.clone());
        let dice = &mut *dice.borrow_mut();
        let fault = self.fault(words, dice);
        if let Some(Fault::Instead(error)) = fault {
            if let Some(queued) = &mut self.queued {
                *queued = Err(());
            }
            let pieces = Pieces::cut(error.into_bytes(), dice);
            return Answer {
                pieces,
                then: Then::GoOn,
            };
        }
        let reply = self.reply(words);
        let (bytes, then) = match fault {
            Some(Fault::Partly) => (reply[..dice.below(reply.len())].to_vec(), Then::HangUp),
            Some(Fault::Last) => (reply, Then::HangUp),
            Some(Fault::Silence) => (Vec::new(), Then::FallSilent),
            Some(Fault::After(first)) => ([first, &reply].concat(), Then::GoOn),
            Some(Fault::Before(last)) => ([&reply, last].concat(), Then::GoOn),
            _ => (reply, Then::GoOn),
        };
        Answer {
            pieces: Pieces::cut(bytes, dice),
            then,
        }
    }

    /// The deviation for this request, if there is one.
    fn fault(&self, words: &[String], dice: &mut Dice) -> Option<Fault> {
        let manners = self.script.manners;
        let name = words.first().map(String::as_str).unwrap_or_default();
        let is_handshake = matches!(name, "PING" | "HELLO");
        if manners == Manners::Good || !dice.one_in(if is_handshake { 50 } else { 10 }) {
            return None;
        }
        if manners == Manners::Invalid && dice.one_in(2) {
            const LIES: [&[u8]; 8] = [
                b"+OK\r\n",
                b":1\r\n",
                b"*1\r\n",
                b"$100\r\nnot so much",
                b"\0\xff",
                b"*4294967296\r\n",
                b"-MOVED 1\r\n",
                b"-ASK x 127.0.0.1:0\r\n",
            ];
            let lie = dice.one_of(&LIES);
            return Some(match dice.one_in(2) {
                true => Fault::After(lie),
                false => Fault::Before(lie),
            });
        }
        match dice.below(12) {
            8 => Some(Fault::Partly),
            9 => Some(Fault::Last),
            10 if self.script.may_fall_silent() => Some(Fault::Silence),
            11 => Some(Fault::After(b">2\r\n$4\r\npush\r\n:1\r\n")),
            // MULTI and EXEC are never refused by themselves.
            _ if is_handshake
                || matches!(name, "MULTI" | "EXEC" | "ASKING" | "UNWATCH" | "CLIENT") =>
            {
                None
            }
            _ => Some(Fault::Instead(self.refusal(words, dice))),
        }
    }

    fn refusal(&self, words: &[String], dice: &mut Dice) -> String {
        let key = key_of(words);
        let slot = slot_of(key.as_bytes()).0;
        let port = dice.one_of(&self.script.ports);
        match dice.below(8) {
            0..=2 => format!("-MOVED {slot} 127.0.0.1:{port}\r\n"),
            3 => format!("-ASK {slot} 127.0.0.1:{port}\r\n"),
            4 => "-TRYAGAIN Multiple keys request during rehashing of slot\r\n".to_owned(),
            5 => "-CLUSTERDOWN The cluster is down\r\n".to_owned(),
            6 => "-LOADING Redis is loading the dataset in memory\r\n".to_owned(),
            _ => format!("{ERROR_FOR}{key}\r\n"),
        }
    }

    /// The reply of a correct node.
    fn reply(&mut self, words: &[String]) -> Vec<u8> {
        let name = words.first().map(String::as_str).unwrap_or_default();
        let fixed = |text: &str| text.as_bytes().to_vec();
        match name {
            "MULTI" => {
                self.queued = Some(Ok(Vec::new()));
                return fixed("+OK\r\n");
            }
            "EXEC" => {
                return match self.queued.take() {
                    Some(Ok(replies)) => array(&replies),
                    Some(Err(())) => {
                        fixed("-EXECABORT Transaction discarded because of previous errors.\r\n")
                    }
                    None => fixed("-ERR EXEC without MULTI\r\n"),
                };
            }
            _ => {}
        }
        let key = key_of(words);
        let reply = match name {
            "PING" => fixed("+PONG\r\n"),
            "HELLO" => fixed("%1\r\n$5\r\nproto\r\n:3\r\n"),
            "ASKING" | "WATCH" | "UNWATCH" => fixed("+OK\r\n"),
            "CLIENT" | "DBSIZE" => fixed(":7\r\n"),
            "SCAN" => fixed("*2\r\n$1\r\n0\r\n*0\r\n"),
            "INFO" => bulk("# Server\r\nrun_id:0123456789\r\n"),
            "GET" => bulk(&value(&key)),
            "SET" => format!("+{key}\r\n").into_bytes(),
            "INCR" => number(&key),
            "MGET" => array(&words[1..].iter().map(|key| bulk(key)).collect::<Vec<_>>()),
            "DEL" => format!(":{}\r\n", words.len() - 1).into_bytes(),
            "BLPOP" => array(&[bulk(&key), bulk(&key)]),
            "EVAL" | "EVALSHA" => bulk(&key),
            _ => fixed("+OK\r\n"),
        };
        match &mut self.queued {
            Some(queued) => {
                if let Ok(replies) = queued {
                    replies.push(reply);
                }
                fixed("+QUEUED\r\n")
            }
            None => reply,
        }
    }
}

/// The first key of a command; its name if it has no key.
fn key_of(words: &[String]) -> String {
    let at = match words.first().map(String::as_str) {
        Some("EVAL" | "EVALSHA") => 3,
        Some("DBSIZE" | "SCAN" | "INFO") => 0,
        _ => 1,
    };
    words.get(at).cloned().unwrap_or_default()
}
