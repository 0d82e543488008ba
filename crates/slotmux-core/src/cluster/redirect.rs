//! Reads from an upstream's error whether the request ran, and where or when it may run. Pure: bytes in, a verdict out;
//! the router decides what to do.

use super::addr::Addr;
use crate::slot::SLOTS;

/// The meaning of an error reply for its request.
///
/// Every verdict but `Deliver` says that the request was not executed, as far as the node can be believed: a Lua script
/// that has run may return any error text. The router therefore follows a redirect only if its slot is the request's
/// own, and verifies an error that may be a script's with the node (`engine::upstream::retry::verify_refusal`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorVerdict<'a> {
    /// An ordinary error: it belongs to the client.
    Deliver,
    /// The slot lives elsewhere now.
    Moved {
        /// The slot, below 16384.
        slot: u16,
        /// Announced host: `""` is the host of the node that said so, `"?"` an unknown one. See [`target`].
        host: &'a str,
        /// Announced port.
        port: u16,
    },
    /// The key is being moved: this request alone goes there, after `ASKING`.
    Ask {
        /// The slot, below 16384.
        slot: u16,
        /// Announced host, as in [`ErrorVerdict::Moved`].
        host: &'a str,
        /// Announced port.
        port: u16,
    },
    /// Keys of the request are on both sides of a moving slot.
    TryAgain,
    /// The cluster, or this slot, is not served at the moment.
    ClusterDown,
    /// The node is reading its data set.
    Loading,
    /// The node is a replica, or became one, and refuses the write.
    ReadOnly,
    /// The node is a replica that lost its primary and must not answer.
    MasterDown,
}

/// Code that a command names, and that its node does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MissingCode {
    /// The script of an EVALSHA.
    Script,
    /// The function of an FCALL.
    Function,
}

impl MissingCode {
    /// Reads it from an error reply: the code and the first words, which all servers share. Redis adds a hint behind them.
    pub fn in_error(error_reply: &[u8]) -> Option<MissingCode> {
        let text = error_reply.strip_prefix(b"-")?;
        if text.starts_with(b"NOSCRIPT No matching script") {
            Some(MissingCode::Script)
        } else if text.starts_with(b"ERR Function not found") {
            Some(MissingCode::Function)
        } else {
            None
        }
    }
}

/// Judges an error reply: a `-` line with or without its CRLF. Anything that is not an error line is `Deliver`.
pub fn judge(error_reply: &[u8]) -> ErrorVerdict<'_> {
    let text = error_reply.strip_prefix(b"-").unwrap_or(error_reply);
    let line = text
        .split(|&b| b == b'\r' || b == b'\n')
        .next()
        .unwrap_or_default();
    let mut words = line.splitn(2, |&b| b == b' ');
    let (code, rest) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    match code {
        b"MOVED" => match destination(rest) {
            Some((slot, host, port)) => ErrorVerdict::Moved { slot, host, port },
            None => ErrorVerdict::Deliver,
        },
        b"ASK" => match destination(rest) {
            Some((slot, host, port)) => ErrorVerdict::Ask { slot, host, port },
            None => ErrorVerdict::Deliver,
        },
        b"TRYAGAIN" if rest.starts_with(b"Multiple keys request during rehashing of slot") => {
            ErrorVerdict::TryAgain
        }
        b"CLUSTERDOWN"
            if rest.starts_with(b"The cluster is down")
                || rest.starts_with(b"Hash slot not served") =>
        {
            ErrorVerdict::ClusterDown
        }
        // The server says its own name first.
        b"LOADING" if rest.ends_with(b" is loading the dataset in memory") => ErrorVerdict::Loading,
        // The second is about a script or function that declares that it writes.
        b"READONLY"
            if rest.starts_with(b"You can't write against a read only")
                || rest.starts_with(b"Can not run script with write flag on readonly") =>
        {
            ErrorVerdict::ReadOnly
        }
        b"MASTERDOWN" if rest.starts_with(b"Link with MASTER is down") => ErrorVerdict::MasterDown,
        _ => ErrorVerdict::Deliver,
    }
}

/// Whether a node says that it has not run a write because of a state that may pass: a script holds it, its disk, its
/// replicas or its memory fail. The error is its client's; but a command that no client waits for can be tried again.
pub fn is_refused_for_now(error_reply: &[u8]) -> bool {
    let text = error_reply.strip_prefix(b"-").unwrap_or(error_reply);
    let codes: [&[u8]; 4] = [b"BUSY", b"MISCONF", b"NOREPLICAS", b"OOM"];
    codes.iter().any(|code| {
        let rest = text.strip_prefix(*code);
        rest.is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
    })
}

