//! The requests of clients and their possible replies: those of a node that echoes the keys, or an error about the request.

use super::dice::Dice;

/// How the error of a node begins; the key of its command follows.
pub const ERROR_FOR: &str = "-ERR for ";
/// Keys with this prefix have big values.
pub const BIG: &str = "big";

/// A request with its possible replies.
pub struct Request {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The reply of a correct node; `None`: any single reply.
    expected: Option<Vec<u8>>,
    /// The keys that an error may name.
    pub keys: Vec<String>,
    /// Whether it may be nil: a watched transaction, or a blocking command.
    may_be_nil: bool,
    /// Whether half of its reply may arrive before the node hangs up.
    pub may_break: bool,
}

impl Request {
    fn new(words: &[&str], expected: impl Into<Vec<u8>>) -> Request {
        Request {
            bytes: command(words),
            expected: Some(expected.into()),
            keys: Vec::new(),
            may_be_nil: false,
            may_break: false,
        }
    }

    /// A request that accepts any reply.
    pub fn any(words: &[&str]) -> Request {
        Request {
            expected: None,
            ..Request::new(words, "")
        }
    }

    /// Whether an error is a correct reply.
    pub fn is_wrong(&self) -> bool {
        self.expected.as_ref().is_some_and(|reply| reply[0] == b'-')
    }

    fn about(mut self, keys: &[&str]) -> Request {
        self.keys = keys.iter().map(|key| (*key).to_owned()).collect();
        self
    }

    /// Panics if `reply` belongs to another request.
    pub fn check(&self, reply: &[u8]) {
        let text = String::from_utf8_lossy(reply);
        if let Some(key) = text.strip_prefix(ERROR_FOR) {
            let key = key.trim_end();
            assert!(
                self.keys.iter().any(|own| own == key),
                "{self:?} got {text}"
            );
            return;
        }
        let is_fine = reply[0] == b'-'
            || self
                .expected
                .as_ref()
                .is_none_or(|expected| expected == reply)
            || (self.may_be_nil && (reply == b"*-1\r\n" || reply == b"_\r\n"));
        let shown = &text[..text.len().min(200)];
        assert!(is_fine, "{self:?} got {shown}");
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes);
        f.write_str(&text[..text.len().min(200)])
    }
}

/// The bytes of a command.
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(bulk(word));
    }
    bytes
}

/// A bulk string.
pub fn bulk(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

/// An array of elements that are already written.
pub fn array(elements: &[Vec<u8>]) -> Vec<u8> {
    [
        format!("*{}\r\n", elements.len()).into_bytes(),
        elements.concat(),
    ]
    .concat()
}

/// The value that a node has for a key.
pub fn value(key: &str) -> String {
    match key.starts_with(BIG) {
        true => key.repeat(100_000 / key.len()),
        false => key.to_owned(),
    }
}

/// The number that a node has for a key.
pub fn number(key: &str) -> Vec<u8> {
    let number = key.bytes().fold(7u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    format!(":{number}\r\n").into_bytes()
}

/// The next requests of client `id`: one, or all those of a transaction.
pub fn next(dice: &mut Dice, id: usize, count: usize) -> Vec<Request> {
    let key = format!("c{id}.{count}.{}", dice.byte());
    let keys: Vec<String> = (0..dice.between(2..=5))
        .map(|i| format!("{key}.{i}"))
        .collect();
    let some: Vec<&str> = keys.iter().map(String::as_str).collect();
    let several = |name| [vec![name], some.clone()].concat();
    let simple = |text: &str| format!("+{text}\r\n").into_bytes();
    vec![match dice.below(20) {
        0..=4 => Request::new(&["GET", &key], bulk(&key)).about(&[&key]),
        5..=7 => Request::new(&["SET", &key, "v"], simple(&key)).about(&[&key]),
        8 => Request::new(&["INCR", &key], number(&key)).about(&[&key]),
        9..=10 => {
            let values: Vec<_> = some.iter().map(|key| bulk(key)).collect();
            Request::new(&several("MGET"), array(&values)).about(&some)
        }
        11 => {
            let count = format!(":{}\r\n", some.len());
            Request::new(&several("DEL"), count).about(&some)
        }
        12 => {
            let big = "b".repeat(dice.between(1000..=100_000));
            Request::new(&["SET", &key, &big], simple(&key)).about(&[&key])
        }
        13 => {
            let key = format!("{BIG}{key}");
            let mut request = Request::new(&["GET", &key], bulk(&value(&key))).about(&[&key]);
            request.may_break = true;
            request
        }
        14 => return transaction(dice, &key),
        15 => {
            let popped = array(&[bulk(&key), bulk(&key)]);
            let mut request = Request::new(&["BLPOP", &key, "0.1"], popped).about(&[&key]);
            // After a retry it may be late.
            request.may_be_nil = true;
            request
        }
        16 => Request::new(&["EVAL", "return 1", "1", &key], bulk(&key)).about(&[&key]),
        17 => Request::new(&["ECHO", &key], bulk(&key)),
        18 => Request::new(
            &["GET"],
            "-ERR wrong number of arguments for 'get' command\r\n",
        ),
        _ => {
            let words: [&[&str]; 3] = [&["DBSIZE"], &["SCAN", "0"], &["PING"]];
            Request::any(dice.one_of(&words)).about(&["DBSIZE", "SCAN", "INFO"])
        }
    }]
}

/// A transaction in one slot, watched or not.
fn transaction(dice: &mut Dice, tag: &str) -> Vec<Request> {
    let (a, b) = (format!("{{{tag}}}a"), format!("{{{tag}}}b"));
    let mut requests = Vec::new();
    let is_watched = dice.one_in(2);
    if is_watched {
        requests.push(Request::new(&["WATCH", &a], "+OK\r\n").about(&[&a]));
    }
    requests.push(Request::new(&["MULTI"], "+OK\r\n"));
    requests.push(Request::new(&["GET", &a], "+QUEUED\r\n"));
    requests.push(Request::new(&["INCR", &b], "+QUEUED\r\n"));
    let mut exec = Request::new(&["EXEC"], array(&[bulk(&a), number(&b)])).about(&[&a, &b, "EXEC"]);
    exec.may_be_nil = is_watched;
    requests.push(exec);
    requests
}
