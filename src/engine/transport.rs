//! The one seam between slotmux and a stream socket: a read, a write and a look at whether the peer is gone.

use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive};
use tokio::io::{AsyncRead, Interest, ReadBuf, Ready};
use tokio::net::{TcpStream, UnixStream};

use slotmux_core::answer::ClientAddress;

/// A connected stream, downstream or upstream.
#[derive(Debug)]
pub enum Transport {
    /// TCP, with `TCP_NODELAY` set.
    Tcp(TcpStream),
    /// A Unix domain socket.
    Unix(UnixStream),
}

/// The state of a peer, as known without reading from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hangup {
    /// Nothing points to a hang-up.
    None,
    /// The peer has finished sending; it may still read replies.
    Half,
    /// Both directions are closed or the connection failed.
    Full,
}

impl Transport {
    /// Reads once into `buf`. After `Ready`, call again: only a `Pending` has registered the waker.
    ///
    /// This is `poll_read` rather than readiness plus `try_read` on purpose: tokio clears the readiness after a
    /// short read here, which saves the failing second `recv` that the other way costs.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut target = ReadBuf::new(buf);
        let poll = match self {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut target),
            Transport::Unix(stream) => Pin::new(stream).poll_read(cx, &mut target),
        };
        poll.map_ok(|()| target.filled().len())
    }

    /// Writes as much as the kernel takes now; after `WouldBlock`, wait for [`Transport::poll_write_ready`].
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Tcp(stream) => stream.try_write(bytes),
            Transport::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Ready when a write is worth another try.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Transport::Tcp(stream) => stream.poll_write_ready(cx),
            Transport::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Sends FIN, so that the peer reads everything that was written and then the end.
    pub fn finish(&self) {
        // An error here means that the peer has gone, which the caller expects anyway.
        let _ = self.socket().shutdown(Shutdown::Write);
    }

    /// Looks for a hang-up without reading, for a client that must not be read right now.
    pub fn hangup(&self) -> Hangup {
        let ready = match self {
            Transport::Tcp(stream) => {
                ready_now(stream.ready(Interest::READABLE | Interest::WRITABLE))
            }
            Transport::Unix(stream) => {
                ready_now(stream.ready(Interest::READABLE | Interest::WRITABLE))
            }
        };
        match ready {
            Some(ready) if ready.is_write_closed() => Hangup::Full,
            Some(ready) if ready.is_read_closed() => Hangup::Half,
            _ => Hangup::None,
        }
    }

    /// Writes past the runtime, which has not seen yet that a fresh connection can be written to.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn write_at_once(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket().send(bytes)
    }

    /// Whether the peer is on this machine.
    pub fn is_local(&self) -> bool {
        match self {
            Transport::Tcp(stream) => stream
                .peer_addr()
                .is_ok_and(|peer| peer.ip().to_canonical().is_loopback()),
            Transport::Unix(_) => true,
        }
    }

    /// Makes the kernel probe the peer after `idle` without traffic, and give up after three probes without an answer, a
    /// third of that apart: as Redis does. Unix sockets need none.
    pub fn set_keepalive(&self, idle: Duration) {
        if let Transport::Tcp(stream) = self {
            // Nothing depends on it: a connection that can't be probed is noticed when it is written to.
            let probe = (idle / 3).max(Duration::from_secs(1));
            let keepalive = TcpKeepalive::new().with_time(idle);
            let keepalive = keepalive.with_interval(probe).with_retries(3);
            let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
        }
    }

    /// Takes the connection away from this thread's runtime.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn into_socket(self) -> io::Result<Socket> {
        Ok(match self {
            Transport::Tcp(stream) => stream.into_std()?.into(),
            Transport::Unix(stream) => stream.into_std()?.into(),
        })
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Transport::Tcp(stream) => SockRef::from(stream),
            Transport::Unix(stream) => SockRef::from(stream),
        }
    }

    /// The descriptor's number.
    pub fn fd(&self) -> i32 {
        match self {
            Transport::Tcp(stream) => stream.as_raw_fd(),
            Transport::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// Address of the peer, and of our end.
    pub fn addresses(&self) -> Option<(ClientAddress, ClientAddress)> {
        match self {
            Transport::Tcp(stream) => Some((
                ClientAddress::Tcp(stream.peer_addr().ok()?),
                ClientAddress::Tcp(stream.local_addr().ok()?),
            )),
            Transport::Unix(stream) => {
                let address = stream.local_addr().ok()?;
                let path = address
                    .as_pathname()
                    .map(|path| path.display().to_string())
                    .unwrap_or_default();
                Some((
                    ClientAddress::Unix(path.as_str().into()),
                    ClientAddress::Unix(path.into()),
                ))
            }
        }
    }
}

/// A connection that was accepted and belongs to no runtime, so that it can change threads.
#[derive(Debug)]
pub struct Accepted {
    /// Index of its listener in the configuration.
    pub listener: u8,
    /// The socket.
    pub stream: Socket,
}

impl Accepted {
    /// Hands the connection to the runtime of this thread.
    ///
    /// # Errors
    /// Those of the kernel: the peer may have gone already.
    pub fn into_transport(self) -> io::Result<Transport> {
        if self.stream.domain()? == Domain::UNIX {
            return Ok(Transport::Unix(UnixStream::from_std(self.stream.into())?));
        }
        Ok(Transport::Tcp(TcpStream::from_std(self.stream.into())?))
    }
}

/// Polls once without leaving a waker behind.
fn ready_now(readiness: impl Future<Output = io::Result<Ready>>) -> Option<Ready> {
    match pin!(readiness).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(ready)) => Some(ready),
        _ => None,
    }
}
