//! Building the body of a transaction: each command of the client becomes commands for one or several slots, and an
//! element of EXEC's reply.

use std::collections::HashMap;

use crate::command::Merge;
use crate::policy::{Actions, Decision, Governed, NamespaceId, ReplyConversion, commands_of};
use crate::resp::request::Request;
use crate::slot::Slot;

use super::super::parts::{governed_parts, keys_by_slot, part_of_each_key};
use super::super::{Knowledge, Plan, TransactionCommand, error_reply};
use super::{CountedCommand, ElementSource, ExecElement, SlotGroup, TransactionBody, writes};

/// Whether it would block a shared connection if it were not in a transaction.
fn blocks(request: &Request, knowledge: &Knowledge) -> bool {
    let command = knowledge.command(request);
    command.is_some_and(|command| command.blocks(request.bytes, request.args))
}

/// Answers a command with the error of its policy. It was permitted when it was queued: only the passing of time can
/// turn that into a refusal.
fn refuse(element: &mut ExecElement, counted: &mut CountedCommand, error: &[u8]) {
    element.source = ElementSource::Known(error_reply(error));
    counted.is_sent = false;
    counted.is_refused = true;
}

/// A body in the making.
#[derive(Default)]
pub struct BodyBuilder {
    /// The body so far.
    pub body: TransactionBody,
    /// Index of the group of each slot.
    places: HashMap<Option<Slot>, usize>,
    /// The slot of the only group, if there is only one.
    pub only: Option<Option<Slot>>,
    /// The slot whose group commands without keys join.
    pub joins: Option<Slot>,
}

impl BodyBuilder {
    /// Adds the client's command `at`, which is planned.
    pub fn add(
        &mut self,
        at: usize,
        request: &Request,
        plan: &Plan,
        rewritten: &[u8],
        said: ReplyConversion,
        knowledge: &Knowledge,
    ) {
        let mut element = ExecElement {
            source: ElementSource::Own,
            namespace: NamespaceId::UNMATCHED,
            reply: said,
            write: writes(plan),
        };
        let mut counted = CountedCommand {
            command: at,
            namespace: NamespaceId::UNMATCHED,
            actions: Actions::NONE,
            is_sent: true,
            is_refused: false,
        };
        match plan {
            Plan::Forward {
                slot,
                write,
                decision,
                ..
            } => {
                counted.namespace = decision.namespace;
                counted.actions = decision.actions;
                if decision.governed.is_refused() {
                    refuse(&mut element, &mut counted, rewritten);
                } else {
                    if let Governed::Rewritten(reply) = decision.governed
                        && reply != ReplyConversion::AsIs
                    {
                        element.reply = reply;
                    }
                    let slot = Some(*slot);
                    let cell = self.cell();
                    self.send(slot, request.bytes, rewritten, decision, cell, *write);
                    if blocks(request, knowledge) {
                        let place = self.places[&self.only.unwrap_or(slot)];
                        self.body.groups[place].blocks = true;
                    }
                    element.source = ElementSource::Part(cell);
                }
            }
            Plan::Anywhere { write } => {
                let cell = self.send_anywhere(request, *write);
                element.source = ElementSource::Part(cell);
            }
            Plan::AnswerWithNodes(..) => {
                let cell = self.send_anywhere(request, false);
                element.source = ElementSource::Parameters(cell, request.bytes.to_vec());
            }
            Plan::Split { .. } => {
                self.split(request, plan, &mut element, &mut counted, knowledge);
            }
            Plan::Transaction(TransactionCommand::Unwatch) => {
                counted.is_sent = false;
                element.source = ElementSource::Known(b"+OK\r\n".to_vec());
            }
            Plan::Refuse(error, _) | Plan::Unknown(error) => {
                counted.is_sent = false;
                element.source = ElementSource::Known(error.clone());
            }
            _ => counted.is_sent = false,
        }
        element.namespace = counted.namespace;
        self.body.elements.push(element);
        if counted.is_sent || !counted.actions.is_empty() {
            self.body.counted.push(counted);
        }
    }

    /// Sends a command without keys along with the others. Returns the cell of its reply.
    fn send_anywhere(&mut self, request: &Request, write: bool) -> u32 {
        let cell = self.cell();
        self.send(self.joins, request.bytes, &[], &Decision::NONE, cell, write);
        cell
    }

    /// Adds the parts of a command over several slots, a [`Plan::Split`].
    fn split(
        &mut self,
        request: &Request,
        plan: &Plan,
        element: &mut ExecElement,
        counted: &mut CountedCommand,
        knowledge: &Knowledge,
    ) {
        let Plan::Split {
            merge,
            shape,
            write,
            namespace,
            command,
        } = plan
        else {
            return;
        };
        counted.namespace = *namespace;
        let keys = keys_by_slot(request, *shape);
        let parts: Vec<&[(Slot, u32)]> = keys.chunk_by(|a, b| a.0 == b.0).collect();
        let written = governed_parts(request, &parts, *shape, command.by_ref(), knowledge);
        if let Some(refused) = written.iter().find(|part| part.is_refused()) {
            counted.actions = refused.decision.actions;
            return refuse(element, counted, &refused.instead);
        }
        let first = self.body.cells;
        for part in &written {
            let (decision, cell) = (part.decision, self.cell());
            let (own, instead) = (&part.own, &part.instead);
            self.send(Some(part.slot), own, instead, &decision, cell, *write);
            if !decision.actions.is_empty() {
                self.body.counted.push(CountedCommand {
                    command: counted.command,
                    namespace: decision.namespace,
                    actions: decision.actions,
                    is_sent: false,
                    is_refused: false,
                });
            }
        }
        let order = match merge {
            Merge::Elements => part_of_each_key(*shape, &parts),
            _ => Vec::new(),
        };
        if !written.is_empty() {
            element.source = ElementSource::Parts {
                first,
                count: written.len() as u32,
                merge: *merge,
                order,
            };
        }
    }

    fn cell(&mut self) -> u32 {
        self.body.cells += 1;
        self.body.cells - 1
    }

    /// Puts the commands for one command of the client into the group of its slot.
    fn send(
        &mut self,
        slot: Option<Slot>,
        own: &[u8],
        instead: &[u8],
        decision: &Decision,
        cell: u32,
        write: bool,
    ) {
        let slot = self.only.unwrap_or(slot);
        let groups = &mut self.body.groups;
        let place = *self.places.entry(slot).or_insert_with(|| {
            groups.push(SlotGroup {
                slot,
                commands: Vec::new(),
                targets: Vec::new(),
                write: false,
                blocks: false,
            });
            groups.len() - 1
        });
        let group = &mut groups[place];
        group.write |= write;
        match decision.governed {
            // Refused commands were handled before this.
            Governed::AsIs | Governed::Refused(_) => {
                group.commands.extend_from_slice(own);
                group.targets.push(Some(cell));
            }
            Governed::Rewritten(_) => {
                group.commands.extend_from_slice(instead);
                group.targets.push(Some(cell));
            }
            Governed::Block(form) => {
                group.commands.extend_from_slice(commands_of(form, instead));
                let own = (0..form.commands).map(|at| (at < form.own).then_some(cell));
                group.targets.extend(own);
            }
        }
    }
}
