//! One command of slotmux' own in the middle of a program: its whole reply goes to the task that waits for it, and nothing
//! but that task decides about an error, a redirect or a loss.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::oneshot;

/// The outcome of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// The reply, an error or not.
    Reply(Vec<u8>),
    /// The reply is longer than the task takes. The rest of it is still to come: the connection is of no more use.
    TooLong,
    /// The connection was lost before the reply came.
    Lost {
        /// Whether the whole command had been handed to the kernel: then it may have run.
        was_written: bool,
    },
}

/// Bytes that replies may still have, shared by several steps.
pub type Budget = Rc<Cell<usize>>;

/// A step whose reply has not come yet.
pub struct Step {
    reply: RefCell<Vec<u8>>,
    budget: Budget,
    asker: Cell<Option<oneshot::Sender<StepOutcome>>>,
}

impl Step {
    /// A step whose reply goes to the receiver, as long as the budget allows for it.
    pub fn new(budget: Budget) -> (Rc<Step>, oneshot::Receiver<StepOutcome>) {
        let (asker, receiver) = oneshot::channel();
        let step = Step {
            reply: RefCell::default(),
            budget,
            asker: Cell::new(Some(asker)),
        };
        (Rc::new(step), receiver)
    }

    /// Takes a piece of the reply; `complete` with the last one.
    pub(super) fn take(&self, bytes: &[u8], complete: bool) {
        let mut reply = self.reply.borrow_mut();
        match self.budget.get().checked_sub(bytes.len()) {
            None => {
                *reply = Vec::new();
                return self.end(StepOutcome::TooLong);
            }
            Some(left) => self.budget.set(left),
        }
        reply.extend_from_slice(bytes);
        if complete {
            self.end(StepOutcome::Reply(std::mem::take(&mut *reply)));
        }
    }

    /// The connection was lost.
    pub(super) fn lose(&self, was_written: bool) {
        self.end(StepOutcome::Lost { was_written });
    }

    fn end(&self, outcome: StepOutcome) {
        if let Some(asker) = self.asker.take() {
            // The task may have stopped waiting.
            let _ = asker.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_in_pieces_is_whole_or_too_long() {
        for (most, expected) in [
            (7, StepOutcome::Reply(b"$1\r\na\r\n".to_vec())),
            (6, StepOutcome::TooLong),
        ] {
            let budget = Rc::new(Cell::new(most));
            let (step, mut receiver) = Step::new(budget.clone());
            step.take(b"$1\r\n", false);
            assert!(receiver.try_recv().is_err());
            step.take(b"a\r\n", true);
            assert_eq!(receiver.try_recv(), Ok(expected));
            // The loss of the connection does not change an answered step.
            step.lose(true);
        }
    }

    #[test]
    fn steps_share_a_budget() {
        let budget = Rc::new(Cell::new(9));
        let outcomes = [(); 2].map(|()| {
            let (step, mut receiver) = Step::new(budget.clone());
            step.take(b":1234\r\n", true);
            receiver.try_recv()
        });
        let first = StepOutcome::Reply(b":1234\r\n".to_vec());
        assert_eq!(outcomes, [Ok(first), Ok(StepOutcome::TooLong)]);
    }

    #[test]
    fn a_lost_step_says_whether_it_was_sent() {
        let (step, mut receiver) = Step::new(Rc::new(Cell::new(10)));
        step.take(b"$1", false);
        step.lose(true);
        assert_eq!(
            receiver.try_recv(),
            Ok(StepOutcome::Lost { was_written: true })
        );
    }
}
