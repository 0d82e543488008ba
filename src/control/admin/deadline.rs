//! The socket of an admin connection, with a deadline for each wait: for the rest of a request, for the next request,
//! or for the client to take the rest of a response.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::connections::Connection;
use slotmux_core::config::Admin;

/// Longest duration of each wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    header: Duration,
    idle: Duration,
    write: Duration,
}

impl From<&Admin> for Deadlines {
    fn from(admin: &Admin) -> Deadlines {
        Deadlines {
            header: admin.header_timeout,
            idle: admin.idle_timeout,
            write: admin.write_timeout,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    /// From the first byte of a request to the first byte of its response.
    Request,
    /// For another request.
    Next,
    /// For the client to take the last byte of a response.
    Response,
}

/// A stream with deadlines. Each covers a whole request or response: single bytes do not extend it.
pub(super) struct DeadlineStream<S> {
    stream: S,
    connection: Arc<Connection>,
    deadlines: Deadlines,
    wait: Wait,
    until: Pin<Box<Sleep>>,
}

impl<S> DeadlineStream<S> {
    pub fn new(stream: S, connection: Arc<Connection>, deadlines: Deadlines) -> DeadlineStream<S> {
        DeadlineStream {
            stream,
            connection,
            deadlines,
            wait: Wait::Request,
            until: Box::pin(sleep(deadlines.header)),
        }
    }

    fn begin(&mut self, wait: Wait) {
        let time = match wait {
            Wait::Request => self.deadlines.header,
            Wait::Next => self.deadlines.idle,
            Wait::Response => self.deadlines.write,
        };
        self.wait = wait;
        self.until.as_mut().reset(Instant::now() + time);
    }

    /// `polled`, or an error if it would wait beyond the deadline.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        ready!(self.until.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn written(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.wait != Wait::Response {
            self.begin(Wait::Response);
        }
        if polled.is_ready() {
            self.connection.note_activity();
            // A slow reader frees a little of the kernel buffer now and then, so progress does not extend the deadline.
            if self.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        self.in_time(cx, polled)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for DeadlineStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.connection.note_activity();
            if self.wait == Wait::Next {
                self.begin(Wait::Request);
            }
        }
        self.in_time(cx, polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for DeadlineStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, polled)
    }

    /// Without vectored writes the bytes of a page would be copied once per connection.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when all responses so far have been written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        if self.wait == Wait::Response {
            self.begin(Wait::Next);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
