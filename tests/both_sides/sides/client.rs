//! The clients: those that check what they get, and one that sends anything.

use fastrand::Rng;
use slotmux::resp::reply::ReplyScanner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;

use super::node::Manners;
use super::request::{self, Request};

/// What a client got.
#[derive(Default)]
pub struct Outcome {
    /// Replies, errors among them.
    pub replies: usize,
    /// Errors.
    pub errors: usize,
}

/// Writes in pieces of any size, and lets others go ahead between them.
pub async fn write_in_pieces(
    stream: &mut (impl AsyncWriteExt + Unpin),
    mut bytes: &[u8],
    rng: &mut Rng,
) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let most = *rng.choice(&[1, 3, 17, 1000, 100_000]).expect("one");
        let (piece, rest) = bytes.split_at(rng.usize(1..=bytes.len().min(most)));
        stream.write_all(piece).await?;
        bytes = rest;
        for _ in 0..rng.usize(0..3) {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Sends requests and checks that each gets its own reply, and that no more comes.
pub async fn converse(stream: UnixStream, mut rng: Rng, manners: Manners, id: usize) -> Outcome {
    let mut requests: Vec<Request> = Vec::new();
    if rng.bool() {
        // Its replies come over other lanes.
        requests.extend(hello(&mut rng));
    }
    for count in 0..rng.usize(1..40) {
        requests.extend(request::next(&mut rng, id, count));
    }
    let bytes: Vec<u8> = requests.iter().flat_map(|one| one.bytes.clone()).collect();
    let leaves_at = (rng.u8(..) < 40).then(|| rng.usize(..bytes.len()));
    let (mut input, output) = stream.into_split();
    if let Some(at) = leaves_at {
        // Gone in the middle, with what it is owed.
        send(output, bytes[..at].to_vec(), rng).await;
        return Outcome::default();
    }
    let sender = tokio::task::spawn_local(send(output, bytes, rng));
    let outcome = receive(&mut input, &requests, manners).await;
    let output = sender.await.expect("the sender");
    drop(output);
    let mut rest = Vec::new();
    input.read_to_end(&mut rest).await.expect("the end");
    assert!(
        rest.is_empty(),
        "too much: {}",
        String::from_utf8_lossy(&rest)
    );
    outcome
}

async fn send(mut output: OwnedWriteHalf, bytes: Vec<u8>, mut rng: Rng) -> OwnedWriteHalf {
    // A client that slotmux closes shows itself where replies are read.
    let _ = write_in_pieces(&mut output, &bytes, &mut rng).await;
    output
}

fn hello(rng: &mut Rng) -> Option<Request> {
    rng.bool().then(|| Request::any(&["HELLO", "3"]))
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
                manners == Manners::Lying || due.iter().any(|request| request.may_break),
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
            // Nobody can tell a lie from the truth; but each request gets one reply, whatever it is.
            if manners != Manners::Lying {
                requests[outcome.replies].check(reply);
            }
            outcome.errors +=
                usize::from(reply[0] == b'-' && !requests[outcome.replies].is_wrong());
            outcome.replies += 1;
            start = at;
        }
    }
    assert_eq!(start, buffer.len(), "too much");
    outcome
}

/// Sends what is no request, or hardly one, and leaves.
pub async fn bother(stream: UnixStream, mut rng: Rng) {
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
    let mut bytes: Vec<u8> = (0..rng.usize(1..12))
        .flat_map(|_| rng.choice(PIECES).expect("one"))
        .copied()
        .collect();
    for _ in 0..rng.usize(0..3) {
        let at = rng.usize(..bytes.len());
        bytes[at] = rng.u8(..);
    }
    let (mut input, mut output) = stream.into_split();
    let _ = write_in_pieces(&mut output, &bytes, &mut rng).await;
    let patience = std::time::Duration::from_millis(rng.u64(0..50));
    let _ = tokio::time::timeout(patience, input.read_to_end(&mut Vec::new())).await;
}
