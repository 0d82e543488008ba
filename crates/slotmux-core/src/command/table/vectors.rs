//! Commands on vector sets. Redis builds them in as a module that counts its arguments itself and words the error in
//! its own way, so the table leaves that to it.

use super::row::*;

#[rustfmt::skip]
pub(super) static VECTORS: &[Command] = &[
    cmd("vadd",        -1, KEY, Keyed, "8.0.0", "write denyoom"),
    cmd("vcard",       -1, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vdim",        -1, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vemb",        -1, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vgetattr",    -1, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vinfo",       -1, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vismember",   -1, KEY, Keyed, "8.0.0", "readonly"),
    cmd("vlinks",      -1, KEY, Keyed, "8.0.0", "readonly fast"),
    cmd("vrandmember", -1, KEY, Keyed, "8.0.0", "readonly"),
    cmd("vrange",      -1, KEY, Keyed, "8.4.0", "readonly"),
    cmd("vrem",        -1, KEY, Keyed, "8.0.0", "write"),
    cmd("vsetattr",    -1, KEY, Keyed, "8.0.0", "write fast"),
    cmd("vsim",        -1, KEY, Keyed, "8.0.0", "readonly"),
];
