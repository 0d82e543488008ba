//! An explanation as a reply, and as text for a terminal.

use std::fmt::{self, Write};

use super::Explanation;
use crate::resp::tree::Tree;

/// Column at which the values of a text begin.
const COLUMN: usize = 12;

impl Explanation {
    /// As a reply: a map. Empty fields are left out, except for the first lines of every explanation.
    pub fn reply(&self) -> Tree {
        Tree::map(self.fields())
    }

    fn fields(&self) -> Vec<(&'static str, Tree)> {
        let mut fields = vec![
            ("command", Tree::text(&*self.command)),
            ("outcome", Tree::text(&*self.outcome)),
        ];
        if let Some(reply) = &self.reply {
            fields.push(("reply", Tree::text(&**reply)));
        }
        let numbers = self.slots.iter().map(|slot| Tree::Number(slot.0.into()));
        fields.extend([
            ("namespaces", Tree::texts(self.namespaces.clone())),
            ("slots", Tree::List(numbers.collect())),
            ("nodes", Tree::texts(self.nodes.clone())),
        ]);
        fields.extend(self.lane.map(|lane| ("lane", Tree::text(lane))));
        fields.push(("sends", Tree::texts(self.sends.clone())));
        let lists = [("would_send", &self.would_send), ("ttl", &self.ttl)];
        let present = lists.into_iter().filter(|(_, list)| !list.is_empty());
        fields.extend(present.map(|(name, list)| (name, Tree::texts(list.clone()))));
        fields.extend(self.rule.as_ref().map(|rule| ("rule", Tree::text(&**rule))));
        if !self.actions.is_empty() {
            fields.push(("actions", Tree::texts(self.actions.clone())));
        }
        if !self.decided_by.is_empty() {
            fields.push(("decided_by", Tree::texts(self.decided_by.clone())));
        }
        fields
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.fields() {
            let mut values = String::new();
            write_value(&value, &mut values);
            if values.is_empty() {
                continue;
            }
            for (at, line) in values.lines().enumerate() {
                let name = if at == 0 { name } else { "" };
                writeln!(f, "{name:<COLUMN$}{line}")?;
            }
        }
        Ok(())
    }
}

/// One line for each value.
fn write_value(value: &Tree, out: &mut String) {
    match value {
        // Writing to a string cannot fail.
        Tree::Text(text) => {
            let _ = writeln!(out, "{}", String::from_utf8_lossy(text));
        }
        Tree::Number(number) => {
            let _ = writeln!(out, "{number}");
        }
        Tree::List(list) => list.iter().for_each(|value| write_value(value, out)),
        Tree::Map(pairs) => pairs.iter().for_each(|(_, value)| write_value(value, out)),
    }
}
