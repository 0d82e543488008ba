//! Libraries of functions, which Redis keeps per node: those that a primary lacks and should get, by the libraries of the other
//! primaries and by the deletions that went through slotmux. Pure but for the lock of the deletions.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::command::Command;
use crate::resp::request::Request;

/// Names of unfinished deletions that are kept. More of them count as a deletion of everything.
const MOST_NAMES: usize = 1024;

/// Longest name of a function or library that is kept, in bytes; clients choose them freely. slotmux loads
/// no library with a longer name.
const LONGEST_NAME: usize = 256;

/// A library as its node describes it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Library {
    /// Its name.
    pub name: Vec<u8>,
    /// Its source, the first line included.
    pub code: Vec<u8>,
    /// Names of its functions.
    pub functions: Vec<Vec<u8>>,
}

/// Whether one of them has this function.
pub fn have(libraries: &[Library], function: &[u8]) -> bool {
    libraries
        .iter()
        .any(|library| library.functions.iter().any(|name| name == function))
}

/// The libraries that a primary with `own` lacks, and that more than half of the `others` have in the same form. A primary that
/// did not answer is `None` and counts as one without them: a library that was deleted from most must not come back.
pub fn missing<'a>(
    own: &[Library],
    others: &'a [Option<Vec<Library>>],
    deletions: &Deletions,
) -> Vec<&'a Library> {
    let mut missing: Vec<&Library> = Vec::new();
    for library in others.iter().flatten().flatten() {
        let is_known = |known: &Library| known.name == library.name;
        if !own.iter().any(is_known)
            && !missing.iter().any(|known| is_known(known))
            && is_common(library, others)
            && !deletions.cover(&library.name)
        {
            missing.push(library);
        }
    }
    missing
}

/// Whether more than half of the primaries have a library in this form.
pub fn is_common(library: &Library, primaries: &[Option<Vec<Library>>]) -> bool {
    let has_it = |libraries: &&Vec<Library>| {
        let mut libraries = libraries.iter();
        libraries.any(|one| one.name == library.name && one.code == library.code)
    };
    primaries.iter().flatten().filter(has_it).count() * 2 > primaries.len()
}

/// A deletion of libraries that clients have asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Deletion {
    /// FUNCTION FLUSH.
    All,
    /// FUNCTION DELETE of this library.
    Library(Box<[u8]>),
}

impl Deletion {
    /// The deletion that a request asks for.
    pub fn of(command: &Command, request: &Request) -> Option<Deletion> {
        match command.full_name {
            "function|flush" => Some(Deletion::All),
            "function|delete" => Some(Deletion::Library(request.arg(2).into())),
            _ => None,
        }
    }
}

/// Deletions that not every primary has confirmed: while one lasts, or if it has failed at some primary, slotmux loads the
/// deleted libraries into no primary.
#[derive(Debug, Default)]
pub struct Deletions(Mutex<Unfinished>);

#[derive(Debug, Default)]
struct Unfinished {
    all: bool,
    names: HashSet<Box<[u8]>>,
    /// Names of libraries that were loaded after the deletion of all.
    loaded: HashSet<Box<[u8]>>,
}

impl Deletions {
    /// Notes a request that changes libraries, before it is sent. A library that a client loads is wanted again.
    pub fn note(&self, command: &Command, request: &Request) {
        match command.full_name {
            "function|load" => {
                if let Some(name) = named(request.arg(request.argc() - 1)) {
                    let mut unfinished = self.unfinished();
                    unfinished.names.remove(name);
                    let has_room = unfinished.loaded.len() < MOST_NAMES;
                    if unfinished.all && has_room && name.len() <= LONGEST_NAME {
                        unfinished.loaded.insert(name.into());
                    }
                }
            }
            "function|restore" => *self.unfinished() = Unfinished::default(),
            _ => match Deletion::of(command, request) {
                Some(Deletion::All) => {
                    let mut unfinished = self.unfinished();
                    unfinished.all = true;
                    unfinished.loaded.clear();
                }
                Some(Deletion::Library(name)) if name.len() > LONGEST_NAME => {}
                Some(Deletion::Library(name)) => {
                    let mut unfinished = self.unfinished();
                    unfinished.loaded.remove(&name);
                    if unfinished.names.len() < MOST_NAMES {
                        unfinished.names.insert(name);
                    } else {
                        unfinished.all = true;
                    }
                }
                None => {}
            },
        }
    }

    /// Ends a deletion that every primary has confirmed.
    pub fn finish(&self, deletion: &Deletion) {
        match deletion {
            Deletion::All => *self.unfinished() = Unfinished::default(),
            Deletion::Library(name) => {
                self.unfinished().names.remove(name);
            }
        }
    }

    /// Whether a library is one that an unfinished deletion deletes, or may be.
    pub fn cover(&self, library: &[u8]) -> bool {
        let unfinished = self.unfinished();
        library.len() > LONGEST_NAME
            || (unfinished.all && !unfinished.loaded.contains(library))
            || unfinished.names.contains(library)
    }

