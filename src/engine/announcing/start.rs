//! A CLIENT TRACKING that has to wait: for the worker of the client that it redirects to, and until the nodes announce
//! changes, before its OK.

use std::rc::Rc;

use tokio::time::timeout;

use crate::engine::client::Client;
use crate::engine::client::tracking::FORGET_ALL;
use crate::engine::shared::Mail;
use crate::engine::worker::Worker;
use slotmux_core::answer::session::Redirection;
use slotmux_core::answer::tracking::{NO_SUCH_CLIENT, TrackRequest, TrackingChange};
use slotmux_core::resp::{Protocol, write};

use super::{Announcements, Cover};

const NO_LANES: &str = "ERR slotmux: CLIENT TRACKING with NOLOOP needs connections that its client shares with no other, and as \
    many clients as allowed have some: raise cluster.connections.kept_max, or leave NOLOOP out";

/// Answers a CLIENT TRACKING once it holds.
pub fn answer_tracking(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: TrackRequest,
    mute: bool,
) {
    let (worker, client, seq) = (worker.clone(), client.clone(), client.take_seq());
    let (host, asker) = (worker.clone(), client.clone());
    let answering = async move {
        let mut reply = Vec::new();
        match start(&worker, &client, request).await {
            Ok(()) => write::simple(&mut reply, "OK"),
            Err(error) => write::error(&mut reply, &error),
        }
        client.reply(&worker, seq, if mute { &[] } else { &reply });
        client.charge_buffers(&worker);
        worker.keep_within_memory();
    };
    host.spawn_for(&asker, "CLIENT TRACKING", answering);
}

async fn start(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    request: TrackRequest,
) -> Result<(), String> {
    let redirect = match request.redirect {
        Some(id) => Some(find(worker, id).await.ok_or(NO_SUCH_CLIENT)?),
        None => None,
    };
    let change = request.change.map_err(|error| error.into_owned())?;
    if client.is_closed() {
        return Ok(());
    }
    if change.tracking.noloop && !worker.announcements.has_room_for_owner(worker, client) {
        return Err(NO_LANES.to_owned());
    }
    let before = client.session.tracking();
    worker.announcements.set_starting(client);
    set(worker, client, change, redirect);
    let waited = wait(worker, client).await;
    worker.announcements.end_starting(client);
    if let Err(error) = waited {
        let off = TrackingChange {
            tracking: Default::default(),
            prefixes: Default::default(),
        };
        // No node invalidates the values that it has cached under an earlier CLIENT TRACKING.
        client.invalidate_behind_all(worker, FORGET_ALL);
        set(worker, client, off, None);
        return Err(error);
    }
    let was_alone = before.is_broadcast() && before.noloop;
    if was_alone && !client.session.tracking().noloop {
        // Its own lanes have ended before the announcers took over.
        client.invalidate_behind_all(worker, FORGET_ALL);
    }
    Ok(())
}

fn set(
    worker: &Rc<Worker>,
    client: &Rc<Client>,
    change: TrackingChange,
    redirect: Option<Redirection>,
) {
    let before = client.session.tracking();
    client.as_subject(|subject| subject.track(change, redirect));
    client.tracking_changed(worker, before);
    worker.announcements.settle(worker);
}

/// Asks all workers for a client.
async fn find(worker: &Worker, id: i64) -> Option<Redirection> {
    // No client has an id below 1.
    let id = u64::try_from(id).unwrap_or(0);
    let found = worker.shared.ask_all(|reply| Mail::Find(id, reply)).await;
    found.into_iter().flatten().next()
}

/// Waits until every primary announces the changes that the client tracks, for as long as a command may take.
async fn wait(worker: &Rc<Worker>, client: &Rc<Client>) -> Result<(), String> {
    let limit = worker.config.cluster.timeouts.command;
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if client.is_closed() {
            return Ok(());
        }
        let missing = worker.announcements.missing(worker, client);
        let Some(missing) = missing else {
            return Ok(());
        };
        if let Missing::Refused(error) = &missing {
            return Err(format!(
                "ERR slotmux: tracking is off, as a node refuses it: {error}"
            ));
        }
        let news = worker.announcements.news.notified();
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if timeout(left, news).await.is_err() {
            worker.stats.timeouts.inc();
            return Err("ERR slotmux: tracking is off: not every primary has confirmed within timeouts.command that it \
                announces changes"
                .to_owned());
        }
    }
}

/// Why a CLIENT TRACKING cannot be confirmed yet.
enum Missing {
    /// A node has not confirmed.
    Confirmation,
    /// A node refuses; its error.
    Refused(String),
}

impl Announcements {
    fn set_starting(&self, client: &Client) {
        if !client.tracks() {
            self.inner.borrow_mut().starting.insert(client.id);
        }
    }

    fn end_starting(&self, client: &Client) {
        self.inner.borrow_mut().starting.remove(&client.id);
    }

    /// The nodes that the client still waits for.
    fn missing(&self, worker: &Worker, client: &Client) -> Option<Missing> {
        let tracking = client.session.tracking();
        let inner = self.inner.borrow();
        let session = client.session.rare();
        let details = session.as_ref().and_then(|session| session.tracking());
        let is_own = tracking.is_broadcast() && tracking.noloop;
        let listens = tracking.is_broadcast() && !is_own;
        let cover = details
            .filter(|_| listens)
            .map(|details| Cover::of(details.prefixes.iter().map(|prefix| &**prefix)));
        let needs_reads =
            tracking.is_on() && tracking.redirects && client.session.protocol() == Protocol::Resp2;
        let primaries = worker.map.primaries();
        if primaries.is_empty() && (is_own || cover.is_some() || needs_reads) {
            return Some(Missing::Confirmation);
        }
        for node in primaries {
            if is_own && !worker.is_announcing_to(node, client) {
                return Some(Missing::Confirmation);
            }
            let announcers = inner.nodes.get(&node);
            let needed = [
                (
                    cover.is_some(),
                    announcers.and_then(|all| all.prefixes.as_ref()),
                ),
                (needs_reads, announcers.and_then(|all| all.reads.as_ref())),
            ];
            for (_, announcer) in needed.into_iter().filter(|(is_needed, _)| *is_needed) {
                let Some(announcer) = announcer else {
                    return Some(Missing::Confirmation);
                };
                let covers = cover
                    .as_ref()
                    .filter(|_| announcer.announced == super::Announced::Prefixes);
                let is_ready =
                    announcer.is_up() && covers.is_none_or(|cover| announcer.includes(cover));
                if !is_ready {
                    let refusal = announcer.refusal().map(Missing::Refused);
                    return Some(refusal.unwrap_or(Missing::Confirmation));
                }
            }
        }
        None
    }
}
