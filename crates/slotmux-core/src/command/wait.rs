//! The timeout of a blocking command, and its argument in the request.

use super::keys::block_option;
use super::{Command, CommandRef, KeySpec, Route};
use crate::resp::{Span, number};
use std::time::Duration;

/// Shortest timeout of a retry: servers before 7.0 rounded less than a millisecond down to 0, which means for ever.
const SHORTEST: Duration = Duration::from_millis(10);

/// The timeout of a blocking command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockingTimeout {
    /// Longest time that it may block. `None`: for ever, or the node judges the argument.
    pub limit: Option<Duration>,
    /// Index and unit of the argument with the timeout. `None`: a retry waits as long as the first try.
    place: Option<(u32, TimeUnit)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TimeUnit {
    Seconds,
    Milliseconds,
}

impl BlockingTimeout {
    /// A timeout that only the node can judge.
    pub const UNTOLD: BlockingTimeout = BlockingTimeout {
        limit: None,
        place: None,
    };

    /// The timeout of WAIT and WAITAOF, whose last argument is in milliseconds.
    pub fn for_replicas(last: &[u8]) -> BlockingTimeout {
        BlockingTimeout {
            limit: milliseconds(last).filter(|limit| !limit.is_zero()),
            place: None,
        }
    }

    /// The timeout of a request; `None` if it does not block.
    pub fn of(command: CommandRef, buf: &[u8], args: &[Span]) -> Option<BlockingTimeout> {
        let command = match command {
            CommandRef::Table(command) => command,
            // How its arguments name a timeout is not known.
            CommandRef::Learned(command) => {
                return command.blocks().then_some(BlockingTimeout::UNTOLD);
            }
        };
        if command.route != Route::Blocking {
            return None;
        }
        let (at, unit) = match timeout(command, buf, args) {
            TimeoutArgument::None => return None,
            TimeoutArgument::Untold => return Some(BlockingTimeout::UNTOLD),
            TimeoutArgument::At(at, unit) => (at, unit),
        };
        let limit = args.get(at).and_then(|arg| match unit {
            TimeUnit::Seconds => seconds(arg.of(buf)),
            TimeUnit::Milliseconds => milliseconds(arg.of(buf)),
        });
        Some(BlockingTimeout {
            limit: limit.filter(|limit| !limit.is_zero()),
            place: Some((at as u32, unit)),
        })
    }

    /// Index of the argument with the timeout, if there is one, and its new value when `left` remains.
    pub fn shortened(&self, left: Duration) -> Option<(usize, String)> {
        let (at, unit) = self.place?;
        let left = left.max(SHORTEST).as_millis();
        let text = match unit {
            TimeUnit::Seconds => format!("{}.{:03}", left / 1000, left % 1000),
            TimeUnit::Milliseconds => left.to_string(),
        };
        Some((at as usize, text))
    }
}

fn milliseconds(word: &[u8]) -> Option<Duration> {
    let ms = u64::try_from(number::parse_i64(word)?).ok()?;
    Some(Duration::from_millis(ms))
}

enum TimeoutArgument {
    /// The request does not block.
    None,
    /// It may block, and the argument with its timeout is not known.
    Untold,
    At(usize, TimeUnit),
}

fn timeout(command: &Command, buf: &[u8], args: &[Span]) -> TimeoutArgument {
    match (command.name, command.keys) {
        (_, KeySpec::Streams) => match block_option(buf, args) {
            Some(at) => TimeoutArgument::At(at + 1, TimeUnit::Milliseconds),
            None => TimeoutArgument::None,
        },
        ("blpop" | "brpop" | "bzpopmin" | "bzpopmax" | "blmove" | "brpoplpush", _) => {
            TimeoutArgument::At(args.len() - 1, TimeUnit::Seconds)
        }
        ("blmpop" | "bzmpop", _) => TimeoutArgument::At(1, TimeUnit::Seconds),
        _ => TimeoutArgument::Untold,
    }
}

/// A plain decimal number of seconds. Servers also take other forms of a number; how long those are is left to them.
fn seconds(text: &[u8]) -> Option<Duration> {
    let is_plain = text.iter().all(|c| c.is_ascii_digit() || *c == b'.');
    let text = str::from_utf8(text).ok().filter(|_| is_plain)?;
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::resolve;
    use super::*;
    use crate::resp::{Limits, scan_request, write};

    fn wait_of(line: &str) -> Option<BlockingTimeout> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let (mut bytes, mut args) = (Vec::new(), Vec::new());
        write::request(&mut bytes, &words);
        scan_request(&bytes, &Limits::default(), &mut args).expect("a request");
        let command = resolve(&bytes, &args).expect(line);
        BlockingTimeout::of(CommandRef::Table(command), &bytes, &args)
    }

    #[test]
    fn what_is_left_replaces_the_argument() {
        let left = Duration::from_millis(2345);
        for (line, limit, at, text) in [
            ("BLPOP a b 5", 5000, 3, "2.345"),
            ("BRPOP a 0.5", 500, 2, "2.345"),
            ("BZPOPMIN a 3.25", 3250, 2, "2.345"),
            ("BLMOVE a b LEFT RIGHT 7", 7000, 5, "2.345"),
            ("BRPOPLPUSH a b 7", 7000, 3, "2.345"),
            ("BLMPOP 4 2 a b LEFT", 4000, 1, "2.345"),
            ("BZMPOP .5 1 a MIN", 500, 1, "2.345"),
            ("XREAD COUNT 1 BLOCK 250 STREAMS a $", 250, 4, "2345"),
            ("XREADGROUP GROUP block c BLOCK 9 STREAMS a >", 9, 5, "2345"),
            ("XREAD BLOCK 7 block\0 9 STREAMS a $", 9, 4, "2345"),
        ] {
            let wait = wait_of(line).expect(line);
            assert_eq!(wait.limit, Some(Duration::from_millis(limit)), "{line}");
            assert_eq!(wait.shortened(left), Some((at, text.to_owned())), "{line}");
        }
    }

    #[test]
    fn never_for_ever_by_being_short() {
        let wait = wait_of("BLPOP a 5").expect("it blocks");
        assert_eq!(
            wait.shortened(Duration::ZERO).expect("an argument").1,
            "0.010"
        );
        let wait = wait_of("XREAD BLOCK 5 STREAMS a $").expect("it blocks");
        assert_eq!(
            wait.shortened(Duration::from_micros(3))
                .expect("an argument")
                .1,
            "10"
        );
    }

    #[test]
    fn what_has_no_end_or_none_that_is_known() {
        for line in [
            "BLPOP a 0",
            "BLPOP a 0.0",
            "BLPOP a -1",
            "BLPOP a 1e3",
            "BLPOP a 0x10",
            "BLPOP a x",
            "BLPOP a .",
            "BLPOP a 99999999999999999999999999",
            "XREAD BLOCK 0 STREAMS a $",
            "XREAD BLOCK -5 STREAMS a $",
            "XREAD BLOCK 1.5 STREAMS a $",
            "BLMOVEM a b LEFT RIGHT 5",
        ] {
            let wait = wait_of(line).expect(line);
            assert_eq!(wait.limit, None, "{line}");
        }
        for line in [
            "XREAD STREAMS a 0",
            "LPOP a",
            "XREADGROUP GROUP g c STREAMS a >",
        ] {
            assert_eq!(wait_of(line), None, "{line}");
        }
    }
}
