//! The first words of a peer in place of a node's reply, worded so that the operator sees which kind of server is at the
//! address. They are not trusted: they are cut, and control characters are escaped.

/// Shown characters of a peer's words: enough for every error of Redis without its advice.
const MOST: usize = 200;

/// Text behind `unknown command 'NAME'` in Redis' error.
const QUOTES: &[u8] = b", with args beginning with";

/// A peer that hangs up in response to a request. A TLS port does that, since the request is no TLS handshake.
pub const CLOSED_SILENTLY: &str = "it hung up without a word: is this a TLS port?";

/// A TLS record starts with its type and the major version 3; what a server sends unasked is an alert or a handshake.
const TLS_ALERT: &[u8] = &[0x15, 0x03];
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// Completes `host:port: ...` by the peer's words.
pub fn worded(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return CLOSED_SILENTLY.to_owned();
    }
    if let Some(error) = bytes.strip_prefix(b"-") {
        return error_words(error);
    }
    if bytes.starts_with(TLS_ALERT) || bytes.starts_with(TLS_HANDSHAKE) {
        return "it answers in TLS: is this a TLS port?".to_owned();
    }
    let words = shown(first_line(bytes));
    if bytes.starts_with(b"HTTP/") {
        return format!("an HTTP server answers: {words}");
    }
    format!("it does not speak the Redis protocol, it says: {words}")
}

/// The words of an error reply, without its `-`, its advice and quoted parts of the request.
pub fn error_words(error: &[u8]) -> String {
    let line = first_line(error);
    // The quoted part may hold a password.
    let quoted = line.windows(QUOTES.len()).position(|part| part == QUOTES);
    let line = &line[..quoted.unwrap_or(line.len())];
    // The error of protected mode continues with a hundred words of advice.
    let is_long_winded = line.starts_with(b"DENIED ");
    let end = line.windows(2).position(|pair| pair == b". ");
    match end.filter(|_| is_long_winded) {
        Some(end) => shown(&line[..end]),
        None => shown(line),
    }
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .position(|&byte| byte == b'\r' || byte == b'\n');
    &bytes[..end.unwrap_or(bytes.len())]
}

/// Text with its control characters escaped, cut to a length.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MOST)]);
    if text.trim_ascii().is_empty() {
        return "(an empty line)".to_owned();
    }
    let mut out = String::new();
    for (count, c) in text.trim_ascii_end().chars().enumerate() {
        if count == MOST {
            out.push('…');
            break;
        }
        match c {
            ' '..='~' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            c => out.extend(c.escape_default()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_peer_is_known_by_its_words() {
        let denied = "-DENIED Redis is running in protected mode because no password is set for the default user. In \
            this mode connections are only accepted from the loopback interface. 1) Just disable it\r\n";
        for (bytes, expected) in [
            (&b""[..], CLOSED_SILENTLY),
            (
                b"-NOAUTH Authentication required.\r\n",
                "NOAUTH Authentication required.",
            ),
            (
                b"-ERR max number of clients reached\r\n",
                "ERR max number of clients reached",
            ),
            (
                denied.as_bytes(),
                "DENIED Redis is running in protected mode because no password is set for the default user",
            ),
            (
                b"\x15\x03\x03\x00\x02\x02\x46",
                "it answers in TLS: is this a TLS port?",
            ),
            (b"\x16\x03\x01", "it answers in TLS: is this a TLS port?"),
            (
                b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",
                "an HTTP server answers: HTTP/1.1 400 Bad Request",
            ),
            (
                b"SSH-2.0-OpenSSH_9.2p1\r\n",
                "it does not speak the Redis protocol, it says: SSH-2.0-OpenSSH_9.2p1",
            ),
            (
                b"J\0\0\0\n8.0.36\0",
                "it does not speak the Redis protocol, it says: J\\u{0}\\u{0}\\u{0}",
            ),
            (b"-\r\n", "(an empty line)"),
            (
                b"-ERR unknown command 'AUTH', with args beginning with: 'secret' \r\n",
                "ERR unknown command 'AUTH'",
            ),
        ] {
            let said = worded(bytes);
            assert_eq!(
                said.trim_end(),
                expected.trim_end(),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn words_are_cut_and_cannot_break_a_line_or_a_terminal() {
        let long = [b"-".to_vec(), b"x".repeat(1 << 20)].concat();
        assert_eq!(worded(&long).chars().count(), MOST + 1);
        for byte in 0..=255 {
            let said = worded(&[b'-', b'E', byte, b'e']);
            assert!(!said.chars().any(char::is_control), "{byte}: {said:?}");
        }
        let hidden = worded("-ERR \u{202e}evil\u{1b}[2J\r\n".as_bytes());
        assert_eq!(hidden, "ERR \\u{202e}evil\\u{1b}[2J");
    }
}
