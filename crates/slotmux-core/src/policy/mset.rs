//! MSET and its relatives: several keys in one command, which may be of several namespaces.

use super::append::{Appendix, EXEC, MULTI};
use super::given::JudgedTtl;
use super::govern::{BlockShape, PolicyCase, RuleOutcome};
use super::guessed::GuessedTtls;
use super::options::{OptionSet, TtlOptions, bounded, defaulted, read};
use super::set::setnx;
use super::splice::{copy, px};
use super::subject::TtlSubject;
use super::{Actions, Governed, ReplyConversion};
use crate::config::TtlMode;
use crate::resp::write;

/// `MSET key value [key value …]`: a SET for each pair. They are in MULTI with any strength, as MSET shows other
/// clients all of its keys or none; a single one needs no MULTI.
pub(super) fn mset(case: &PolicyCase, out: &mut Vec<u8>) -> RuleOutcome {
    let request = case.request;
    let default_of = |at: usize| {
        let subject = TtlSubject::of_key(case, at)?;
        Some((subject.ttl.mode, subject.default()?))
    };
    let keys = || (1..request.argc().saturating_sub(1)).step_by(2);
    let mut actions = Actions::NONE;
    if !keys().any(|at| {
        let default = default_of(at);
        if default.is_some() {
            actions = Actions::DEFAULTED;
        }
        default.is_some_and(|(mode, _)| mode == TtlMode::Enforce)
    }) {
        return RuleOutcome {
            actions,
            governed: Governed::AsIs,
        };
    }
    let pairs = keys().len();
    out.reserve(request.bytes.len() + pairs * 64);
    if pairs > 1 {
        out.extend_from_slice(MULTI);
    }
    for at in keys() {
        let default = default_of(at).filter(|(mode, _)| *mode == TtlMode::Enforce);
        write::array(out, if default.is_some() { 5 } else { 3 });
        out.extend_from_slice(b"$3\r\nSET\r\n");
        copy(out, request, at..at + 2);
        if let Some((_, default)) = default {
            px(out, default);
        }
    }
    if pairs == 1 {
        return RuleOutcome::rewritten(actions, ReplyConversion::AsIs);
    }
    out.extend_from_slice(EXEC);
    let commands = u32::try_from(pairs).unwrap_or(u32::MAX);
    RuleOutcome {
        actions,
        governed: Governed::Block(BlockShape {
            atomic: true,
            commands,
            own: commands,
        }),
    }
}

/// `MSETNX key value [key value …]`: expiries behind it, or for a single pair the rule of SETNX.
pub(super) fn msetnx(case: &PolicyCase, out: &mut Vec<u8>) -> RuleOutcome {
    if case.request.argc() != 3 {
        return Appendix::of_written_keys(case, out);
    }
    let Some(subject) = TtlSubject::of_key(case, 1) else {
        return RuleOutcome::AS_IS;
    };
    setnx(&subject, out).under(subject.ttl.mode)
}

/// `MSETEX numkeys key value [key value …] [NX | XX] [EX | PX | EXAT | PXAT | KEEPTTL]`
///
/// All keys get one TTL. It is changed in place where one policy decides about all of them, and so is a default where
/// that is the same for all. Otherwise what each key needs follows behind the command; a minimum cannot.
pub(super) fn msetex(case: &PolicyCase, out: &mut Vec<u8>) -> RuleOutcome {
    let mut from = 2;
    let mut namespace = None;
    let mut shared = true;
    // Every key was found once already, so this cannot fail.
    let _ = case.each_key(|at| {
        let found = case.policies.find(case.request.arg(at));
        shared &= *namespace.get_or_insert(found) == found;
        from = at + 2;
    });
    // The last key lacks its value, so that the server refuses it.
    if from > case.request.argc() {
        return RuleOutcome::AS_IS;
    }
    let options = read(case.request, from, OptionSet::MSetEx);
    let one = namespace
        .filter(|_| shared)
        .and_then(|namespace| TtlSubject::new(case, 2, namespace));
    let ruled = match (&one, options) {
        (_, TtlOptions::Refused) => return RuleOutcome::AS_IS,
        (Some(one), TtlOptions::Ttl(ttl)) if !one.is_bounded_behind(ttl) => {
            bounded(one, (from, OptionSet::MSetEx), ttl, out)
        }
        (Some(one), TtlOptions::None) if one.ttl.jitter == 0.0 => defaulted(one, out),
        _ => return each_after_msetex(case, from, options, out),
    };
    match one {
        Some(one) => ruled.under(one.ttl.mode),
        None => ruled,
    }
}

