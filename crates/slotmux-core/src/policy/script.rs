//! Scripts and functions, which may do anything to the keys that they declare, and to others.

use super::RefusalRule;
use super::append::Appendix;
use super::govern::{PolicyCase, RuleOutcome};
use super::subject::TtlSubject;
use crate::config::ScriptKeys;

/// EVAL, EVALSHA and FCALL: expiries for the declared keys, or a refusal if the policy of one of them asks for that.
pub(super) fn script(case: &PolicyCase, out: &mut Vec<u8>) -> RuleOutcome {
    let mut appendix = Appendix::new(case, out);
    // Every key was found once already, so this cannot fail.
    let _ = case.each_key(|at| {
        let Some(subject) = TtlSubject::of_key(case, at) else {
            return;
        };
        match subject.ttl.scripts {
            ScriptKeys::Append => appendix.attach(&subject, subject.default(), subject.ttl.max),
            ScriptKeys::Allow => {}
            ScriptKeys::Reject => {
                let text = format!(
                    "ERR slotmux: namespace '{}' refuses scripts (ttl.scripts)",
                    subject.name
                );
                appendix.refuse(&subject, subject.refusal(RefusalRule::TtlScripts, text));
            }
        }
    });
    appendix.finish()
}

#[cfg(test)]
mod tests {
    use super::super::rows::{check, seconds, under};
    use crate::config::{ScriptKeys, TtlMode};

    #[test]
    fn declared_keys_by_policy() {
        let with = |scripts, mode| {
            under(|ttl| {
                ttl.default = seconds(10);
                ttl.scripts = scripts;
                ttl.mode = mode;
            })
        };
        check(
            &with(ScriptKeys::Append, TtlMode::Enforce),
            &[
                (
                    "EVAL s 2 k f a",
                    "appended: MULTI | EVAL s 2 k f a | PEXPIRE k 10000 NX | EXEC",
                ),
                (
                    "EVALSHA s 2 k o",
                    "appended: MULTI | EVALSHA s 2 k o | PEXPIRE k 10000 NX | PEXPIRE o 7000 NX | PEXPIRE o 70000 LT | EXEC",
                ),
                ("FCALL f 1 w", "appended: ="),
                ("FCALL f 1 x", "="),
                ("EVAL_RO s 1 k", "="),
                ("EVAL s x k", "="),
            ],
        );
        check(
            &with(ScriptKeys::Allow, TtlMode::Enforce),
            &[
                ("EVAL s 1 k", "="),
                (
                    "EVAL s 2 k o",
                    "appended: MULTI | EVAL s 2 k o | PEXPIRE o 7000 NX | PEXPIRE o 70000 LT | EXEC",
                ),
            ],
        );
        check(
            &with(ScriptKeys::Reject, TtlMode::Enforce),
            &[(
                "EVAL s 2 o k",
                "refused: -ERR slotmux: namespace 'keys' refuses scripts (ttl.scripts)",
            )],
        );
        check(
            &with(ScriptKeys::Reject, TtlMode::Observe),
            &[
                ("EVAL s 1 k", "refused: ="),
                (
                    "EVAL s 2 k o",
                    "appended+refused: MULTI | EVAL s 2 k o | PEXPIRE o 7000 NX | PEXPIRE o 70000 LT | EXEC",
                ),
            ],
        );
    }
}
