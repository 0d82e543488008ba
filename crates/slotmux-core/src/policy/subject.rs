//! A request with the one policy that decides about it, that of its key.

use super::append::Appendix;
use super::govern::{PolicyCase, RuleOutcome};
use super::{NamespaceId, Refusal, RefusalRule, TtlPolicy};
use crate::config::KeepTtl;
use crate::resp::request::Request;

/// A request whose TTL one policy decides about.
pub(super) struct TtlSubject<'a> {
    pub case: &'a PolicyCase<'a>,
    pub request: &'a Request<'a>,
    /// Index of the key.
    pub at: usize,
    pub namespace: NamespaceId,
    /// Name of the namespace.
    pub name: &'a str,
    pub ttl: &'a TtlPolicy,
}

impl<'a> TtlSubject<'a> {
    /// `None` if the namespace has no TTL policy.
    pub fn new(
        case: &'a PolicyCase<'a>,
        at: usize,
        namespace: NamespaceId,
    ) -> Option<TtlSubject<'a>> {
        let policy = case.policies.get(namespace)?;
        Some(TtlSubject {
            case,
            request: case.request,
            at,
            namespace,
            name: &policy.name,
            ttl: policy.ttl.as_ref()?,
        })
    }

    /// The subject that the key in argument `at` makes.
    pub fn of_key(case: &'a PolicyCase<'a>, at: usize) -> Option<TtlSubject<'a>> {
        TtlSubject::new(case, at, case.policies.find(case.request.arg(at)))
    }

    /// A refusal by a rule of its namespace.
    pub fn refusal(&self, rule: RefusalRule, text: String) -> Refusal {
        rule.of(self.namespace).with(text)
    }

    /// The refusal of a request that removes a TTL; `what` names it.
    pub fn refusal_of_persist(&self, what: &str) -> Refusal {
        let name = self.name;
        let text = format!("ERR slotmux: namespace '{name}' refuses {what} (ttl.persist)");
        self.refusal(RefusalRule::TtlPersist, text)
    }

    /// Refuses a request that removes a TTL; `what` names it.
    pub fn refuse_persist(&self, what: &str, out: &mut Vec<u8>) -> RuleOutcome {
        RuleOutcome::refused(&self.refusal_of_persist(what), out)
    }

    /// The TTL of the key where a write brings none.
    pub fn default(&self) -> Option<u64> {
        self.ttl.default_for(self.request.arg(self.at))
    }

    /// The same where a write keeps the TTL that there is.
    ///
    /// `keepttl = "honour"` waives the default, so that a key without TTL stays without. Not where there is a maximum:
    /// that holds all the same, and no TTL counts as an infinite one.
    pub fn default_of_kept(&self) -> Option<u64> {
        match self.ttl.keepttl {
            KeepTtl::Heal => self.default(),
            KeepTtl::Honour => None,
        }
    }

    /// Leaves the command unchanged and appends an expiry with the maximum, which counts by the node's clock.
    pub fn bound(&self, out: &mut Vec<u8>) -> RuleOutcome {
        let mut appendix = Appendix::new(self.case, out);
        appendix.attach(self, None, self.ttl.max);
        appendix.finish()
    }

    /// The rule for a command whose effect on the key is unknown: the default and the maximum
    /// follow behind it.
    pub fn append(&self, out: &mut Vec<u8>) -> RuleOutcome {
        let mut appendix = Appendix::new(self.case, out);
        appendix.attach(self, self.default(), self.ttl.max);
        appendix.finish()
    }
}