fn each_after_msetex(
    case: &PolicyCase,
    from: usize,
    options: TtlOptions,
    out: &mut Vec<u8>,
) -> RuleOutcome {
    let guessed = match options {
        TtlOptions::Unknown => GuessedTtls::find(case.request, from),
        _ => GuessedTtls::default(),
    };
    let mut appendix = Appendix::new(case, out);
    let _ = case.each_key(|at| {
        let Some(subject) = TtlSubject::of_key(case, at) else {
            return;
        };
        let default = match options {
            TtlOptions::Ttl(ttl) => match subject.judge_option(ttl) {
                JudgedTtl::Becomes(_, Actions::CLAMPED) | JudgedTtl::Bounded => None,
                JudgedTtl::Stays | JudgedTtl::Becomes(..) => return,
                JudgedTtl::Refused(refusal) => return appendix.refuse(&subject, refusal),
            },
            TtlOptions::Keep => subject.default_of_kept(),
            _ => match guessed.refusal(&subject) {
                Some(refusal) => return appendix.refuse(&subject, refusal),
                None => subject.default(),
            },
        };
        appendix.attach(&subject, default, subject.ttl.max);
    });
    appendix.finish()
}

#[cfg(test)]
mod tests {
    use super::super::rows::{check, seconds, under};
    use crate::config::{KeepTtl, OverMax, Strength, TtlMode};

    #[test]
    fn mset_is_a_set_for_each_pair() {
        let policies = under(|ttl| ttl.default = seconds(10));
        check(
            &policies,
            &[
                ("MSET k v", "defaulted: SET k v PX 10000"),
                (
                    "MSET k 1 k2 2",
                    "defaulted: MULTI | SET k 1 PX 10000 | SET k2 2 PX 10000 | EXEC > first 2",
                ),
                // Each key by its own namespace; observed keys stay as they are.
                (
                    "MSET f 1 o 2 w 3 x 4 k 5",
                    "defaulted: MULTI | SET f 1 | SET o 2 PX 7000 | SET w 3 | SET x 4 | SET k 5 PX 10000 | EXEC > first 5",
                ),
                ("MSET f 1 x 2", "="),
                ("MSET f 1 w 2", "defaulted: ="),
                ("MSET w 1", "defaulted: ="),
            ],
        );
        for strength in [Strength::Pipelined, Strength::InlineOnly] {
            let policies = under(|ttl| {
                ttl.default = seconds(10);
                ttl.strength = strength;
            });
            check(
                &policies,
                &[(
                    "MSET k 1 k 2",
                    "defaulted: MULTI | SET k 1 PX 10000 | SET k 2 PX 10000 | EXEC > first 2",
                )],
            );
        }
        let no_default = under(|ttl| ttl.min = seconds(1));
        check(&no_default, &[("MSET k 1 k2 2", "=")]);
    }

    #[test]
    fn msetnx_stays_and_expiries_follow() {
        let policies = under(|ttl| ttl.default = seconds(10));
        check(
            &policies,
            &[
                ("MSETNX k v", "defaulted: SET k v NX PX 10000 > integer"),
                ("MSETNX w v", "defaulted: ="),
                ("MSETNX f v", "="),
                (
                    "MSETNX k 1 f 2 o 3",
                    "appended: MULTI | MSETNX k 1 f 2 o 3 | PEXPIRE k 10000 NX | PEXPIRE o 7000 NX | PEXPIRE o 70000 LT | EXEC",
                ),
                ("MSETNX f 1 w 2", "appended: ="),
            ],
        );
    }

