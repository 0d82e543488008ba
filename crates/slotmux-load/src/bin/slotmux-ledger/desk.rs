//! A client's keys: draws its next request and records the replies.

use crate::book::{Book, Kind, Token, Verdict, text};
use crate::fate::{Fate, of_error};
use crate::shards::Group;
use crate::tally::Tally;
use slotmux_load::frames::{Reply, append_command};
use slotmux_load::slot::slot_of;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

/// Hash tags of a client, and so the number of slots that it uses.
const TAGS: usize = 4;

/// 100 per cent.
pub const ALL: u8 = 100;

/// Writes to one key, after which a new key is begun, so that lookups stay small.
const FULL: usize = 200;

/// The keys of one tag: one of each kind, and two that only transactions write.
const KINDS: [Kind; 7] = [
    Kind::Counter,
    Kind::List,
    Kind::Text,
    Kind::Hash,
    Kind::Register,
    Kind::Counter,
    Kind::List,
];

/// Places in [`KINDS`] of the register and of the two keys of transactions.
const REGISTER: usize = 4;
const OF_TRANSACTIONS: [usize; 2] = [5, 6];

/// All books and counts. The first tally is that of the target, the second that of the controls.
pub struct Shelf {
    /// The books of all clients, for the lookups at the end.
    pub books: RefCell<Vec<Book>>,
    /// The counts.
    pub tallies: [RefCell<Tally>; 2],
    /// Prefixes of keys; those with the second prefix must have a TTL.
    pub prefixes: (String, Option<String>),
    /// Percentage of requests that read.
    pub reads: Cell<u8>,
    newest: Cell<Token>,
}

impl Shelf {
    /// An empty one.
    pub fn new(shards: usize, prefixes: (String, Option<String>), reads: u8) -> Shelf {
        Shelf {
            books: RefCell::default(),
            tallies: [0, 1].map(|_| RefCell::new(Tally::new(shards))),
            prefixes,
            reads: Cell::new(reads),
            newest: Cell::new(0),
        }
    }

    fn token(&self) -> Token {
        self.newest.set(self.newest.get() + 1);
        self.newest.get()
    }
}

/// The reply that a request expects.
enum Expected {
    Write(usize, usize),
    Read(usize, usize),
    Registers(Vec<usize>),
    Exec([(usize, usize); 2]),
    Echo(Token),
}

/// A request in flight.
pub struct Pending {
    expected: Expected,
    sent: Instant,
}

impl Pending {
    /// Number of expected replies: MULTI and queued commands are answered too.
    pub fn replies(&self) -> usize {
        match self.expected {
            Expected::Exec(keys) => keys.len() + 2,
            _ => 1,
        }
    }
}

/// The keys and counts of one client.
pub struct Desk {
    shelf: Rc<Shelf>,
    /// Its number in the tally of its side.
    client: usize,
    control: bool,
    tags: Vec<Tag>,
}

/// A hash tag with the places of the books of its keys.
struct Tag {
    name: String,
    /// Whether its keys must have a TTL: those of one transaction are of one namespace.
    expires: bool,
    keys: [usize; KINDS.len()],
}

impl Desk {
    /// A client with keys in this group; a control has one tag, so that one node has all of them.
    pub fn new(shelf: &Rc<Shelf>, name: &str, group: (usize, &Group), control: bool) -> Desk {
        let client = shelf.tallies[usize::from(control)]
            .borrow_mut()
            .enrol(group.0);
        let mut desk = Desk {
            shelf: shelf.clone(),
            client,
            control,
            tags: Vec::new(),
        };
        for number in 0..if control { 1 } else { TAGS } {
            let name = group.1.tag(&format!("{name}.{number}"));
            let expires = number % 2 == 1 && shelf.prefixes.1.is_some();
            let keys = std::array::from_fn(|place| desk.open(&name, expires, place));
            desk.tags.push(Tag {
                name,
                expires,
                keys,
            });
        }
        desk
    }

    /// The slot of its first tag.
    pub fn slot(&self) -> u16 {
        slot_of(self.tags[0].name.as_bytes())
    }

    /// Begins a key; returns the place of its book.
    fn open(&self, tag: &str, expires: bool, place: usize) -> usize {
        let mut books = self.shelf.books.borrow_mut();
        let number = books.len();
        let (plain, expiring) = &self.shelf.prefixes;
        let prefix = expiring.as_ref().filter(|_| expires).unwrap_or(plain);
        let mut book = Book::new(format!("{prefix}{{{tag}}}:{number}"), KINDS[place]);
        book.expires = expires;
        book.control = self.control;
        books.push(book);
        number
    }

    /// The book of a key, a new one if it is full.
    fn book(&mut self, tag: usize, place: usize) -> usize {
        let Tag {
            name,
            expires,
            keys,
        } = &self.tags[tag];
        let number = keys[place];
        if self.shelf.books.borrow()[number].len() < FULL {
            return number;
        }
        let number = self.open(name, *expires, place);
        self.tags[tag].keys[place] = number;
        number
    }

    /// Draws a request and appends it.
    pub fn draw(&mut self, out: &mut Vec<u8>) -> Pending {
        let tag = fastrand::usize(..self.tags.len());
        let expected = if fastrand::u8(..ALL) < self.shelf.reads.get() {
            self.draw_read(tag, out)
        } else {
            self.draw_write(tag, out)
        };
        self.tally().requests += 1;
        Pending {
            expected,
            sent: Instant::now(),
        }
    }

