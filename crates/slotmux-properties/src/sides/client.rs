//! The clients: those that check their replies, and one that sends arbitrary bytes.

use std::rc::Rc;
use std::time::Duration;

use slotmux_core::resp::reply::ReplyScanner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;

use super::dice::Dice;
use super::node::{Manners, Script};
use super::request::{self, Request};

/// Pieces that bytes are cut into before the rest is written at once.
const MOST_PIECES: usize = 300;

/// The counts of a client.
#[derive(Default)]
pub struct Outcome {
    /// Replies, errors among them.
    pub replies: usize,
    /// Errors.
    pub errors: usize,
}

/// Bytes with the places at which they are cut.
pub struct Pieces {
    bytes: Vec<u8>,
    /// The length of each piece, and how often the client yields after it.
    cuts: Vec<(usize, usize)>,
}

impl Pieces {
    /// Cuts bytes into pieces of any size.
    pub fn cut(bytes: Vec<u8>, dice: &mut Dice) -> Pieces {
        let mut cuts = Vec::new();
        let mut left = bytes.len();
        while left > 0 {
            let most = dice.one_of(&[usize::MAX, 100_000, 1000, 17, 3, 1]);
            let len = match most {
                usize::MAX => left,
                _ if cuts.len() == MOST_PIECES => left,
                _ => 1 + dice.below(left.min(most)),
            };
            cuts.push((len, dice.below(3)));
            left -= len;
        }
        Pieces { bytes, cuts }
    }

    /// Writes them.
    pub async fn write(&self, stream: &mut (impl AsyncWriteExt + Unpin)) -> std::io::Result<()> {
        let mut rest = self.bytes.as_slice();
        for &(len, turns) in &self.cuts {
            let (piece, behind) = rest.split_at(len);
            stream.write_all(piece).await?;
            rest = behind;
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

/// Sends requests and checks that each gets its own reply, and that nothing follows.
pub async fn converse(
    stream: UnixStream,
    script: Rc<Script>,
    mut dice: Dice,
    manners: Manners,
    id: usize,
) -> Outcome {
    let mut requests: Vec<Request> = Vec::new();
    if dice.one_in(4) {
        // Its replies come over other lanes.
        requests.push(Request::any(&["HELLO", "3"]));
    }
    for count in 0..dice.between(1..=40) {
        let next = request::next(&mut dice, id, count);
        let conduct = dice.fork();
        script.add(next.iter().flat_map(|request| &request.keys), conduct);
        requests.extend(next);
    }
    let bytes: Vec<u8> = requests.iter().flat_map(|one| one.bytes.clone()).collect();
    let leaves_at = dice.one_in(6).then(|| dice.below(bytes.len()));
    let (mut input, output) = stream.into_split();
    if let Some(at) = leaves_at {
        // It leaves with requests in flight.
        send(output, Pieces::cut(bytes[..at].to_vec(), &mut dice)).await;
        return Outcome::default();
    }
    let pieces = Pieces::cut(bytes, &mut dice);
    let sender = tokio::task::spawn_local(send(output, pieces));
    let outcome = receive(&mut input, &requests, manners).await;
    let output = sender.await.expect("the sender");
    drop(output);
    let mut rest = Vec::new();
    input.read_to_end(&mut rest).await.expect("the end");
    assert!(
        rest.is_empty(),
        "surplus bytes: {}",
        String::from_utf8_lossy(&rest)
    );
    outcome
}

async fn send(mut output: OwnedWriteHalf, pieces: Pieces) -> OwnedWriteHalf {
    // A closed connection is noticed when replies are read.
    let _ = pieces.write(&mut output).await;
    output
}

/// Reads the replies to these requests; less only if one of them may break the connection.
async fn receive(
    input: &mut (impl AsyncReadExt + Unpin),
    requests: &[Request],
    manners: Manners,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut scanner = ReplyScanner::default();
    let mut buffer = Vec::new();
    let (mut start, mut at) = (0, 0);
    while outcome.replies < requests.len() {
        if input.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
            let due = &requests[outcome.replies..];
            assert!(
                manners == Manners::Invalid || due.iter().any(|request| request.may_break),
                "closed instead of {:?}",
                due[0]
            );
            return outcome;
        }
        while at < buffer.len() && outcome.replies < requests.len() {
            let progress = scanner.advance(&buffer[at..]).expect("RESP");
            at += progress.consumed;
            if !progress.done {
                break;
            }
            let reply = &buffer[start..at];
            // A wrong reply cannot be detected; but each request gets exactly one reply.
            if manners != Manners::Invalid {
                requests[outcome.replies].check(reply);
            }
            outcome.errors +=
                usize::from(reply[0] == b'-' && !requests[outcome.replies].is_wrong());
            outcome.replies += 1;
            start = at;
        }
    }
    assert_eq!(start, buffer.len(), "surplus bytes");
    outcome
}

/// Sends arbitrary bytes, or nearly valid requests, and closes the connection.
pub async fn bother(stream: UnixStream, mut dice: Dice) {
    const PIECES: [&[u8]; 14] = [
        b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nx",
        b"*1\r\n",
        b"*1000000\r\n",
        b"$536870912\r\n",
        b"$-1\r\n",
        b"\r\n",
        b"PING\r\n",
        b"\"",
        b"*1\r\n$5\r\nMULTI\r\n",
        b"*1\r\n$4\r\nEXEC\r\n",
        b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n",
        b"*3\r\n$5\r\nBLPOP\r\n$1\r\na\r\n$1\r\n0\r\n",
        b"*2\r\n$4\r\nMGET\r\n$1\r\na\r\n*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$1\r\nb\r\n",
    ];
    let mut bytes: Vec<u8> = (0..dice.below(12))
        .flat_map(|_| dice.one_of(&PIECES))
        .copied()
        .collect();
    for _ in 0..dice.below(3) {
        let at = dice.below(bytes.len().max(1));
        if let Some(byte) = bytes.get_mut(at) {
            *byte = dice.byte();
        }
    }
    let patience = Duration::from_millis(dice.below(16) as u64);
    bytes.extend_from_slice(dice.rest());
    let pieces = Pieces::cut(bytes, &mut dice);
    let (mut input, mut output) = stream.into_split();
    let _ = pieces.write(&mut output).await;
    let _ = tokio::time::timeout(patience, input.read_to_end(&mut Vec::new())).await;
}
