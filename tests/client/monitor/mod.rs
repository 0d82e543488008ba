//! MONITOR: the lines, the monitoring clients, and that a monitoring client affects no other.

mod limits;
mod lines;
mod secrets;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use slotmux_testing::client::command;
use slotmux_testing::{PATIENCE, Proxy, shared_cluster};

/// A monitoring client, which reads lines.
struct Monitor(BufReader<TcpStream>);

impl Monitor {
    /// A client that sees all commands from now on.
    fn of(port: u16) -> Monitor {
        let mut monitor = Monitor::connect(port);
        monitor.send(&["MONITOR"]);
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    fn connect(port: u16) -> Monitor {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        Monitor(BufReader::new(stream))
    }

    fn send(&mut self, words: &[&str]) {
        self.0.get_mut().write_all(&command(words)).expect("sent");
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line in time");
        line.trim_end().to_owned()
    }

    /// Time, address and command of the next line.
    #[track_caller]
    fn shown(&mut self) -> (f64, String, String) {
        let line = self.line();
        let parts = line.strip_prefix('+').and_then(|line| {
            let (time, rest) = line.split_once(" [0 ")?;
            let (address, command) = rest.split_once("] ")?;
            Some((time.parse().ok()?, address.to_owned(), command.to_owned()))
        });
        parts.unwrap_or_else(|| panic!("{line:?}"))
    }

    /// The commands shown up to this ECHO.
    fn until(&mut self, echo: &str) -> Vec<String> {
        let end = format!("\"echo\" \"{echo}\"");
        let mut commands = Vec::new();
        loop {
            let (_, _, command) = self.shown();
            if command == end {
                return commands;
            }
            commands.push(command);
        }
    }
}

fn proxy() -> Proxy {
    Proxy::start(shared_cluster(), |config| config.set("server.workers", 3))
}
