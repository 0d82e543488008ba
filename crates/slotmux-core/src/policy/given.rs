//! A TTL as a request gives it: read as Redis reads it, judged by the policy, written again.

use super::splice::number;
use super::subject::TtlSubject;
use super::ttl::TtlVerdict;
use super::{Actions, Refusal, RefusalRule};
use crate::config::Strength;
use crate::resp::number::parse_i64;
use crate::resp::write;

/// The spelling of a TTL. The options of SET have these names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TtlForm {
    pub is_absolute: bool,
    pub in_seconds: bool,
}

/// The decision about a given TTL.
#[derive(Debug)]
pub(super) enum JudgedTtl {
    /// It stays, be it that it fits or that Redis refuses it.
    Stays,
    /// It stays, but only the node's clock decides how far away it is: the command is followed by an expiry with the
    /// maximum.
    Bounded,
    /// It becomes so many milliseconds from now.
    Becomes(u64, Actions),
    /// It is above the maximum, and the policy refuses that: the refusal.
    Refused(Refusal),
}

/// The clocks of slotmux and of the nodes may differ by this before a point in time is taken for a wrong one.
const SLACK: u64 = 1000;

/// Servers add their clock to a TTL and refuse an overflow. Above this value it overflows by every clock later than the
/// first second of 1970.
const OVERFLOWS: i64 = i64::MAX - 1000;

/// Below this value it overflows by no clock; in between only the node knows.
const MAY_OVERFLOW: i64 = i64::MAX / 2;

impl TtlForm {
    pub const EX: TtlForm = TtlForm::new(false, true);
    pub const PX: TtlForm = TtlForm::new(false, false);
    pub const EXAT: TtlForm = TtlForm::new(true, true);
    pub const PXAT: TtlForm = TtlForm::new(true, false);

    const fn new(is_absolute: bool, in_seconds: bool) -> TtlForm {
        TtlForm {
            is_absolute,
            in_seconds,
        }
    }

    /// The form that a TTL of so many milliseconds is written in instead, and the number: seconds stay seconds where
    /// that is exact, and a point in time becomes a distance, which needs no clock of ours.
    pub fn of(self, milliseconds: u64) -> (TtlForm, u64) {
        if self == TtlForm::EX && milliseconds.is_multiple_of(1000) {
            (TtlForm::EX, milliseconds / 1000)
        } else {
            (TtlForm::PX, milliseconds)
        }
    }

    /// Writes the option with its number, for `milliseconds` from now.
    pub fn write(self, out: &mut Vec<u8>, milliseconds: u64) {
        let (form, value) = self.of(milliseconds);
        write::bulk(out, if form == TtlForm::EX { b"EX" } else { b"PX" });
        number(out, value);
    }
}

impl TtlSubject<'_> {
    /// Judges the TTL `text`. A TTL that Redis refuses stays unchanged, and so does one that deletes the key: 0, a
    /// negative number, a point in the past.
    pub fn judge(&self, text: &[u8], form: TtlForm) -> JudgedTtl {
        let unit = if form.in_seconds { 1000 } else { 1 };
        let Some(given) = parse_i64(text)
            .filter(|&number| number > 0)
            .and_then(|number| number.checked_mul(unit))
        else {
            return JudgedTtl::Stays;
        };
        if form.is_absolute {
            return self.judge_point(given);
        }
        match self.ttl.given(given) {
            TtlVerdict::Clamped(_) if given > OVERFLOWS => JudgedTtl::Stays,
            TtlVerdict::Refused { .. } if given > OVERFLOWS => JudgedTtl::Stays,
            TtlVerdict::Clamped(_) if given > MAY_OVERFLOW && self.may_follow() => {
                JudgedTtl::Bounded
            }
            TtlVerdict::Clamped(max) => JudgedTtl::Becomes(max, Actions::CLAMPED),
            TtlVerdict::Raised(min) => JudgedTtl::Becomes(min, Actions::RAISED),
            TtlVerdict::Refused { max } => self.refuse(given.unsigned_abs(), max),
            TtlVerdict::Fits => JudgedTtl::Stays,
        }
    }

    /// As [`TtlSubject::judge`] for RESTORE, whose TTL servers do not check for an overflow: some delete the key, some keep
    /// it for good, and Valkey 8.1 may end. So a TTL that may overflow is cut, also without a maximum.
    pub fn judge_unchecked(&self, text: &[u8], form: TtlForm) -> JudgedTtl {
        let given = parse_i64(text).filter(|&given| given > MAY_OVERFLOW && !form.is_absolute);
        let Some(given) = given else {
            return self.judge(text, form);
        };
        match self.ttl.given(given) {
            TtlVerdict::Refused { max } => self.refuse(given.unsigned_abs(), max),
            TtlVerdict::Clamped(max) => JudgedTtl::Becomes(max, Actions::CLAMPED),
            TtlVerdict::Fits | TtlVerdict::Raised(_) => {
                JudgedTtl::Becomes(MAY_OVERFLOW.unsigned_abs(), Actions::CLAMPED)
            }
        }
    }

    /// Judges a point in time. slotmux' clock decides where it is far beyond a bound; otherwise only the node's clock
    /// decides whether it is within the maximum. A point that is within the maximum by any clock needs no expiry.
    fn judge_point(&self, point: i64) -> JudgedTtl {
        let ttl = point.saturating_sub_unsigned((self.case.now)());
        let distance = ttl.unsigned_abs();
        match self.ttl.given(ttl) {
            TtlVerdict::Clamped(max) if distance - max > SLACK => {
                JudgedTtl::Becomes(max, Actions::CLAMPED)
            }
            TtlVerdict::Raised(min) if min - distance > SLACK => {
                JudgedTtl::Becomes(min, Actions::RAISED)
            }
            TtlVerdict::Refused { max } if distance - max > SLACK => self.refuse(distance, max),
            _ => match self.ttl.max.filter(|&max| point.unsigned_abs() > max) {
                None => JudgedTtl::Stays,
                Some(_) if self.may_follow() => JudgedTtl::Bounded,
                // A relative TTL is bounded by any clock; it shifts by the difference of the clocks.
                Some(max) if ttl > 0 => JudgedTtl::Becomes(distance.min(max), Actions::NONE),
                Some(_) => JudgedTtl::Stays,
            },
        }
    }

    /// Whether an expiry may be attached behind the command.
    fn may_follow(&self) -> bool {
        self.ttl.strength != Strength::InlineOnly
    }

    fn refuse(&self, ttl: u64, max: u64) -> JudgedTtl {
        let text = format!(
            "ERR slotmux: a TTL of {ttl} ms is above the {max} ms that namespace '{}' allows (ttl.max)",
            self.name
        );
        JudgedTtl::Refused(self.refusal(RefusalRule::TtlMax, text))
    }
}
