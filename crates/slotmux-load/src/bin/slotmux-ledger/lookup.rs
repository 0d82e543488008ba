//! The final lookups: every key is read, through the target and on the nodes, and compared with its book.

use crate::book::{Book, Findings, Kind};
use crate::shards::Nodes;
use crate::tally::Tally;
use crate::wire::{Connection, Login};
use slotmux_load::frames::{Reply, append_command};
use slotmux_load::slot::slot_of;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Keys of one pipeline.
const PIPELINE: usize = 64;

/// Pause before unreadable keys are tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Lost writes that the report names.
const NAMED: usize = 1000;

/// The findings of all lookups.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// Keys that were looked up.
    pub keys: u64,
    /// Findings about the writes of the target's clients.
    pub findings: Findings,
    /// Key and token of lost writes, as far as they are known.
    pub lost_writes: Vec<(String, String)>,
    /// Findings about the writes of the controls: losses of the cluster itself.
    pub control: Findings,
    /// Keys that could not be read in time.
    pub unreadable: u64,
    /// Keys with different values through the target and on their node.
    pub different: u64,
    /// Keys that lack a required TTL.
    pub without_ttl: u64,
}

/// The content of a key, and its PTTL.
type Seen = (Reply, Reply);

/// Reads all keys and judges them.
pub async fn audit(
    books: &[Book],
    login: &Login,
    nodes: Option<&Nodes>,
    settle: Duration,
    tally: &mut Tally,
) -> Audit {
    let until = Instant::now() + settle;
    let through = read_all(books, login, None, until).await;
    let direct = match nodes {
        Some(nodes) => Some(read_all(books, login, Some(nodes), until).await),
        None => None,
    };
    let mut audit = Audit::default();
    for (number, book) in books.iter().enumerate() {
        let theirs = direct.as_ref().map(|all| &all[number]);
        let (Some((told, _)), Some((truth, ttl))) =
            (&through[number], theirs.unwrap_or(&through[number]))
        else {
            audit.unreadable += 1;
            tally.sample(|| format!("unreadable: {}", book.key));
            continue;
        };
        audit.keys += 1;
        // A hash has no order to compare.
        if told != truth && book.kind != Kind::Hash {
            audit.different += 1;
            tally.sample(|| {
                format!(
                    "{}: {told:?} through the target, {truth:?} on its node",
                    book.key
                )
            });
        }
        let found = book.audit(truth);
        if found.lost > 0 && !book.control {
            let room = NAMED - audit.lost_writes.len();
            let tokens = book.lost_tokens(truth).into_iter().take(room);
            audit
                .lost_writes
                .extend(tokens.map(|token| (book.key.clone(), token)));
        }
        if found != Findings::default() {
            let side = if book.control { "control " } else { "" };
            tally.sample(|| format!("{side}{:?} {}: {found:?}", book.kind, book.key));
        }
        add(
            if book.control {
                &mut audit.control
            } else {
                &mut audit.findings
            },
            found,
        );
        if book.expires && exists(truth) && !matches!(ttl, Reply::Int(left) if *left > 0) {
            audit.without_ttl += 1;
            tally.sample(|| format!("no TTL: {:?} {}", book.kind, book.key));
        }
    }
    audit
}

/// Whether the key exists: a missing list or hash reads as an empty one.
fn exists(truth: &Reply) -> bool {
    *truth != Reply::Null && *truth != Reply::List(Vec::new())
}

fn add(sum: &mut Findings, found: Findings) {
    sum.lost += found.lost;
    sum.doubled += found.doubled;
    sum.ran_refused += found.ran_refused;
    sum.reordered += found.reordered;
    sum.foreign += found.foreign;
}

/// Reads every key, with retries until the deadline; through the target if no nodes are given.
async fn read_all(
    books: &[Book],
    target: &Login,
    nodes: Option<&Nodes>,
    until: Instant,
) -> Vec<Option<Seen>> {
    let mut seen: Vec<Option<Seen>> = books.iter().map(|_| None).collect();
    loop {
        let owners = match nodes {
            Some(nodes) => nodes.owners().await,
            None => Vec::new(),
        };
        let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for number in (0..books.len()).filter(|&number| seen[number].is_none()) {
            let address = match nodes {
                Some(_) => owners[usize::from(slot_of(books[number].key.as_bytes()))].as_deref(),
                None => Some(target.address.as_str()),
            };
            if let Some(address) = address {
                places.entry(address).or_default().push(number);
            }
        }
        for (address, numbers) in places {
            let login = nodes.map_or_else(|| target.clone(), |nodes| nodes.login(address));
            // The next round reads the keys that failed.
            let _ = read_some(books, &numbers, &login, &mut seen).await;
        }
        if seen.iter().all(Option::is_some) || Instant::now() > until {
            return seen;
        }
        sleep(AGAIN).await;
    }
}

async fn read_some(
    books: &[Book],
    numbers: &[usize],
    login: &Login,
    seen: &mut [Option<Seen>],
) -> io::Result<()> {
    let mut connection = Connection::open(login).await?;
    for pipeline in numbers.chunks(PIPELINE) {
        let mut bytes = Vec::new();
        for &number in pipeline {
            append_command(&books[number].lookup(), &mut bytes);
            append_command(&["PTTL", &books[number].key], &mut bytes);
        }
        connection.send(&bytes).await?;
        for &number in pipeline {
            let answer = (connection.receive().await?, connection.receive().await?);
            if !matches!(answer, (Reply::Error(_), _) | (_, Reply::Error(_))) {
                seen[number] = Some(answer);
            }
        }
    }
    Ok(())
}
