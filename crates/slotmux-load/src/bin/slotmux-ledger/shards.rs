//! The nodes behind the target: which slots belong together, and which node reports that it owns a slot.

use crate::wire::{Connection, Login};
use slotmux_load::frames::Reply;
use slotmux_load::slot::{SLOTS, slot_of};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

/// Longest wait for the slots of a node: a frozen node must not delay the search for its successor.
const PATIENCE: Duration = Duration::from_millis(300);

/// Slots that one primary owned when the run began. Keys stay in their group after slots have moved.
#[derive(Clone, Debug)]
pub struct Group {
    /// First and last slots.
    pub ranges: Vec<(u16, u16)>,
}

impl Group {
    /// All slots, for a run without nodes.
    pub fn all() -> Group {
        Group {
            ranges: vec![(0, SLOTS as u16 - 1)],
        }
    }

    /// Whether a key's slot is one of these.
    fn holds(&self, key: &str) -> bool {
        let slot = slot_of(key.as_bytes());
        self.ranges
            .iter()
            .any(|&(first, last)| (first..=last).contains(&slot))
    }

    /// A hash tag in one of these slots that begins with `start`.
    pub fn tag(&self, start: &str) -> String {
        (0u64..)
            .map(|n| format!("{start}.{n}"))
            .find(|tag| self.holds(tag))
            .unwrap_or_default()
    }

    /// The ranges as text.
    pub fn name(&self) -> String {
        let ranges: Vec<String> = self
            .ranges
            .iter()
            .map(|(a, b)| format!("{a}-{b}"))
            .collect();
        ranges.join(",")
    }
}

/// Slot ranges as a node reports them: first, last, the primary's address.
type Claims = Vec<(u16, u16, String)>;

/// The nodes that are known.
pub struct Nodes {
    login: Login,
    known: RefCell<BTreeSet<String>>,
}

impl Nodes {
    /// Nodes with this login, of which some addresses are known.
    pub fn new(login: Login, seeds: &[String]) -> Nodes {
        let login = Login {
            // CLUSTER SLOTS needs no RESP3.
            resp: 2,
            ..login
        };
        Nodes {
            login,
            known: RefCell::new(seeds.iter().cloned().collect()),
        }
    }

    /// How to log in to one of them.
    pub fn login(&self, address: &str) -> Login {
        Login {
            address: address.to_owned(),
            ..self.login.clone()
        }
    }

    /// One group for each primary, by the first node that answers.
    pub async fn groups(&self) -> Result<Vec<Group>, String> {
        let mut why = String::from("no node was named");
        for (address, told) in self.ask_all().await {
            match told {
                Ok(claims) if !claims.is_empty() => return Ok(groups(&claims)),
                Ok(_) => why = format!("{address} knows of no slots"),
                Err(error) => why = format!("{address}: {error}"),
            }
        }
        Err(why)
    }

    /// For each slot the node that reports itself as its owner.
    pub async fn owners(&self) -> Vec<Option<String>> {
        let mut owners = vec![None; SLOTS];
        for (address, told) in self.ask_all().await {
            for (first, last, owner) in told.unwrap_or_default() {
                if owner == address {
                    owners[usize::from(first)..=usize::from(last)].fill(Some(owner));
                }
            }
        }
        owners
    }

    /// Asks all nodes at once, so that a frozen one does not delay the others; adds the nodes that they name.
    async fn ask_all(&self) -> Vec<(String, Result<Claims, String>)> {
        let mut asked = JoinSet::new();
        for address in self.known.borrow().iter() {
            let login = Login {
                timeout: PATIENCE,
                ..self.login(address)
            };
            asked.spawn_local(ask(login));
        }
        let mut answers = Vec::new();
        for (address, told, named) in asked.join_all().await {
            self.known.borrow_mut().extend(named);
            answers.push((address, told));
        }
        answers
    }
}

/// One group for each primary of these claims, in the order of their slots.
fn groups(claims: &Claims) -> Vec<Group> {
    let owners: BTreeSet<&String> = claims.iter().map(|(.., owner)| owner).collect();
    let of = |owner: &String| {
        let own = claims.iter().filter(|(.., other)| other == owner);
        let mut ranges: Vec<_> = own.map(|&(first, last, _)| (first, last)).collect();
        ranges.sort_unstable();
        Group { ranges }
    };
    let mut groups: Vec<Group> = owners.into_iter().map(of).collect();
    groups.sort_by_key(|group| group.ranges[0]);
    groups
}

/// Asks one node: returns its address, its slot ranges, and the nodes that it names.
async fn ask(login: Login) -> (String, Result<Claims, String>, Vec<String>) {
    let asked = async {
        let mut connection = Connection::open(&login).await?;
        connection.ask(&["CLUSTER", "SLOTS"]).await
    };
    let entries = match asked.await {
        Ok(Reply::List(entries)) => entries,
        Ok(told) => {
            return (
                login.address,
                Err(format!("CLUSTER SLOTS: {told:?}")),
                Vec::new(),
            );
        }
        Err(error) => return (login.address, Err(error.to_string()), Vec::new()),
    };
    let (mut claims, mut named) = (Claims::new(), Vec::new());
    for entry in &entries {
        let Reply::List(parts) = entry else { continue };
        let [Reply::Int(first), Reply::Int(last), nodes @ ..] = parts.as_slice() else {
            continue;
        };
        let addresses: Vec<String> = nodes
            .iter()
            .filter_map(|node| endpoint(node, &login.address))
            .collect();
        let (first, last) = (u16::try_from(*first), u16::try_from(*last));
        if let (Ok(first), Ok(last), Some(owner)) = (first, last, addresses.first()) {
            claims.push((first, last, owner.clone()));
        }
        named.extend(addresses);
    }
    (login.address, Ok(claims), named)
}

/// A node's address; an empty host means that of the queried node.
fn endpoint(node: &Reply, asked: &str) -> Option<String> {
    let Reply::List(parts) = node else {
        return None;
    };
    let [host, Reply::Int(port), ..] = parts.as_slice() else {
        return None;
    };
    let host = match host {
        Reply::Bulk(host) if !host.is_empty() => String::from_utf8_lossy(host).into_owned(),
        _ => asked.rsplit_once(':')?.0.to_owned(),
    };
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_in_their_group() {
        let group = Group {
            ranges: vec![(5, 300), (16000, 16383)],
        };
        for start in ["a", "b.1"] {
            let tag = group.tag(start);
            assert!(
                tag.starts_with(start) && group.holds(&format!("x:{{{tag}}}:y")),
                "{tag}"
            );
        }
        assert_eq!(group.name(), "5-300,16000-16383");
    }
}
