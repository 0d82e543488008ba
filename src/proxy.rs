//! STUB of builder D's branch: the lead's file replaces it. Answers every read with +PONG until shutdown.
use std::io::{Read, Write};

use tokio_util::sync::CancellationToken;

use crate::config::{Bind, Config};

/// Stub.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartupError(#[from] std::io::Error);

/// Stub.
pub fn run(config: Config, shutdown: CancellationToken) -> Result<(), StartupError> {
    for bind in config.listeners.iter().flat_map(|l| l.bind.clone()) {
        let Bind::Tcp(addr) = bind else { continue };
        let listener = std::net::TcpListener::bind(addr)?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                std::thread::spawn(move || {
                    let mut buf = [0; 512];
                    while stream.read(&mut buf).is_ok_and(|n| n > 0)
                        && stream.write_all(b"+PONG\r\n").is_ok()
                    {}
                });
            }
        });
    }
    while !shutdown.is_cancelled() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}