    fn unfinished(&self) -> MutexGuard<'_, Unfinished> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name in the first line of a library: `#!lua name=books`.
fn named(code: &[u8]) -> Option<&[u8]> {
    let line = code.split(|&byte| byte == b'\n').next()?;
    let mut words = line.split(u8::is_ascii_whitespace);
    words.find_map(|word| word.strip_prefix(b"name="))
}

/// The function that a request calls, unless its name is too long to be kept.
pub fn called<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    let name = request.arg(0);
    let calls = name.eq_ignore_ascii_case(b"fcall") || name.eq_ignore_ascii_case(b"fcall_ro");
    let function = calls.then(|| request.arg(1));
    function.filter(|name| name.len() <= LONGEST_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::resolve;
    use crate::resp::{Limits, scan_request, write};

    fn library(name: &str, code: &str) -> Library {
        Library {
            name: name.into(),
            code: code.into(),
            functions: vec![format!("{name}_f").into()],
        }
    }

    fn with(words: &[&str], f: impl FnOnce(&Command, &Request)) {
        let (mut bytes, mut args) = (Vec::new(), Vec::new());
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        write::request(&mut bytes, &words);
        scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
        let request = Request {
            bytes: &bytes,
            args: &args,
        };
        f(resolve(&bytes, &args).expect("a command"), &request);
    }

    #[test]
    fn most_of_the_others_decide_what_is_missing() {
        let (a, b, b2) = (library("a", "1"), library("b", "1"), library("b", "2"));
        let none = Deletions::default();
        let names = |own: &[Library], others: &[Option<Vec<Library>>]| -> Vec<String> {
            let missing = missing(own, others, &none);
            let name = |library: &&Library| String::from_utf8(library.name.clone()).expect("text");
            missing.iter().map(name).collect()
        };
        let both = Some(vec![a.clone(), b.clone()]);
        assert_eq!(names(&[], &[both.clone(), both.clone()]), ["a", "b"]);
        assert_eq!(
            names(&[], std::slice::from_ref(&both)),
            ["a", "b"],
            "two primaries"
        );
        assert_eq!(
            names(std::slice::from_ref(&b2), &[both.clone(), both.clone()]),
            ["a"]
        );
        // Deleted at one of the others, or that one does not answer: half is not enough.
        assert!(names(&[], &[both.clone(), Some(vec![])]).is_empty());
        assert!(names(&[], &[both.clone(), None]).is_empty());
        // Of two versions the more common one.
        let newer = Some(vec![a.clone(), b2.clone()]);
        assert_eq!(names(&[], &[both.clone(), newer.clone()]), ["a"]);
        let others = [newer.clone(), both, newer];
        let given = missing(&[a], &others, &none);
        assert_eq!(given, [&b2]);
        assert!(have(&[b2], b"b_f") && !have(&[b], b"a_f"));
        assert!(names(&[], &[]).is_empty(), "one primary");
    }

    #[test]
    fn what_is_being_deleted_is_not_missing_until_it_is_loaded_again() {
        let deletions = Deletions::default();
        let note =
            |words: &[&str]| with(words, |command, request| deletions.note(command, request));
        let finish = |words: &[&str]| {
            with(words, |command, request| {
                deletions.finish(&Deletion::of(command, request).expect("a deletion"));
            });
        };
        let others = [Some(vec![library("a", "1")])];
        let is_given = || !missing(&[], &others, &deletions).is_empty();
        for words in [
            &["FUNCTION", "DELETE", "a"][..],
            &["FUNCTION", "FLUSH", "SYNC"],
        ] {
            assert!(is_given());
            note(words);
            assert!(!is_given(), "{words:?}");
            finish(words);
        }
        note(&["FUNCTION", "DELETE", "b"]);
        assert!(is_given());
        note(&["function", "delete", "a"]);
        note(&["FUNCTION", "LOAD", "REPLACE", "#!lua engine=x name=b\n--"]);
        assert!(!is_given());
        note(&["FUNCTION", "LOAD", "#!lua name=a\nname=b"]);
        assert!(is_given());
        note(&["FUNCTION", "FLUSH"]);
        note(&["FUNCTION", "LOAD", "#!lua name=other\n"]);
        assert!(!is_given());
        note(&["FUNCTION", "LOAD", "#!lua name=a\n"]);
        assert!(
            is_given(),
            "loaded again, though the deletion failed somewhere"
        );
        note(&["FUNCTION", "DELETE", "a"]);
        assert!(!is_given());
        note(&["FUNCTION", "LOAD", "#!lua name=a\n"]);
        note(&["FUNCTION", "FLUSH"]);
        assert!(!is_given());
        note(&["FUNCTION", "RESTORE", "x"]);
        assert!(is_given());
        for number in 0..=MOST_NAMES {
            assert!(is_given());
            note(&["FUNCTION", "DELETE", &number.to_string()]);
        }
        assert!(!is_given(), "more than can be kept");
    }

    #[test]
    fn a_long_name_is_not_kept() {
        let deletions = Deletions::default();
        for (len, is_kept) in [(LONGEST_NAME, true), (LONGEST_NAME + 1, false)] {
            let name = "n".repeat(len);
            with(&["FCALL", &name, "0"], |_, request| {
                assert_eq!(called(request).is_some(), is_kept);
            });
            with(&["FUNCTION", "DELETE", &name], |command, request| {
                deletions.note(command, request);
            });
            assert_eq!(deletions.unfinished().names.len(), 1);
            let others = [Some(vec![library(&name, "1")])];
            assert!(missing(&[], &others, &deletions).is_empty());
        }
    }
}
