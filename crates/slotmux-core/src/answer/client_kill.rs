//! `CLIENT KILL`: which clients are to be closed, and the reply once they are.

use super::client_filter::ClientFilter;
use super::client_line::ClientLine;
use super::{AnswerHost, AnsweredRequest};
use crate::c_string;
use crate::resp::write;

/// The clients that `CLIENT KILL` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KillFilter {
    filter: ClientFilter,
    /// `CLIENT KILL ip:port`, which has replies of its own.
    by_address: bool,
}

impl KillFilter {
    /// `CLIENT KILL ip:port`, or filters. `me` is the asking client, which is spared unless SKIPME says otherwise. `None`: the
    /// error is written.
    pub(super) fn parse(
        request: AnsweredRequest<'_>,
        me: u64,
        host: &AnswerHost<'_>,
        out: &mut Vec<u8>,
    ) -> Option<KillFilter> {
        if request.len() == 3 {
            return Some(KillFilter {
                filter: ClientFilter::of_address(c_string::of(request.get(2))),
                by_address: true,
            });
        }
        let mut filter = ClientFilter::without(me);
        filter.read(request, me, host, out)?;
        Some(KillFilter {
            filter,
            by_address: false,
        })
    }

    /// Whether this client is to be closed.
    pub fn admits(&self, line: &ClientLine<'_>) -> bool {
        self.filter.admits(line)
    }

    /// Writes the reply, given how many clients are closed.
    pub fn reply(&self, killed: u64, out: &mut Vec<u8>) {
        match (self.by_address, killed) {
            (true, 0) => write::error(out, "ERR No such client"),
            (true, _) => write::simple(out, "OK"),
            (false, _) => write::integer(out, killed.cast_signed()),
        }
    }
}
