//! Commands on geographical indexes.

use super::row::*;

#[rustfmt::skip]
pub(super) static GEO: &[Command] = &[
    cmd("geoadd",               -5, KEY,            Keyed, "3.2.0",  "write denyoom"),
    cmd("geodist",              -4, KEY,            Keyed, "3.2.0",  "readonly"),
    cmd("geohash",              -2, KEY,            Keyed, "3.2.0",  "readonly"),
    cmd("geopos",               -2, KEY,            Keyed, "3.2.0",  "readonly"),
    cmd("georadius",            -6, geo_store(6),   Keyed, "3.2.0",  "write denyoom"),
    cmd("georadius_ro",         -6, KEY,            Keyed, "3.2.10", "readonly"),
    cmd("georadiusbymember",    -5, geo_store(5),   Keyed, "3.2.0",  "write denyoom"),
    cmd("georadiusbymember_ro", -5, KEY,            Keyed, "3.2.10", "readonly"),
    cmd("geosearch",            -7, KEY,            Keyed, "6.2.0",  "readonly"),
    cmd("geosearchstore",       -8, range(1, 2, 1), Keyed, "6.2.0",  "write denyoom"),
];
