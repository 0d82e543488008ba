//! A TTL as a request gives it: read as Redis reads it, judged by the policy, written again.

use super::Actions;
use super::splice::number;
use super::subject::Subject;
use super::ttl::Given;
use crate::resp::number::parse_i64;
use crate::resp::write;

/// How a TTL is spelled. The options of SET have these names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Form {
    pub is_absolute: bool,
    pub in_seconds: bool,
}

/// What becomes of a given TTL.
#[derive(Debug)]
pub(super) enum Judged {
    /// It stays, be it that it fits or that Redis refuses it.
    Stays,
    /// It becomes so many milliseconds from now.
    Becomes(u64, Actions),
    /// It is above the maximum, and the policy refuses that: the error.
    Refused(String),
}

/// The clocks of slotmux and of the nodes may differ by this before a point in time is taken for a wrong one.
const SLACK: u64 = 1000;

impl Form {
    pub const EX: Form = Form::new(false, true);
    pub const PX: Form = Form::new(false, false);
    pub const EXAT: Form = Form::new(true, true);
    pub const PXAT: Form = Form::new(true, false);

    const fn new(is_absolute: bool, in_seconds: bool) -> Form {
        Form {
            is_absolute,
            in_seconds,
        }
    }

    /// The form that a TTL of so many milliseconds is written in instead, and the number: seconds stay seconds where
    /// that is exact, and a point in time becomes a distance, which needs no clock of ours.
    pub fn of(self, milliseconds: u64) -> (Form, u64) {
        if self == Form::EX && milliseconds.is_multiple_of(1000) {
            (Form::EX, milliseconds / 1000)
        } else {
            (Form::PX, milliseconds)
        }
    }

    /// Writes the option with its number, for `milliseconds` from now.
    pub fn write(self, out: &mut Vec<u8>, milliseconds: u64) {
        let (form, value) = self.of(milliseconds);
        write::bulk(out, if form == Form::EX { b"EX" } else { b"PX" });
        number(out, value);
    }
}

impl Subject<'_> {
    /// What becomes of the TTL `text`. What Redis refuses stays, and so does what deletes the key: 0, a negative
    /// number, a point in the past.
    pub fn judge(&self, text: &[u8], form: Form) -> Judged {
        let unit = if form.in_seconds { 1000 } else { 1 };
        let Some(given) = parse_i64(text)
            .filter(|&number| number > 0)
            .and_then(|number| number.checked_mul(unit))
        else {
            return Judged::Stays;
        };
        let ttl = if form.is_absolute {
            given.saturating_sub_unsigned((self.case.now)())
        } else if given > i64::MAX / 2 && given.checked_add_unsigned((self.case.now)()).is_none() {
            // Redis adds its clock and finds that this is too much.
            return Judged::Stays;
        } else {
            given
        };
        let slack = if form.is_absolute { SLACK } else { 0 };
        let distance = ttl.unsigned_abs();
        match self.ttl.given(ttl) {
            Given::Clamped(max) if distance - max > slack => Judged::Becomes(max, Actions::CLAMPED),
            Given::Raised(min) if min - distance > slack => Judged::Becomes(min, Actions::RAISED),
            Given::Refused { max } if distance - max > slack => Judged::Refused(format!(
                "ERR slotmux: a TTL of {distance} ms is above the {max} ms that namespace '{}' allows (ttl.max)",
                self.name
            )),
            _ => Judged::Stays,
        }
    }
}
