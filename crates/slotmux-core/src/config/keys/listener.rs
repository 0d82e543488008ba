//! The keys of `[[listener]]` and `[[user]]`.

use std::time::Duration;

use super::{GIB, KIB, MIB, MS, SECOND, YEAR};
use crate::config::read::{announce, binds, output_soft, secrets};
use crate::config::section::{SectionKey, key, list, put, section, set_section};
use crate::config::show::{choice, or_word, redacted, show_section, text, texts};
use crate::config::{ClientLimits, Listener, Personality, User};
use crate::units::{show_duration, show_size};

/// The kernel's own bound on TCP_KEEPIDLE.
const KEEPALIVE_MAX: Duration = Duration::from_secs(32_767);
/// Positions within a request are 32 bits wide.
const REQUEST_MAX: u64 = 2 * GIB;

pub(super) const LISTENER: &[SectionKey<Listener>] = &[
    key(
        "name",
        |l, v, r| put(&mut l.name, v.name(r)),
        |l| text(&l.name),
    ),
    key(
        "bind",
        |l, v, r| put(&mut l.bind, binds(v, r)),
        |l| texts(l.bind.iter().map(ToString::to_string)),
    ),
    key(
        "personality",
        |l, v, r| put(&mut l.personality, v.choice(PERSONALITIES, r)),
        |l| choice(PERSONALITIES, &l.personality),
    ),
    key(
        "announce",
        |l, v, r| put(&mut l.announce, announce(v, r)),
        |l| or_word(l.announce.as_ref(), "none", |addr| text(&addr.to_string())),
    ),
    key(
        "idle_timeout",
        |l, v, r| put(&mut l.idle_timeout, v.duration_or_none(MS..=YEAR, r)),
        |l| or_word(l.idle_timeout, "none", |time| text(&show_duration(time))),
    ),
    key(
        "tcp_keepalive",
        |l, v, r| {
            put(
                &mut l.tcp_keepalive,
                v.duration_or_none(SECOND..=KEEPALIVE_MAX, r),
            )
        },
        |l| or_word(l.tcp_keepalive, "none", |time| text(&show_duration(time))),
    ),
    key(
        "default_user",
        |l, v, r| put(&mut l.default_user, v.name(r)),
        |l| text(&l.default_user),
    ),
    section(
        "limits",
        |l, v, r| set_section(&mut l.limits, LIMITS, v, r),
        |at, out| list(LIMITS, at, out),
        |l, at, out| show_section(&l.limits, LIMITS, at, out),
    ),
];

const PERSONALITIES: &[(&str, Personality)] = &[
    ("standalone", Personality::Standalone),
    ("cluster", Personality::Cluster),
];

const LIMITS: &[SectionKey<ClientLimits>] = &[
    key(
        "max_request",
        |l, v, r| put(&mut l.max_request, v.bytes(KIB..=REQUEST_MAX, r)),
        |l| text(&show_size(l.max_request as u64)),
    ),
    key(
        "max_args",
        |l, v, r| put(&mut l.max_args, v.integer(16..=16_777_216, r)),
        |l| l.max_args.to_string(),
    ),
    key(
        "max_inline",
        |l, v, r| put(&mut l.max_inline, v.bytes(KIB..=16 * MIB, r)),
        |l| text(&show_size(l.max_inline as u64)),
    ),
    key(
        "max_pipeline",
        |l, v, r| put(&mut l.max_pipeline, v.integer(1..=1_048_576, r)),
        |l| l.max_pipeline.to_string(),
    ),
    key(
        "output_soft",
        |l, v, r| put(&mut l.output_soft, output_soft(v, r)),
        |l| {
            or_word(l.output_soft, "none", |(size, time)| {
                text(&format!(
                    "{}/{}",
                    show_size(size as u64),
                    show_duration(time)
                ))
            })
        },
    ),
    key(
        "output_hard",
        |l, v, r| put(&mut l.output_hard, v.bytes(64 * KIB..=16 * GIB, r)),
        |l| text(&show_size(l.output_hard as u64)),
    ),
];

pub(super) const USER: &[SectionKey<User>] = &[
    key(
        "name",
        |u, v, r| put(&mut u.name, v.name(r)),
        |u| text(&u.name),
    ),
    key(
        "passwords",
        |u, v, r| put(&mut u.passwords, secrets(v, r)),
        |u| redacted(u.passwords.len()),
    ),
];

/// A user before its section was read.
pub(super) fn unread_user() -> User {
    User {
        name: String::new(),
        passwords: Vec::new(),
    }
}