    fn draw_write(&mut self, tag: usize, out: &mut Vec<u8>) -> Expected {
        if fastrand::u8(..13) < 11 {
            let number = self.book(tag, fastrand::usize(..OF_TRANSACTIONS[0]));
            return Expected::Write(number, self.write(number, out));
        }
        append_command(&["MULTI"], out);
        let keys = OF_TRANSACTIONS.map(|place| {
            let number = self.book(tag, place);
            (number, self.write(number, out))
        });
        append_command(&["EXEC"], out);
        Expected::Exec(keys)
    }

    fn draw_read(&self, tag: usize, out: &mut Vec<u8>) -> Expected {
        match fastrand::u8(..7) {
            0..5 => {
                let number = self.tags[tag].keys[fastrand::usize(..KINDS.len())];
                let (words, place) =
                    self.shelf.books.borrow()[number].question(fastrand::usize(..FULL));
                append_command(&words, out);
                Expected::Read(number, place)
            }
            5 => {
                let registers: Vec<usize> =
                    self.tags.iter().map(|tag| tag.keys[REGISTER]).collect();
                let books = self.shelf.books.borrow();
                let keys = registers.iter().map(|&number| books[number].key.clone());
                let words: Vec<String> = std::iter::once("MGET".to_owned()).chain(keys).collect();
                append_command(&words, out);
                Expected::Registers(registers)
            }
            _ => {
                let token = self.shelf.token();
                append_command(&["ECHO", &text(token)], out);
                Expected::Echo(token)
            }
        }
    }

    fn write(&self, number: usize, out: &mut Vec<u8>) -> usize {
        let book = &mut self.shelf.books.borrow_mut()[number];
        append_command(&book.write(self.shelf.token()), out);
        book.len() - 1
    }

    /// The counts of its side.
    pub fn tally(&self) -> std::cell::RefMut<'_, Tally> {
        self.shelf.tallies[usize::from(self.control)].borrow_mut()
    }

    /// Records the replies to a request. Returns whether one was an error.
    pub fn settle(&self, pending: &Pending, replies: &[Reply]) -> bool {
        let Some((reply, queueing)) = replies.split_last() else {
            return false;
        };
        if let Reply::Error(text) = reply {
            self.fail(pending, of_error(text), text);
            return true;
        }
        let sent = pending.sent;
        match &pending.expected {
            Expected::Write(number, place) => self.enter(*number, *place, reply, sent),
            Expected::Read(number, place) => {
                self.read(*number, *place, reply);
                self.answered(sent);
            }
            Expected::Registers(numbers) => match reply {
                Reply::List(items) if items.len() == numbers.len() => {
                    numbers
                        .iter()
                        .zip(items)
                        .for_each(|(&number, item)| self.read(number, 0, item));
                    self.answered(sent);
                }
                _ => self.wrong(&format!("MGET: {reply:?}")),
            },
            Expected::Echo(token) if *reply == Reply::Bulk(text(*token).into_bytes()) => {}
            Expected::Echo(token) => self.wrong(&format!("ECHO {}: {reply:?}", text(*token))),
            Expected::Exec(keys) => {
                let simple = |text: &str| Reply::Simple(text.to_owned());
                if queueing != [simple("OK"), simple("QUEUED"), simple("QUEUED")] {
                    self.wrong(&format!("MULTI: {queueing:?}"));
                }
                match reply {
                    Reply::List(items) if items.len() == keys.len() => {
                        if items[0] != items[1] {
                            self.wrong(&format!(
                                "EXEC: {items:?} of two keys that are written together"
                            ));
                        }
                        for (&(number, place), item) in keys.iter().zip(items) {
                            self.enter(number, place, item, sent);
                        }
                    }
                    _ => self.wrong(&format!("EXEC: {reply:?}")),
                }
            }
        }
        false
    }

    fn enter(&self, number: usize, place: usize, reply: &Reply, sent: Instant) {
        let book = &mut self.shelf.books.borrow_mut()[number];
        if let Reply::Error(text) = reply {
            book.failed(place, of_error(text));
            return self.tally().failed(self.client, of_error(text), text);
        }
        let verdict = book.acked(place, reply);
        let mut tally = self.tally();
        tally.judge(verdict);
        tally.acked(self.client, sent);
    }

    fn read(&self, number: usize, place: usize, reply: &Reply) {
        let verdict = match reply {
            Reply::Error(_) => Verdict::Wrong(format!("an error within a reply: {reply:?}")),
            _ => self.shelf.books.borrow_mut()[number].read(place, reply),
        };
        self.tally().judge(verdict);
    }

    fn answered(&self, sent: Instant) {
        let nobody_writes = self.shelf.reads.get() == ALL;
        self.tally().answered(self.client, sent, nobody_writes);
    }

    fn wrong(&self, what: &str) {
        self.tally().judge(Verdict::Wrong(what.to_owned()));
    }

    /// Records that a request failed, for this reason.
    pub fn fail(&self, pending: &Pending, fate: Fate, why: &str) {
        let writes: &[(usize, usize)] = match &pending.expected {
            Expected::Write(number, place) => &[(*number, *place)],
            Expected::Exec(keys) => keys,
            Expected::Read(..) | Expected::Registers(_) | Expected::Echo(_) => {
                return self.tally().read_failed(self.client, why);
            }
        };
        for &(number, place) in writes {
            self.shelf.books.borrow_mut()[number].failed(place, fate);
            self.tally().failed(self.client, fate, why);
        }
    }
}
