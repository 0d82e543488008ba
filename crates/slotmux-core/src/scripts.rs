//! Scripts that clients have shown to slotmux, by their SHA1: a node that lacks one gets it ahead of the EVALSHA that
//! names it. Redis keeps scripts per node and copies them to none: one that was loaded before a failover, or run by EVAL
//! for a key elsewhere, is unknown where it is needed next.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use sha1::{Digest, Sha1};

use crate::command::Command;
use crate::resp::request::Request;

/// Scripts that are kept.
const MOST: usize = 4096;
/// Bytes of all scripts that are kept.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// A longer one is not kept.
const LONGEST: usize = 512 * 1024;
/// Scripts that a worker knows to be noted.
const MOST_NOTED: usize = 8192;

/// A SHA1 as clients and servers write it.
pub type Sha = [u8; 40];

/// The scripts that the process keeps; the oldest go first.
#[derive(Debug, Default)]
pub struct ScriptStore {
    kept: Mutex<StoredScripts>,
    /// Grows whenever a script is forgotten.
    era: AtomicU64,
}

#[derive(Debug, Default)]
struct StoredScripts {
    by_sha: HashMap<Sha, Bytes>,
    oldest_first: VecDeque<Sha>,
    bytes: usize,
}

impl ScriptStore {
    /// Keeps a script.
    fn keep(&self, script: &[u8]) {
        if script.len() > LONGEST {
            return;
        }
        let sha = sha_of(script);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_sha.contains_key(&sha) {
            return;
        }
        kept.by_sha.insert(sha, Bytes::copy_from_slice(script));
        kept.oldest_first.push_back(sha);
        kept.bytes += script.len();
        while kept.by_sha.len() > MOST || kept.bytes > MOST_BYTES {
            let Some(oldest) = kept.oldest_first.pop_front() else {
                break;
            };
            let gone = kept.by_sha.remove(&oldest).map_or(0, |gone| gone.len());
            kept.bytes -= gone;
            self.era.fetch_add(1, Ordering::Release);
        }
    }

    /// The script with this SHA1.
    pub fn get(&self, sha: &Sha) -> Option<Bytes> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_sha.get(sha).cloned()
    }

    /// Whether the script with this SHA1, in any case of its letters, is kept.
    pub fn has(&self, sha: &[u8]) -> bool {
        let sha: Result<Sha, _> = sha.try_into();
        sha.is_ok_and(|mut sha| {
            sha.make_ascii_lowercase();
            self.get(&sha).is_some()
        })
    }

    /// Forgets all scripts, as SCRIPT FLUSH makes the nodes do.
    fn flush(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = StoredScripts::default();
        self.era.fetch_add(1, Ordering::Release);
    }

    /// Changes whenever a script is forgotten.
    pub fn era(&self) -> u64 {
        self.era.load(Ordering::Acquire)
    }
}

/// The scripts that a worker has noted already: hashing a script with SHA1 at each EVAL would cost more than all the rest.
#[derive(Default)]
pub struct NotedScripts {
    hashes: RefCell<HashSet<u64>>,
    hasher: RandomState,
    era: Cell<u64>,
}

impl NotedScripts {
    /// Notes the script that a request shows, if it shows one.
    pub fn note(&self, scripts: &ScriptStore, command: &Command, request: &Request) {
        let script = match command.full_name {
            "eval" | "eval_ro" => request.arg(1),
            "script|load" => request.arg(2),
            "script|flush" => return scripts.flush(),
            _ => return,
        };
        if script.len() > LONGEST {
            // Too big to be kept, so hashing it would waste time.
            return;
        }
        let mut hashes = self.hashes.borrow_mut();
        if self.era.replace(scripts.era()) != scripts.era() || hashes.len() >= MOST_NOTED {
            hashes.clear();
        }
        if hashes.insert(self.hasher.hash_one(script)) {
            scripts.keep(script);
        }
    }
}

/// The scripts that were sent over one connection.
#[derive(Default)]
pub struct SentScripts {
    shas: HashSet<Sha>,
    era: u64,
}

impl SentScripts {
    /// The script that has to go ahead of `request`, an EVALSHA or not: it is known, and was not sent yet.
    pub fn missing(&mut self, scripts: &ScriptStore, request: &Request) -> Option<Bytes> {
        let sha = named(request)?;
        let era = scripts.era();
        if era != self.era {
            self.shas.clear();
            self.era = era;
        }
        if self.shas.contains(&sha) {
            return None;
        }
        let script = scripts.get(&sha)?;
        if self.shas.len() >= MOST {
            self.shas.clear();
        }
        self.shas.insert(sha);
        Some(script)
    }

    /// The node has lost it.
    pub fn forget(&mut self, request: &Request) {
        if let Some(sha) = named(request) {
            self.shas.remove(&sha);
        }
    }

    /// The connection is another one.
    pub fn clear(&mut self) {
        self.shas = HashSet::new();
    }
}

/// The SHA1 that an EVALSHA names.
fn named(request: &Request) -> Option<Sha> {
    let name = request.arg(0);
    let names = name.eq_ignore_ascii_case(b"evalsha") || name.eq_ignore_ascii_case(b"evalsha_ro");
    names.then(|| sha_in(request.arg(1)))?
}

/// A SHA1 in letters of any case.
fn sha_in(word: &[u8]) -> Option<Sha> {
    let mut sha: Sha = word.try_into().ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}

