//! Commands whose reply did not settle them: the node refused them, or their connection was lost.
//!
//! | module | its part |
//! |---|---|
//! | [`decide`] | the pure decision about a refused command |
//! | [`refused`] | carries that decision out: redirect, retry, or error |
//! | [`verify_refusal`] | an error that a script may have forged is verified first |
//! | [`lost`] | the commands in flight on a lost connection, or past their deadline |
//! | [`unanswered`] | takes those commands off their lane, with what is known of their fate |
//! | [`may_have_run`] | which of those that may have run may be sent again |
//! | [`oversize_reply`] | reads whose reply may be the reason that the node closed the connection |
//! | [`resend`] | sends a command again, at once or later |
//! | [`queue`] | the commands that wait for their next attempt |
//! | [`order`], [`order_index`] | which older commands of the same client and slot are still ahead |
//! | [`overtaken`] | commands that must not run, since a newer one has |

pub mod decide;
pub mod lost;
pub mod may_have_run;
pub mod order;
pub mod order_index;
pub mod oversize_reply;
pub mod overtaken;
pub mod queue;
pub mod refused;
pub mod resend;
pub mod unanswered;
pub mod verify_refusal;
