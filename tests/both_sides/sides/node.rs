//! The nodes: each serves every slot, and echoes the keys. How well depends on their manners.

use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use slotmux::resp::{Limits, Scan, scan_request};
use slotmux::slot::slot_of;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::write_in_pieces;
use super::request::{ERROR_FOR, array, bulk, number, value};

/// How a node behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manners {
    /// It answers.
    Good,
    /// It redirects, refuses, falls silent and hangs up, as a node may.
    Bad,
    /// It also sends what nobody asked for, and what is no RESP.
    Lying,
}

/// Accepts connections until the case is over.
pub async fn serve(listener: TcpListener, ports: Rc<[u16]>, manners: Manners, mut rng: Rng) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = Connection {
            ports: ports.clone(),
            manners,
            rng: rng.fork(),
            queued: None,
        };
        tokio::task::spawn_local(async move {
            // Whoever hangs up first ends it.
            let _ = connection.run(stream).await;
        });
    }
}

/// What comes instead of a reply, or with it.
enum Fault {
    /// This, in its place.
    Instead(String),
    /// So much of it, then a hang-up.
    Partly,
    /// It, then a hang-up.
    Last,
    /// Nothing ever again.
    Silence,
    /// It, after this.
    After(&'static [u8]),
    /// It, then this.
    Before(&'static [u8]),
}

struct Connection {
    ports: Rc<[u16]>,
    manners: Manners,
    rng: Rng,
    /// What EXEC will answer, or that something was refused.
    queued: Option<Result<Vec<Vec<u8>>, ()>>,
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
                self.answer(&mut stream, &words).await?;
            }
            buffer.drain(..at);
        }
        Ok(())
    }

    async fn answer(&mut self, stream: &mut TcpStream, words: &[String]) -> std::io::Result<()> {
        let fault = self.fault(words);
        if let Some(Fault::Instead(error)) = fault {
            if let Some(queued) = &mut self.queued {
                *queued = Err(());
            }
            return write_in_pieces(stream, error.as_bytes(), &mut self.rng).await;
        }
        let reply = self.reply(words);
        let hang_up = Err(std::io::ErrorKind::ConnectionAborted.into());
        match fault {
            Some(Fault::Partly) => {
                let at = self.rng.usize(..reply.len());
                write_in_pieces(stream, &reply[..at], &mut self.rng).await?;
                hang_up
            }
            Some(Fault::Last) => {
                write_in_pieces(stream, &reply, &mut self.rng).await?;
                stream.shutdown().await?;
                hang_up
            }
            Some(Fault::Silence) => {
                tokio::time::sleep(Duration::from_secs(600)).await;
                hang_up
            }
            Some(Fault::After(first)) => {
                write_in_pieces(stream, &[first, &reply].concat(), &mut self.rng).await
            }
            Some(Fault::Before(last)) => {
                write_in_pieces(stream, &[&reply, last].concat(), &mut self.rng).await
            }
            _ => write_in_pieces(stream, &reply, &mut self.rng).await,
        }
    }

    /// What goes wrong with this request, if anything does.
    fn fault(&mut self, words: &[String]) -> Option<Fault> {
        let rng = &mut self.rng;
        let name = words.first().map(String::as_str).unwrap_or_default();
        let is_handshake = matches!(name, "PING" | "HELLO");
        if self.manners == Manners::Good || rng.u8(..) > if is_handshake { 4 } else { 24 } {
            return None;
        }
        if self.manners == Manners::Lying && rng.bool() {
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
            let lie = *rng.choice(&LIES).expect("one");
            return Some(if rng.bool() {
                Fault::After(lie)
            } else {
                Fault::Before(lie)
            });
        }
        match rng.u8(0..12) {
            0 => Some(Fault::Partly),
            1 => Some(Fault::Last),
            2 => Some(Fault::Silence),
            3 => Some(Fault::After(b">2\r\n$4\r\npush\r\n:1\r\n")),
            // The frame around a transaction is never refused by itself.
            _ if is_handshake
                || matches!(name, "MULTI" | "EXEC" | "ASKING" | "UNWATCH" | "CLIENT") =>
            {
                None
            }
            _ => Some(Fault::Instead(self.refusal(words))),
        }
    }

    fn refusal(&mut self, words: &[String]) -> String {
        let key = key_of(words);
        let slot = slot_of(key.as_bytes()).0;
        let rng = &mut self.rng;
        let port = rng.choice(&*self.ports).expect("one");
        match rng.u8(0..8) {
            0..=2 => format!("-MOVED {slot} 127.0.0.1:{port}\r\n"),
            3 => format!("-ASK {slot} 127.0.0.1:{port}\r\n"),
            4 => "-TRYAGAIN Multiple keys request during rehashing of slot\r\n".to_owned(),
            5 => "-CLUSTERDOWN The cluster is down\r\n".to_owned(),
            6 => "-LOADING Redis is loading the dataset in memory\r\n".to_owned(),
            _ => format!("{ERROR_FOR}{key}\r\n"),
        }
    }

    /// What an honest node answers.
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

/// The first key of a command; of one without keys its name.
fn key_of(words: &[String]) -> String {
    let at = match words.first().map(String::as_str) {
        Some("EVAL" | "EVALSHA") => 3,
        Some("DBSIZE" | "SCAN" | "INFO") => 0,
        _ => 1,
    };
    words.get(at).cloned().unwrap_or_default()
}
