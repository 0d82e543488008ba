//! One of the two sides of the transcript: a connection that sends requests and keeps the exact bytes of each reply.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use crate::transcript::lines::Words;
use slotmux_testing::PATIENCE;
use slotmux_testing::alike::show;
use slotmux_testing::client::command;
use slotmux_testing::reply::{Reply, read_value};

/// Bytes that a socket accepts even if the other side does not read.
const SMALL: usize = 16 * 1024;

/// A connection.
pub struct Side {
    stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl Side {
    /// Connects to a port of 127.0.0.1.
    #[track_caller]
    pub fn connect(port: u16) -> Side {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(PATIENCE)).expect("a deadline");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a deadline");
        let input = BufReader::with_capacity(64 * 1024, stream.try_clone().expect("a handle"));
        Side { stream, input }
    }

    /// Sends the requests in one write and reads a reply to each.
    #[track_caller]
    pub fn exchange(&mut self, requests: &[&Words]) -> Vec<Reply> {
        let bytes: Vec<u8> = requests.iter().flat_map(|words| command(words)).collect();
        if requests.len() == 1 && bytes.len() <= SMALL {
            self.stream.write_all(&bytes).expect("sent in time");
            return vec![self.read(requests[0])];
        }
        let mut stream = self.stream.try_clone().expect("a second handle");
        thread::scope(|scope| {
            // Neither side waits for the other, for batches of any length.
            let writer = scope.spawn(move || stream.write_all(&bytes));
            let replies = requests.iter().map(|words| self.read(words)).collect();
            writer.join().expect("the writer").expect("sent in time");
            replies
        })
    }

    fn read(&mut self, words: &Words) -> Reply {
        let mut bytes = Vec::new();
        let value = read_value(&mut self.input, &mut bytes)
            .unwrap_or_else(|error| panic!("no reply to {}: {error}", show(words)));
        Reply { bytes, value }
    }

    /// Sends bytes as they are, in pieces of this size, and returns all bytes until the other side closes.
    #[track_caller]
    pub fn until_close(mut self, bytes: &[u8], piece: usize) -> Vec<u8> {
        for piece in bytes.chunks(piece) {
            // A server may close after its last reply before it has read everything.
            if self.stream.write_all(piece).is_err() {
                break;
            }
        }
        let mut all = Vec::new();
        match self.input.read_to_end(&mut all) {
            Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                panic!(
                    "still open ({error}) after {}",
                    bytes[..bytes.len().min(200)].escape_ascii()
                )
            }
            // A close with unread input resets the connection, behind the sent bytes.
            _ => all,
        }
    }
}
