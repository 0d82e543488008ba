//! `DEBUG ERROR text`, with which client libraries test their handling of errors.

use super::{AnsweredRequest, error, wrong_form};

/// The text as an error, with its code, if it has one.
pub(super) fn error_of_client(request: AnsweredRequest<'_>, out: &mut Vec<u8>) {
    if request.len() == 3 {
        error(out, &[request.get(2)]);
    } else {
        wrong_form("DEBUG", request, out);
    }
}
