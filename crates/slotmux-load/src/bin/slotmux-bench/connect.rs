//! Opens connections, a bounded number at a time, and sends the greeting on each.

use crate::args::Introduction;
use slotmux_load::frames::{Protocol, Reply, append_command, decode};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Loopback addresses 127.0.0.1 to .32 that connections may come from when the ports of one have run out.
const SOURCES: u8 = 32;

/// The commands that a client sends before its first request.
#[derive(Debug)]
pub struct Greeting {
    protocol: Protocol,
    bytes: Vec<u8>,
    /// One per command: its name, and whether an error ends the connection.
    commands: Vec<(&'static str, bool)>,
}

impl Greeting {
    /// The greeting for a protocol version, a login and an introduction.
    pub fn new(
        resp: u8,
        user: Option<&str>,
        password: Option<&str>,
        introduction: Introduction,
    ) -> Greeting {
        let mut greeting = Greeting {
            protocol: Protocol::of(resp),
            bytes: Vec::new(),
            commands: Vec::new(),
        };
        let user = user.unwrap_or("default");
        match (resp, password) {
            (3, Some(password)) => {
                greeting.say("HELLO", true, &["HELLO", "3", "AUTH", user, password])
            }
            (3, None) => greeting.say("HELLO", true, &["HELLO", "3"]),
            // Older servers and some proxies know only the form with one argument.
            (_, Some(password)) if user == "default" => {
                greeting.say("AUTH", true, &["AUTH", password])
            }
            (_, Some(password)) => greeting.say("AUTH", true, &["AUTH", user, password]),
            (_, None) => {}
        }
        if introduction == Introduction::Library {
            // Servers before 7.2 do not know SETINFO; libraries ignore that as well.
            greeting.say(
                "CLIENT SETINFO",
                false,
                &["CLIENT", "SETINFO", "LIB-NAME", "slotmux-bench"],
            );
            greeting.say(
                "CLIENT SETINFO",
                false,
                &["CLIENT", "SETINFO", "LIB-VER", env!("CARGO_PKG_VERSION")],
            );
            greeting.say(
                "CLIENT SETNAME",
                true,
                &["CLIENT", "SETNAME", "slotmux-bench"],
            );
        }
        greeting
    }

    fn say(&mut self, name: &'static str, required: bool, command: &[&str]) {
        append_command(command, &mut self.bytes);
        self.commands.push((name, required));
    }
}

/// The address to load, and how to connect to it.
#[derive(Debug)]
pub struct Target {
    /// The address as the user gave it.
    pub name: String,
    addr: SocketAddr,
    greeting: Greeting,
    /// Connections that may be opened at the same time.
    pub connecting: usize,
    timeout: Duration,
}

thread_local! {
    /// The source address in use on this thread, counted from 127.0.0.1; 0 leaves the choice to the kernel.
    static SOURCE: Cell<u8> = const { Cell::new(0) };
}

impl Target {
    /// Resolves `name`, HOST:PORT.
    pub fn resolve(
        name: &str,
        greeting: Greeting,
        connecting: u32,
        timeout: Duration,
    ) -> Result<Target, String> {
        let mut found = name.to_socket_addrs().map_err(|e| format!("{name}: {e}"))?;
        let addr = found.next().ok_or_else(|| format!("{name}: no address"))?;
        Ok(Target {
            name: name.to_owned(),
            addr,
            greeting,
            connecting: connecting as usize,
            timeout,
        })
    }

    /// Connects and greets.
    pub async fn connect(&self) -> Result<TcpStream, String> {
        let connected = async {
            let mut stream = self
                .open()
                .await
                .map_err(|e| format!("connect to {}: {e}", self.name))?;
            stream
                .set_nodelay(true)
                .map_err(|e| format!("TCP_NODELAY: {e}"))?;
            self.greet(&mut stream).await?;
            Ok(stream)
        };
        match tokio::time::timeout(self.timeout, connected).await {
            Ok(result) => result,
            Err(_) => Err(format!(
                "connect to {}: nothing within {:?}",
                self.name, self.timeout
            )),
        }
    }

    async fn open(&self) -> io::Result<TcpStream> {
        loop {
            let source = SOURCE.get();
            let result = self.open_from(source).await;
            // Each address has its own ports: continue with the next one of this machine's loopback net.
            let ports_ran_out = matches!(&result, Err(e) if
                matches!(e.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse));
            if !(ports_ran_out
                && self.addr.ip().is_loopback()
                && self.addr.is_ipv4()
                && source < SOURCES)
            {
                return result;
            }
            // Another task may have moved to the next address already.
            SOURCE.set(SOURCE.get().max(source + 1));
        }
    }

    async fn open_from(&self, source: u8) -> io::Result<TcpStream> {
        let socket = if self.addr.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if source > 0 {
            socket.set_reuseaddr(true)?;
            socket.bind(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::new(127, 0, 0, source)),
                0,
            ))?;
        }
        socket.connect(self.addr).await
    }

    async fn greet(&self, stream: &mut TcpStream) -> Result<(), String> {
        if self.greeting.commands.is_empty() {
            return Ok(());
        }
        stream
            .write_all(&self.greeting.bytes)
            .await
            .map_err(|e| format!("greeting: {e}"))?;
        let (mut replies, mut at) = (Vec::new(), 0);
        for (name, required) in &self.greeting.commands {
            let (reply, len) = loop {
                let decoded = decode(self.greeting.protocol, &replies[at..]);
                match decoded.map_err(|e| format!("{name}: {e}"))? {
                    Some(reply) => break reply,
                    None => match stream.read_buf(&mut replies).await {
                        Ok(0) => return Err(format!("{name}: connection closed")),
                        Ok(_) => {}
                        Err(e) => return Err(format!("{name}: {e}")),
                    },
                }
            };
            if *required && matches!(reply, Reply::Error(_)) {
                let reply = replies[at..at + len].trim_ascii_end();
                return Err(format!("{name}: {}", reply.escape_ascii()));
            }
            at += len;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_contains_the_needed_commands() {
        let text = |resp, user, password, introduction| {
            let greeting = Greeting::new(resp, user, password, introduction);
            let words = String::from_utf8(greeting.bytes).unwrap();
            let words: Vec<String> = words
                .lines()
                .filter(|w| !w.starts_with(['*', '$']))
                .map(Into::into)
                .collect();
            (words.join(" "), greeting.commands.len())
        };
        assert_eq!(text(2, None, None, Introduction::Plain), (String::new(), 0));
        assert_eq!(
            text(3, None, None, Introduction::Plain),
            ("HELLO 3".into(), 1)
        );
        assert_eq!(
            text(2, None, Some("pw"), Introduction::Plain),
            ("AUTH pw".into(), 1)
        );
        assert_eq!(
            text(2, Some("me"), Some("pw"), Introduction::Plain),
            ("AUTH me pw".into(), 1)
        );
        assert_eq!(
            text(3, None, Some("pw"), Introduction::Plain),
            ("HELLO 3 AUTH default pw".into(), 1)
        );
        assert_eq!(text(3, None, None, Introduction::Library).1, 4);
    }
}
