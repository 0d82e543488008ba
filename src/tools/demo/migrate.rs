//! Moves a slot between two primaries of a [`LocalCluster`] while clients use it, at once or step by step.

use redis::RedisError;

use super::cluster::LocalCluster;
use super::server::LocalError;
use super::view::ViewLine;

/// Keys moved by one MIGRATE: enough to be quick, few enough to leave the nodes responsive.
const BATCH: usize = 100;

/// How long one MIGRATE may take, in milliseconds.
const MIGRATE_TIMEOUT: &str = "10000";

impl LocalCluster {
    /// Moves a slot with all its keys from one primary to another, as a live resharding does.
    pub fn migrate_slot(&self, slot: u16, from: usize, to: usize) -> Result<(), LocalError> {
        self.migrate_slot_begin(slot, from, to)?;
        self.migrate_slot_finish(slot, from, to)
    }

    /// Opens the move: from now on the old owner answers ASK for keys that it does not have.
    pub fn migrate_slot_begin(&self, slot: u16, from: usize, to: usize) -> Result<(), LocalError> {
        let number = slot.to_string();
        // In this order: the new owner has to be ready before the old one redirects to it.
        self.query::<()>(
            to,
            &[
                "CLUSTER",
                "SETSLOT",
                &number,
                "IMPORTING",
                &self.node(from).id,
            ],
        )?;
        self.query::<()>(
            from,
            &[
                "CLUSTER",
                "SETSLOT",
                &number,
                "MIGRATING",
                &self.node(to).id,
            ],
        )
    }

    /// Moves up to `limit` keys of an opened slot. Returns the number of keys that were moved; 0 if the slot is empty.
    pub fn migrate_slot_step(
        &self,
        slot: u16,
        from: usize,
        to: usize,
        limit: usize,
    ) -> Result<usize, LocalError> {
        let mut source = self.connect(from)?;
        let mut find = redis::cmd("CLUSTER");
        let keys: Vec<Vec<u8>> = find
            .arg("GETKEYSINSLOT")
            .arg(slot)
            .arg(limit)
            .query(&mut source)?;
        if keys.is_empty() {
            return Ok(0);
        }
        let mut migrate = redis::cmd("MIGRATE");
        migrate
            .arg("127.0.0.1")
            .arg(self.node(to).port)
            .arg("")
            .arg(0)
            .arg(MIGRATE_TIMEOUT);
        if let Some(password) = self.password() {
            migrate.arg("AUTH").arg(password);
        }
        // +OK, or +NOKEY when they have expired or been deleted meanwhile.
        migrate.arg("KEYS").arg(&keys).query::<()>(&mut source)?;
        Ok(keys.len())
    }

    /// Moves the remaining keys of an opened slot and makes the new owner known to every primary.
    pub fn migrate_slot_finish(&self, slot: u16, from: usize, to: usize) -> Result<(), LocalError> {
        // The old owner creates no new keys in the slot, so the loop ends.
        while self.migrate_slot_step(slot, from, to, BATCH)? > 0 {}
        self.assign(slot, to, to)?;
        self.assign(slot, from, to)?;
        for other in (0..self.nodes().len()).filter(|&other| other != from && other != to) {
            match self.assign(slot, other, to) {
                // Replicas refuse the command and dead nodes do not answer; both learn the owner by gossip.
                Ok(()) | Err(LocalError::Redis(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Abandons an opened move: the slot and the keys that have not moved stay where they were.
    pub fn migrate_slot_abandon(
        &self,
        slot: u16,
        from: usize,
        to: usize,
    ) -> Result<(), LocalError> {
        for node in [from, to] {
            self.query::<()>(node, &["CLUSTER", "SETSLOT", &slot.to_string(), "STABLE"])?;
        }
        Ok(())
    }

    /// Waits until every running node names this owner of a slot and knows its config epoch. If the slot moved on
    /// earlier, the next owner would choose an epoch that is taken, and the two would redirect clients to each other.
    pub fn wait_owner(&self, slot: u16, owner: usize) -> Result<(), LocalError> {
        let id = &self.node(owner).id;
        let claim = |view: &[ViewLine]| {
            view.iter()
                .find(|line| line.id == *id)
                .map(|line| line.epoch)
        };
        self.wait_for("all nodes to know a slot's new owner", |view| {
            let current = self.view(owner).ok().and_then(|own| claim(&own));
            view.iter().any(|line| line.id == *id && line.owns(slot)) && claim(view) == current
        })
    }

    fn assign(&self, slot: u16, at: usize, owner: usize) -> Result<(), LocalError> {
        let assigned: Result<(), RedisError> = redis::cmd("CLUSTER")
            .arg("SETSLOT")
            .arg(slot)
            .arg("NODE")
            .arg(&self.node(owner).id)
            .query(&mut self.connect(at)?);
        Ok(assigned?)
    }
}