/// The target of a redirect, before the address map: an empty host is the host of `said_by`; an unknown one (`?`) is
/// `None`, and the way on is a refresh of the topology.
pub fn target(host: &str, port: u16, said_by: &Addr) -> Option<Addr> {
    match host {
        "" => Some(Addr {
            host: said_by.host.clone(),
            port,
        }),
        "?" => None,
        _ => Some(Addr::new(host, port)),
    }
}

/// `3999 127.0.0.1:6381`.
fn destination(rest: &[u8]) -> Option<(u16, &str, u16)> {
    let rest = std::str::from_utf8(rest).ok()?;
    let (slot, endpoint) = rest.split_once(' ')?;
    if slot.is_empty() || !slot.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let slot: u16 = slot
        .parse()
        .ok()
        .filter(|&slot| usize::from(slot) < SLOTS)?;
    // A host is a name or an address; a text with spaces or control characters is neither.
    if endpoint.bytes().any(|b| b <= b' ' || b == 0x7f) {
        return None;
    }
    let (host, port) = Addr::split_announced(endpoint)?;
    Some((slot, host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(slot: u16, host: &str, port: u16) -> ErrorVerdict<'_> {
        ErrorVerdict::Moved { slot, host, port }
    }

    #[test]
    fn what_may_pass() {
        for error in [
            "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
            "-MISCONF Errors writing to the AOF file: No space left on device\r\n",
            "-NOREPLICAS Not enough good replicas to write.\r\n",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            "BUSY",
        ] {
            assert!(is_refused_for_now(error.as_bytes()), "{error}");
        }
        for error in [
            "-BUSYKEY Target key name already exists.\r\n",
            "-ERR BUSY\r\n",
            ":1\r\n",
            "",
        ] {
            assert!(!is_refused_for_now(error.as_bytes()), "{error}");
        }
    }

    #[test]
    fn code_that_a_node_lacks() {
        for (error, missing) in [
            (
                "-NOSCRIPT No matching script. Please use EVAL.\r\n",
                Some(MissingCode::Script),
            ),
            (
                "-NOSCRIPT No matching script.\r\n",
                Some(MissingCode::Script),
            ),
            ("-ERR Function not found\r\n", Some(MissingCode::Function)),
            ("-NOSCRIPT no such key\r\n", None),
            ("-ERR Library not found\r\n", None),
            ("+ERR Function not found\r\n", None),
            ("", None),
        ] {
            assert_eq!(MissingCode::in_error(error.as_bytes()), missing, "{error}");
        }
    }

    #[test]
    fn judges_every_error_of_redis_and_valkey() {
        let table: &[(&str, ErrorVerdict)] = &[
            (
                "-MOVED 3999 127.0.0.1:6381\r\n",
                moved(3999, "127.0.0.1", 6381),
            ),
            (
                "-MOVED 0 node-1.example.net:6381\r\n",
                moved(0, "node-1.example.net", 6381),
            ),
            ("-MOVED 16383 ::1:6381\r\n", moved(16383, "::1", 6381)),
            (
                "-MOVED 3999 2001:db8::7:6381\r\n",
                moved(3999, "2001:db8::7", 6381),
            ),
            ("-MOVED 3999 :6381\r\n", moved(3999, "", 6381)),
            ("-MOVED 3999 ?:6381\r\n", moved(3999, "?", 6381)),
            ("-MOVED 3999 127.0.0.1:6381", moved(3999, "127.0.0.1", 6381)),
            ("MOVED 3999 127.0.0.1:6381", moved(3999, "127.0.0.1", 6381)),
            (
                "-ASK 3999 127.0.0.1:6381\r\n",
                ErrorVerdict::Ask {
                    slot: 3999,
                    host: "127.0.0.1",
                    port: 6381,
                },
            ),
            (
                "-ASK 3999 :6381\r\n",
                ErrorVerdict::Ask {
                    slot: 3999,
                    host: "",
                    port: 6381,
                },
            ),
            (
                "-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
                ErrorVerdict::TryAgain,
            ),
            (
                "-CLUSTERDOWN The cluster is down\r\n",
                ErrorVerdict::ClusterDown,
            ),
            (
                "-CLUSTERDOWN Hash slot not served\r\n",
                ErrorVerdict::ClusterDown,
            ),
            (
                "-CLUSTERDOWN The cluster is down and only accepts read commands\r\n",
                ErrorVerdict::ClusterDown,
            ),
            (
                "-LOADING Redis is loading the dataset in memory\r\n",
                ErrorVerdict::Loading,
            ),
            (
                "-LOADING Valkey is loading the dataset in memory\r\n",
                ErrorVerdict::Loading,
            ),
            (
                "-READONLY You can't write against a read only replica.\r\n",
                ErrorVerdict::ReadOnly,
            ),
            (
                "-READONLY Can not run script with write flag on readonly replica\r\n",
                ErrorVerdict::ReadOnly,
            ),
            (
                "-MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not set on the script.\r\n",
                ErrorVerdict::MasterDown,
            ),
            (
                "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
                ErrorVerdict::MasterDown,
            ),
        ];
        for (text, verdict) in table {
            assert_eq!(judge(text.as_bytes()), *verdict, "{text}");
        }
    }

    #[test]
    fn delivers_everything_else() {
        for text in [
            "",
            "-",
            "-\r\n",
            "-ERR unknown command 'MOVED'\r\n",
            "-ERR MOVED 3999 127.0.0.1:6381\r\n",
            "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
            "-EXECABORT Transaction discarded because of: MOVED 3999 127.0.0.1:6381\r\n",
            "-moved 3999 127.0.0.1:6381\r\n",
            // Errors of scripts.
            "-TRYAGAIN\r\n",
            "-TRYAGAIN the lock is taken\r\n",
            "-CLUSTERDOWN for maintenance\r\n",
            "-LOADING the cache\r\n",
            "-READONLY user\r\n",
            "-MASTERDOWN no master\r\n",
            "-MOVEDX 3999 127.0.0.1:6381\r\n",
            "-MOVED\r\n",
            "-MOVED \r\n",
            "-MOVED 3999\r\n",
            "-MOVED 3999 \r\n",
            "-MOVED 3999 host\r\n",
            "-MOVED 3999 host:\r\n",
            "-MOVED 3999 host:0\r\n",
            "-MOVED 3999 host:65536\r\n",
            "-MOVED 3999 host:99999999999999999999\r\n",
            "-MOVED 16384 127.0.0.1:6381\r\n",
            "-MOVED -1 127.0.0.1:6381\r\n",
            "-MOVED +1 127.0.0.1:6381\r\n",
            "-MOVED 99999999999999999999 127.0.0.1:6381\r\n",
            "-MOVED  3999 127.0.0.1:6381\r\n",
            "-MOVED 3999 127.0.0.1:6381 and more\r\n",
            "-MOVED 3999 127.0.0.1:6381\t\r\n",
            "-MOVED 3999\r\n127.0.0.1:6381\r\n",
            "-ASK 3999\r\n",
            "+MOVED 3999 127.0.0.1:6381\r\n",
            "--MOVED 3999 127.0.0.1:6381\r\n",
        ] {
            assert_eq!(judge(text.as_bytes()), ErrorVerdict::Deliver, "{text:?}");
        }
        assert_eq!(
            judge(b"-MOVED 3999 \xff\xfe:6381\r\n"),
            ErrorVerdict::Deliver
        );
        assert_eq!(judge(b"-MOVED 3999 a\0b:6381\r\n"), ErrorVerdict::Deliver);
    }

    #[test]
    fn hostile_text_never_panics_and_never_leaves_its_bounds() {
        // Every cut of real texts, and a few thousand random lines over the alphabet that the parser looks at.
        let real = b"-MOVED 16383 2001:db8::7:6381\r\n-ASK 1 ?:1\r\n";
        for start in 0..real.len() {
            for end in start..=real.len() {
                judge(&real[start..end]);
            }
        }
        let mut random = fastrand::Rng::with_seed(7);
        let alphabet = b"-MOVEDASK 0123456789:?.[]\r\n\0\xff\xc3";
        for _ in 0..20_000 {
            let mut line = b"-MOVED ".to_vec();
            line.extend(
                (0..random.usize(0..24)).map(|_| alphabet[random.usize(0..alphabet.len())]),
            );
            if let ErrorVerdict::Moved { slot, port, .. } = judge(&line) {
                assert!(slot < 16384 && port > 0, "{line:?}");
            }
        }
    }

    #[test]
    fn an_empty_host_is_the_host_of_the_node_that_said_so() {
        let said_by = Addr::new("10.0.0.1", 7000);
        assert_eq!(
            target("", 6381, &said_by),
            Some(Addr::new("10.0.0.1", 6381))
        );
        assert_eq!(target("::1", 6381, &said_by), Some(Addr::new("::1", 6381)));
        assert_eq!(target("?", 6381, &said_by), None);
    }
}