/// Whether a request runs a script that it names by its SHA1.
pub fn names_script(request: &Request) -> bool {
    named(request).is_some()
}

/// Commands that run scripts and functions.
const CALLS: [&[u8]; 6] = [
    b"eval",
    b"evalsha",
    b"fcall",
    b"eval_ro",
    b"evalsha_ro",
    b"fcall_ro",
];

/// Whether a request runs a script or a function.
pub fn is_script_call(request: &Request) -> bool {
    let name = request.arg(0);
    CALLS.iter().any(|call| name.eq_ignore_ascii_case(call))
}

/// A digest of a script call: of its script, however the request names it, and of its arguments.
pub fn digest_of_call(request: &Request) -> u32 {
    let (name, script) = (request.arg(0), request.arg(1));
    let mut digest = Sha1::new();
    if name.eq_ignore_ascii_case(b"eval") || name.eq_ignore_ascii_case(b"eval_ro") {
        digest.update(sha_of(script));
    } else {
        digest.update(named(request).as_ref().map_or(script, |sha| &sha[..]));
    }
    for at in 2..request.argc() {
        let argument = request.arg(at);
        digest.update(argument.len().to_be_bytes());
        digest.update(argument);
    }
    let bytes = digest.finalize();
    bytes[..4]
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// Whether [`NotedScripts::note`] may have a use for a request.
pub fn shows_script(request: &Request) -> bool {
    let name = request.arg(0);
    [&b"eval"[..], b"eval_ro", b"script"]
        .iter()
        .any(|shows| name.eq_ignore_ascii_case(shows))
}

fn sha_of(script: &[u8]) -> Sha {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut sha = [0; 40];
    for (pair, byte) in sha.chunks_mut(2).zip(Sha1::digest(script)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    sha
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::resolve;
    use crate::resp::{Limits, scan_request, write};

    fn with<T>(words: &[&[u8]], f: impl FnOnce(&Request) -> T) -> T {
        let (mut bytes, mut args) = (Vec::new(), Vec::new());
        write::request(&mut bytes, words);
        scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
        f(&Request {
            bytes: &bytes,
            args: &args,
        })
    }

    fn note(noted: &NotedScripts, scripts: &ScriptStore, words: &[&[u8]]) {
        with(words, |request| {
            let command = resolve(request.bytes, request.args).expect("a command");
            noted.note(scripts, command, request);
        });
    }

    const SHA: &Sha = b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

    #[test]
    fn a_script_is_known_by_its_sha_until_the_flush() {
        let (scripts, noted, mut sent) = (
            ScriptStore::default(),
            NotedScripts::default(),
            SentScripts::default(),
        );
        assert_eq!(&sha_of(b"return 1"), SHA);
        let mut missing = |words: &[&[u8]]| with(words, |request| sent.missing(&scripts, request));
        let call = [
            &b"EvalSha"[..],
            b"E0E1F9FABFC9D4800C877A703B823AC0578FF8DB",
            b"0",
        ];
        assert_eq!(missing(&call), None);
        for shows in [
            &[&b"EVAL"[..], b"return 1", b"0"][..],
            &[b"SCRIPT", b"LOAD", b"return 1"],
            &[b"EVAL_RO", b"return 1", b"0"],
        ] {
            note(&noted, &scripts, shows);
            assert_eq!(missing(&call).as_deref(), Some(&b"return 1"[..]));
            assert_eq!(missing(&call), None, "it was sent");
            assert_eq!(missing(&[b"EVAL", SHA, b"0"]), None);
            assert_eq!(missing(&[b"EVALSHA", b"short", b"0"]), None);
            note(&noted, &scripts, &[b"SCRIPT", b"FLUSH"]);
            assert_eq!(missing(&call), None, "it was flushed");
        }
    }

    #[test]
    fn a_lost_script_is_sent_again() {
        let (scripts, mut sent) = (ScriptStore::default(), SentScripts::default());
        scripts.keep(b"return 1");
        with(&[b"EVALSHA", SHA, b"0"], |request| {
            assert!(sent.missing(&scripts, request).is_some());
            sent.forget(request);
            assert!(sent.missing(&scripts, request).is_some());
            sent.clear();
            assert!(sent.missing(&scripts, request).is_some());
            assert!(sent.missing(&scripts, request).is_none());
        });
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_forgotten_script_is_noted_anew() {
        let (scripts, noted) = (ScriptStore::default(), NotedScripts::default());
        note(&noted, &scripts, &[b"EVAL", b"return 1", b"0"]);
        for n in 0..MOST {
            scripts.keep(format!("return {n} + 0").as_bytes());
        }
        assert_eq!(scripts.get(SHA), None);
        note(&noted, &scripts, &[b"EVAL", b"return 1", b"0"]);
        assert!(scripts.get(SHA).is_some());
        for n in 0..100 {
            let script = format!("{n}{}", "-".repeat(LONGEST - 10));
            scripts.keep(script.as_bytes());
            assert!(scripts.kept.lock().unwrap().bytes <= MOST_BYTES);
        }
        assert_eq!(scripts.get(SHA), None);
        scripts.keep(&vec![b'-'; LONGEST + 1]);
        assert!(scripts.kept.lock().unwrap().by_sha.len() < 20);
    }
}
