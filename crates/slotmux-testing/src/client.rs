//! A client without any logic: it sends bytes and reads replies, each step with a deadline.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::PATIENCE;
use super::reply::{Reply, Value, read_value};

/// One connection. Every read and write gives up after [`PATIENCE`]; the plain methods then panic.
pub struct RawClient {
    stream: TcpStream,
    input: BufReader<TcpStream>,
}

impl RawClient {
    /// Connects to a port of 127.0.0.1.
    #[track_caller]
    pub fn connect(port: u16) -> RawClient {
        RawClient::try_connect(port).expect("a connection")
    }

    /// Connects, or returns the error.
    pub fn try_connect(port: u16) -> io::Result<RawClient> {
        let stream =
            TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let input = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
        Ok(RawClient { stream, input })
    }

    /// Connects and speaks RESP3.
    #[track_caller]
    pub fn connect_resp3(port: u16) -> RawClient {
        let mut client = RawClient::connect(port);
        let hello = client.call(&["HELLO", "3"]);
        assert!(matches!(hello, Value::Map(_)), "{hello:?}");
        client
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent in time");
    }

    /// Sends bytes, or returns the error: for servers that hang up.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one command without waiting for its reply.
    #[track_caller]
    pub fn send<A: AsRef<[u8]>>(&mut self, words: &[A]) {
        self.send_raw(&command(words));
    }

    /// Sends one command and reads its reply.
    #[track_caller]
    pub fn call<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Value {
        self.send(words);
        self.read()
    }

    /// Sends one command and reads its reply's exact bytes.
    #[track_caller]
    pub fn call_bytes<A: AsRef<[u8]>>(&mut self, words: &[A]) -> Vec<u8> {
        self.send(words);
        self.read_bytes()
    }

    /// Sends bytes that hold `replies` requests while reading that many replies, so that neither side blocks the other,
    /// however long the pipeline is.
    #[track_caller]
    pub fn pipeline_raw(&mut self, bytes: &[u8], replies: usize) -> Vec<Value> {
        let mut stream = self.stream.try_clone().expect("a second handle");
        thread::scope(|scope| {
            let writer = scope.spawn(move || stream.write_all(bytes));
            let values = (0..replies).map(|_| self.read()).collect();
            writer.join().expect("the writer").expect("sent in time");
            values
        })
    }

    /// Sends commands in one go and reads all of their replies.
    #[track_caller]
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> Vec<Value> {
        let bytes: Vec<u8> = commands.iter().flat_map(|words| command(words)).collect();
        self.pipeline_raw(&bytes, commands.len())
    }

    /// Reads one reply.
    #[track_caller]
    pub fn read(&mut self) -> Value {
        self.try_read().expect("a reply in time")
    }

    /// Reads the exact bytes of one reply.
    #[track_caller]
    pub fn read_bytes(&mut self) -> Vec<u8> {
        let mut record = Vec::new();
        read_value(&mut self.input, &mut record).expect("a reply in time");
        record
    }

    /// Reads one reply, or returns the error.
    pub fn try_read(&mut self) -> io::Result<Value> {
        read_value(&mut self.input, &mut Vec::new())
    }

    /// Reads one reply with its exact bytes, or returns the error.
    pub fn try_read_reply(&mut self) -> io::Result<Reply> {
        let mut bytes = Vec::new();
        let value = read_value(&mut self.input, &mut bytes)?;
        Ok(Reply { bytes, value })
    }

    /// Reads until the other side hangs up and returns the bytes: for errors that close the connection.
    #[track_caller]
    pub fn read_to_close(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.input.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!(
                "still open ({error}) after {:?}",
                String::from_utf8_lossy(&bytes)
            ),
        }
    }

    /// Whether a reply, or a hang-up, can be read within this time.
    pub fn has_news(&mut self, within: Duration) -> bool {
        if !self.input.buffer().is_empty() {
            return true;
        }
        self.stream
            .set_read_timeout(Some(within))
            .expect("a deadline");
        let seen = self.stream.peek(&mut [0]);
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a deadline");
        seen.is_ok()
    }

    /// Whether a reply or the end of the connection can be read now.
    pub fn has_news_now(&mut self) -> bool {
        if !self.input.buffer().is_empty() {
            return true;
        }
        self.stream.set_nonblocking(true).expect("non-blocking");
        let seen = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false).expect("blocking");
        seen.is_ok()
    }

    /// Closes the sending side; replies may still be read.
    pub fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("half closed");
    }

    /// This side's address, as CLIENT LIST shows it.
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("an address")
    }
}

/// The bytes of one command.
pub fn command<A: AsRef<[u8]>>(words: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
