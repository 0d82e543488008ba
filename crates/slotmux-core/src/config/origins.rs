//! The origin of every key in force: the line of the file, the variable or the flag that gave its value.

use std::collections::HashMap;

use super::problem::{Origin, Reading};
use super::show::ShownLine;

/// The origin of each value in force.
#[derive(Clone, Debug, Default)]
pub struct Origins(HashMap<String, Origin>);

impl Origins {
    pub(super) fn new(lines: &[ShownLine], reading: &Reading) -> Origins {
        let origin = |line: &ShownLine| match line {
            ShownLine::Setting(setting) => {
                let origin = reading.inherited_origin(&setting.key)?;
                Some((setting.named.clone(), origin.clone()))
            }
            ShownLine::Head(_) => None,
        };
        Origins(lines.iter().filter_map(origin).collect())
    }

    /// The origin of a key's value; [`Origin::Default`] if no source gives it.
    ///
    /// A key is written in full, with the names of sections that may occur several times: `server.workers`,
    /// `cluster.retry.reads`, `listener.main.limits.max_args`, `namespace.sessions.ttl.max`. An inherited
    /// value has the origin of its `[defaults.namespace]` key.
    pub fn of(&self, key: &str) -> &Origin {
        self.0.get(key).unwrap_or(&Origin::Default)
    }
}
