//! Commands over several slots that fall into commands of one slot each: LMPOP and ZMPOP by the order of their keys, XREAD
//! and XREADGROUP by the slots of their streams; and how the replies of streams become one.

use crate::command::CommandRef;
use crate::resp::request::Request;
use crate::resp::{Protocol, elements_of, write};
use crate::slot::{Slot, slot_of};

/// A command for one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotCommand {
    /// The slot of its keys.
    pub slot: Slot,
    /// The first of its keys.
    pub key: Vec<u8>,
    /// The command.
    pub bytes: Vec<u8>,
    /// The places of its keys among the keys of the whole command.
    pub places: Vec<usize>,
}

/// The keys of a request by their slots. `is_ordered`: only neighbours share a group.
fn groups(keys: &[usize], request: &Request, is_ordered: bool) -> Vec<(Slot, Vec<usize>)> {
    let mut groups: Vec<(Slot, Vec<usize>)> = Vec::new();
    for (place, &at) in keys.iter().enumerate() {
        let slot = slot_of(request.arg(at));
        let found = if is_ordered {
            groups.last_mut().filter(|(other, _)| *other == slot)
        } else {
            groups.iter_mut().find(|(other, _)| *other == slot)
        };
        match found {
            Some((_, places)) => places.push(place),
            None => groups.push((slot, vec![place])),
        }
    }
    groups
}

fn keys_of(request: &Request, command: CommandRef) -> Vec<usize> {
    let mut keys = Vec::new();
    // The plan has found them before.
    let _ = command.for_each_key(request.bytes, request.args, |at| keys.push(at));
    keys
}

/// `LMPOP numkeys key … LEFT COUNT n` as commands that are tried one after the other.
pub fn first_of(request: &Request, command: CommandRef) -> Vec<SlotCommand> {
    let keys = keys_of(request, command);
    let Some((&first, &last)) = keys.first().zip(keys.last()) else {
        return Vec::new();
    };
    let part = |(slot, places): (Slot, Vec<usize>)| {
        let mut bytes = Vec::new();
        write::array(&mut bytes, request.argc() - keys.len() + places.len());
        for at in 0..first - 1 {
            write::bulk(&mut bytes, request.arg(at));
        }
        write::bulk(
            &mut bytes,
            itoa::Buffer::new().format(places.len()).as_bytes(),
        );
        for &place in &places {
            write::bulk(&mut bytes, request.arg(keys[place]));
        }
        for at in last + 1..request.argc() {
            write::bulk(&mut bytes, request.arg(at));
        }
        SlotCommand {
            slot,
            key: request.arg(keys[places[0]]).to_vec(),
            bytes,
            places,
        }
    };
    groups(&keys, request, true).into_iter().map(part).collect()
}

/// `XREAD … STREAMS key … id …` as one command for each slot.
pub fn streams(request: &Request, command: CommandRef) -> Vec<SlotCommand> {
    let keys = keys_of(request, command);
    let Some(&first) = keys.first() else {
        return Vec::new();
    };
    let ids = first + keys.len();
    let part = |(slot, places): (Slot, Vec<usize>)| {
        let mut bytes = Vec::new();
        write::array(&mut bytes, first + 2 * places.len());
        for at in 0..first {
            write::bulk(&mut bytes, request.arg(at));
        }
        for start in [first, ids] {
            for &place in &places {
                write::bulk(&mut bytes, request.arg(start + place));
            }
        }
        SlotCommand {
            slot,
            key: request.arg(keys[places[0]]).to_vec(),
            bytes,
            places,
        }
    };
    groups(&keys, request, false)
        .into_iter()
        .map(part)
        .collect()
}

/// Joins the replies to [`streams`], in the order in which the client named the streams. `None` if one of them is no
/// valid reply to such a command.
pub fn join_streams(
    request: &Request,
    command: CommandRef,
    parts: &[SlotCommand],
    replies: &[Vec<u8>],
    protocol: Protocol,
) -> Option<Vec<u8>> {
    let keys = keys_of(request, command);
    // A stream without entries is left out, and one that is named twice is there twice.
    let mut found: Vec<Vec<u8>> = vec![Vec::new(); keys.len()];
    for (part, reply) in parts.iter().zip(replies) {
        if is_null(reply) {
            continue;
        }
        let elements = elements_of(reply)?;
        let per_stream = if reply[0] == b'%' { 2 } else { 1 };
        let mut places = part.places.iter();
        for stream in elements.chunks(per_stream) {
            let name = name_of(stream, per_stream)?;
            let place = places.find(|&&place| request.arg(keys[place]) == name)?;
            found[*place] = stream.concat();
        }
    }
    let count = found.iter().filter(|stream| !stream.is_empty()).count();
    let mut out = Vec::new();
    if count == 0 {
        write::null_array(&mut out, protocol);
        return Some(out);
    }
    match protocol {
        Protocol::Resp2 => write::array(&mut out, count),
        Protocol::Resp3 => write::map(&mut out, protocol, count),
    }
    found
        .iter()
        .for_each(|stream| out.extend_from_slice(stream));
    Some(out)
}

/// The name of a stream in a reply: the key of a pair, or the first element of an array.
fn name_of<'a>(stream: &[&'a [u8]], per_stream: usize) -> Option<&'a [u8]> {
    let first = *stream.first()?;
    if per_stream == 2 {
        return crate::resp::text_of(first);
    }
    crate::resp::text_of(elements_of(first)?.first()?)
}

/// Whether a reply is nil, in either protocol.
pub fn is_null(reply: &[u8]) -> bool {
    matches!(reply, b"*-1\r\n" | b"$-1\r\n" | b"_\r\n")
}
