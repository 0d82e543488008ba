//! Listening sockets: one per worker and address, between which the kernel spreads new connections; a worker that gets
//! too many hands them on.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use crate::engine::shared::Mail;
use crate::engine::transport::{Accepted, Transport};
use crate::engine::worker::Worker;
use slotmux_core::config::{ListenAddress, Listener, PROTECTED};

/// Pause after a failed accept. The usual cause, no descriptor left, does not go away at once.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// A bound socket that no worker listens on yet.
pub struct Bound {
    /// Index of its listener in the configuration.
    pub listener: u8,
    /// The listening socket.
    pub socket: Socket,
}

/// The sockets of one worker.
pub type BoundSet = Vec<Bound>;

/// Binds every address of `listeners`: for each worker its own set of sockets. Returns the bound TCP addresses too,
/// which differ from the configured ones where port 0 was asked for.
///
/// # Errors
/// With the address that could not be bound.
pub fn bind_all(
    listeners: &[Listener],
    backlog: u32,
    workers: usize,
) -> Result<(Vec<BoundSet>, Vec<SocketAddr>), (String, io::Error)> {
    let mut sets: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for (index, listener) in listeners.iter().enumerate() {
        for bind in &listener.bind {
            match bind {
                ListenAddress::Tcp(addr) => {
                    let (sockets, addr) = bind_tcp(*addr, backlog, workers)
                        .map_err(|error| (addr.to_string(), error))?;
                    addresses.push(addr);
                    for (set, socket) in sets.iter_mut().zip(sockets) {
                        set.push(Bound {
                            listener: index as u8,
                            socket,
                        });
                    }
                }
                ListenAddress::Unix(path) => {
                    let socket =
                        bind_unix(path).map_err(|error| (path.display().to_string(), error))?;
                    // The kernel spreads no Unix sockets; the first worker accepts for all.
                    sets[0].push(Bound {
                        listener: index as u8,
                        socket,
                    });
                }
            }
        }
    }
    Ok((sets, addresses))
}

fn bind_tcp(
    addr: SocketAddr,
    backlog: u32,
    workers: usize,
) -> io::Result<(Vec<Socket>, SocketAddr)> {
    // With SO_REUSEPORT a second slotmux on the same address would quietly take half of the connections. A socket
    // without it fails to bind if the address is in use.
    let probe = tcp_socket(addr, false)?;
    probe.bind(&addr.into())?;
    let addr = probe.local_addr()?.as_socket().unwrap_or(addr);
    drop(probe);
    let sockets = (0..workers)
        .map(|_| {
            let socket = tcp_socket(addr, workers > 1)?;
            socket.bind(&addr.into())?;
            socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
            Ok(socket)
        })
        .collect::<io::Result<_>>()?;
    Ok((sockets, addr))
}

fn tcp_socket(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // As every server does: otherwise a restart has to wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    Ok(socket)
}

fn bind_unix(path: &Path) -> io::Result<Socket> {
    // A socket file outlives its process. It is removed only if no process listens on it. Connecting to a file that is not
    // a socket is refused in the same way.
    let is_socket = path
        .symlink_metadata()
        .is_ok_and(|found| found.file_type().is_socket());
    if is_socket
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    {
        std::fs::remove_file(path)?;
    }
    let listener = StdUnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener.into())
}

/// A listening socket of a worker.
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    fn new(socket: Socket) -> io::Result<Listening> {
        if socket.domain()? == Domain::UNIX {
            return Ok(Listening::Unix(UnixListener::from_std(socket.into())?));
        }
        Ok(Listening::Tcp(TcpListener::from_std(socket.into())?))
    }

    async fn accept(&self) -> io::Result<Transport> {
        match self {
            Listening::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Transport::Tcp(stream))
            }
            Listening::Unix(listener) => Ok(Transport::Unix(listener.accept().await?.0)),
        }
    }
}

/// Accepts connections for `worker` until the worker drains.
pub async fn accept(worker: Rc<Worker>, bound: Bound) {
    let listening = match Listening::new(bound.socket) {
        Ok(listening) => listening,
        Err(error) => return tracing::error!(%error, "cannot listen on a socket"),
    };
    loop {
        match listening.accept().await {
            Ok(transport) => {
                worker.contained("an accept", || assign(&worker, bound.listener, transport));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                if worker.shared.record_failed_accept() {
                    tracing::warn!(%error, "accept failed: new clients wait until it succeeds");
                }
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            }
        }
    }
}

/// Assigns a new connection to a worker, if there is room for it.
fn assign(worker: &Rc<Worker>, listener: u8, transport: Transport) {
    if worker.config.is_open() && !transport.is_local() {
        worker.stats.rejected.inc();
        let _ = transport.write_at_once(PROTECTED.as_bytes());
        return;
    }
    let home = worker.shared.choose_worker(worker.id);
    if !worker.shared.admit_client(home) {
        worker.stats.rejected.inc();
        // Best effort: the kernel's buffer of a fresh connection has room for a line.
        let _ = transport.write_at_once(b"-ERR max number of clients reached\r\n");
        return;
    }
    if let Some(idle) = worker.config.listeners[usize::from(listener)].tcp_keepalive {
        transport.set_keepalive(idle);
    }
    if home == worker.id {
        worker.welcome(transport, listener);
        return;
    }
    match transport.into_socket() {
        Ok(stream) => worker
            .shared
            .send(home, Mail::Adopt(Accepted { listener, stream })),
        Err(_) => worker.shared.client_left(home),
    }
}
