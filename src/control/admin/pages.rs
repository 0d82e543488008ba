//! The rendered pages that are being sent. A page grows with the number of namespaces, so only a few exist at once. One
//! more reader shares a fresh page, or replaces the oldest page, whose readers are slow.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::exposition::Form;

/// Pages at once. A reader that keeps up takes its page within one turn, however many there are.
const MAX_PAGES: usize = 8;
/// Age up to which a page is shared with another reader, once there are `MAX_PAGES` pages.
const FRESH: Duration = Duration::from_secs(1);
/// Pause before the next check whether a page is gone. Its readers were cut off, which takes one turn of each.
const PAUSE: Duration = Duration::from_millis(5);
/// Checks before a reader is rejected.
const MAX_LOOKS: usize = 200;

/// The pages that are being sent, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages(Arc<Mutex<VecDeque<Weak<RenderedPage>>>>);

#[derive(Debug)]
struct RenderedPage {
    text: String,
    form: Form,
    made: Instant,
    /// Tokens that close the connections to which it is sent.
    readers: Mutex<Vec<CancellationToken>>,
}

enum Lookup {
    Room,
    Shared(Arc<RenderedPage>),
    /// No page yet: the oldest is being dropped.
    Full,
}

impl Pages {
    /// A page for the connection that `reader` closes, rendered by `make` if there is room. `None` if there is no room
    /// for too long.
    pub async fn page<E>(
        &self,
        form: Form,
        reader: &CancellationToken,
        make: impl FnOnce() -> Result<String, E>,
    ) -> Option<Result<Bytes, E>> {
        for _ in 0..MAX_LOOKS {
            match self.look(form) {
                Lookup::Room => {
                    let made = make().map(|text| self.add(text, form));
                    return Some(made.map(|page| sent(page, reader)));
                }
                Lookup::Shared(page) => return Some(Ok(sent(page, reader))),
                Lookup::Full => sleep(PAUSE).await,
            }
        }
        None
    }

    fn look(&self, form: Form) -> Lookup {
        let mut pages = locked(&self.0);
        pages.retain(|page| page.strong_count() > 0);
        if pages.len() < MAX_PAGES {
            return Lookup::Room;
        }
        let fresh = |page: &Arc<RenderedPage>| page.form == form && page.made.elapsed() < FRESH;
        let mut newest_first = pages.iter().rev().filter_map(Weak::upgrade);
        if let Some(page) = newest_first.find(fresh) {
            return Lookup::Shared(page);
        }
        if let Some(oldest) = pages.front().and_then(Weak::upgrade) {
            for reader in locked(&oldest.readers).iter() {
                reader.cancel();
            }
        }
        Lookup::Full
    }

    fn add(&self, text: String, form: Form) -> Arc<RenderedPage> {
        let page = Arc::new(RenderedPage {
            text,
            form,
            made: Instant::now(),
            readers: Mutex::default(),
        });
        locked(&self.0).push_back(Arc::downgrade(&page));
        page
    }
}

/// The bytes of a page, which keep it alive until all of them are sent.
fn sent(page: Arc<RenderedPage>, reader: &CancellationToken) -> Bytes {
    locked(&page.readers).push(reader.clone());
    Bytes::from_owner(SentPage {
        page,
        reader: reader.clone(),
    })
}

struct SentPage {
    page: Arc<RenderedPage>,
    reader: CancellationToken,
}

impl AsRef<[u8]> for SentPage {
    fn as_ref(&self) -> &[u8] {
        self.page.text.as_bytes()
    }
}

impl Drop for SentPage {
    fn drop(&mut self) {
        let mut readers = locked(&self.page.readers);
        if let Some(at) = readers.iter().position(|reader| *reader == self.reader) {
            readers.swap_remove(at);
        }
    }
}

/// The mutex is never poisoned: no code that holds it can panic.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    async fn page(pages: &Pages, reader: &CancellationToken, text: &str) -> Option<Bytes> {
        let make = || Ok::<_, Infallible>(text.to_owned());
        let Ok(page) = pages.page(Form::OpenMetrics, reader, make).await?;
        Some(page)
    }

    #[tokio::test]
    async fn more_readers_than_pages_share_a_fresh_one() {
        let (pages, reader) = (Pages::default(), CancellationToken::new());
        let mut held = Vec::new();
        for at in 0..3 * MAX_PAGES {
            let page = page(&pages, &reader, &at.to_string()).await.unwrap();
            let expected = at.min(MAX_PAGES - 1).to_string();
            assert_eq!(page, expected.as_bytes());
            held.push(page);
        }
        assert!(!reader.is_cancelled());
        held.clear();
        assert_eq!(page(&pages, &reader, "new").await.unwrap(), "new");
    }

    #[tokio::test]
    async fn the_readers_of_the_oldest_give_way() {
        let pages = Pages::default();
        let readers = [0; MAX_PAGES].map(|_| CancellationToken::new());
        let mut held = Vec::new();
        for reader in &readers {
            // Pages in the other form cannot be shared with the last reader.
            let make = || Ok::<_, Infallible>("old".to_owned());
            let page = pages.page(Form::Prometheus, reader, make).await.unwrap();
            held.push(Some(page.unwrap()));
        }
        // This reader has its page already, and is not cut off.
        let done = CancellationToken::new();
        let make = || Ok::<_, Infallible>(String::new());
        drop(pages.page(Form::Prometheus, &done, make).await);
        let last = CancellationToken::new();
        let (found, ()) = tokio::join!(page(&pages, &last, "new"), async {
            readers[0].cancelled().await;
            held[0] = None;
        });
        assert_eq!(found.unwrap(), "new");
        let cut: Vec<bool> = readers.iter().map(|reader| reader.is_cancelled()).collect();
        assert_eq!(cut.iter().filter(|cut| **cut).count(), 1);
        assert!(!done.is_cancelled() && !last.is_cancelled());
    }
}
