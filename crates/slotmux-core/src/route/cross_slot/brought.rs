//! A command whose keys of other slots are brought to one slot: which keys these are, and the command with temporary
//! names in their place.

use crate::command::CommandRef;
use crate::policy::{BlockShape, Governed, commands_of};
use crate::resp::request::Request;
use crate::resp::write;
use crate::slot::{Slot, slot_of};

/// One key of another slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// Its slot.
    pub slot: Slot,
    /// Its name.
    pub key: Vec<u8>,
    /// The arguments that name it.
    pub at: Vec<usize>,
}

/// The keys of a command as seen from the slot where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// The slot where it runs.
    pub home: Slot,
    /// A key of the command in that slot.
    pub home_key: Vec<u8>,
    /// The keys of other slots, each once, those of a slot side by side.
    pub foreign: Vec<ForeignKey>,
}

impl Brought {
    /// The keys of `request` as seen from the slot of its written key. Where none is written any slot would do:
    /// that of key `turn`, counted around, so that another one is chosen if a slot is being moved.
    pub fn of(
        request: &Request,
        command: CommandRef,
        written: Option<usize>,
        turn: usize,
    ) -> Brought {
        let mut keys = Vec::new();
        // The plan has found them before.
        let _ = command.for_each_key(request.bytes, request.args, |at| keys.push(at));
        let home = written.or_else(|| {
            let place = turn.checked_rem(keys.len())?;
            keys.get(place).copied()
        });
        let home_key = request.arg(home.unwrap_or_default()).to_vec();
        let home = slot_of(&home_key);
        let mut foreign: Vec<ForeignKey> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for at in keys {
            let key = request.arg(at);
            let slot = slot_of(key);
            if slot == home {
                continue;
            }
            let place = *places.entry(key).or_insert(foreign.len());
            match foreign.get_mut(place) {
                Some(known) => known.at.push(at),
                None => foreign.push(ForeignKey {
                    slot,
                    key: key.to_vec(),
                    at: vec![at],
                }),
            }
        }
        foreign.sort_by_key(|key| key.slot.0);
        Brought {
            home,
            home_key,
            foreign,
        }
    }

    /// Appends the command with `names` in place of the foreign keys, one for each of them.
    pub fn write_command(&self, request: &Request, names: &[Vec<u8>], out: &mut Vec<u8>) {
        let mut renamed = vec![None; request.argc()];
        for (key, name) in self.foreign.iter().zip(names) {
            for &at in &key.at {
                renamed[at] = Some(name);
            }
        }
        write::array(out, request.argc());
        for (at, name) in renamed.into_iter().enumerate() {
            write::bulk(out, name.map_or(request.arg(at), Vec::as_slice));
        }
    }
}

/// The commands that a policy puts behind a command, and their number: the expiries of the keys that it writes.
pub fn expiries_of<'a>(
    request: &Request,
    governed: Governed,
    rewritten: &'a [u8],
) -> (&'a [u8], usize) {
    let Governed::Block(
        shape @ BlockShape {
            commands, own: 1, ..
        },
    ) = governed
    else {
        return (&[], 0);
    };
    let inner = commands_of(shape, rewritten);
    let behind = inner.get(request.bytes.len()..).unwrap_or_default();
    (behind, commands as usize - 1)
}