    #[test]
    fn msetex_shares_one_ttl() {
        let policies = under(|ttl| {
            ttl.default = seconds(10);
            ttl.max = seconds(100);
            ttl.min = seconds(2);
        });
        check(
            &policies,
            &[
                ("MSETEX 1 k v", "defaulted: MSETEX 1 k v PX 10000"),
                (
                    "MSETEX 2 k 1 k2 2 NX",
                    "defaulted: MSETEX 2 k 1 k2 2 NX PX 10000",
                ),
                ("MSETEX 2 k 1 k2 2 EX 100", "="),
                (
                    "MSETEX 2 k 1 k2 2 EX 101 XX",
                    "clamped: MSETEX 2 k 1 k2 2 EX 100 XX",
                ),
                ("MSETEX 1 k EX PX 1", "raised: MSETEX 1 k EX PX 2000"),
                ("MSETEX 1 k v EX 500 PX 500", "="),
                ("MSETEX 1 w v EX 500", "clamped: ="),
                ("MSETEX 1 f v EX 500", "="),
                ("MSETEX 5 k v", "="),
                ("MSETEX 2 k v keepttl", "="),
                // Several namespaces: in place nothing would be right for all.
                ("MSETEX 2 k 1 f 2 EX 50", "="),
                (
                    "MSETEX 3 k 1 f 2 o 3 EX 80",
                    "appended: MULTI | MSETEX 3 k 1 f 2 o 3 EX 80 | PEXPIRE o 70000 LT | EXEC",
                ),
                (
                    "MSETEX 2 k 1 f 2",
                    "appended: MULTI | MSETEX 2 k 1 f 2 | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
                ),
                (
                    "MSETEX 1 k v KEEPTTL",
                    "appended: MULTI | MSETEX 1 k v KEEPTTL | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
                ),
                (
                    "MSETEX 1 k v FOO",
                    "appended: MULTI | MSETEX 1 k v FOO | PEXPIRE k 10000 NX | PEXPIRE k 100000 LT | EXEC",
                ),
            ],
        );
        let watched = under(|ttl| {
            ttl.max = seconds(10);
            ttl.over_max = OverMax::Reject;
            ttl.mode = TtlMode::Observe;
        });
        check(
            &watched,
            &[(
                "MSETEX 2 k 1 o 2 EX 80",
                "appended+refused: MULTI | MSETEX 2 k 1 o 2 EX 80 | PEXPIRE o 70000 LT | EXEC",
            )],
        );
        let strict = under(|ttl| {
            ttl.max = seconds(100);
            ttl.over_max = OverMax::Reject;
            ttl.keepttl = KeepTtl::Honour;
            ttl.jitter = 0.1;
        });
        let refused = "refused: -ERR slotmux: a TTL of 101000 ms is above the 100000 ms that namespace 'keys' allows (ttl.max)";
        check(
            &strict,
            &[
                ("MSETEX 1 k 1 EX 101", refused),
                ("MSETEX 2 o 2 k 1 EX 101", refused),
                (
                    "MSETEX 2 f 2 k 1 KEEPTTL",
                    "appended: MULTI | MSETEX 2 f 2 k 1 KEEPTTL | PEXPIRE k 100000 LT | EXEC",
                ),
            ],
        );
        // With jitter each key has a default of its own.
        let jitter = super::super::rows::decide(&strict, "MSETEX 2 k1 1 k2 2");
        assert!(
            jitter.starts_with("appended: MULTI | MSETEX 2 k1 1 k2 2 | PEXPIRE k1 ")
                && jitter.contains("| PEXPIRE k2 "),
            "{jitter}"
        );
    }
}
