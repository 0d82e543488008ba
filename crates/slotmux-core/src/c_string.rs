//! Words compared as servers compare C strings: ignoring case, and only up to the first NUL byte. Servers read options
//! like this; names of commands and subcommands, keys and numbers are taken at their full length.

/// The part of an argument that C sees: before the first NUL byte.
pub fn of(argument: &[u8]) -> &[u8] {
    let end = argument.iter().position(|&byte| byte == 0);
    &argument[..end.unwrap_or(argument.len())]
}

/// Whether a server matches `argument` with `keyword`, which has no NUL byte.
#[inline]
pub fn is(argument: &[u8], keyword: &[u8]) -> bool {
    argument
        .split_at_checked(keyword.len())
        .is_some_and(|(word, rest)| {
            word.eq_ignore_ascii_case(keyword) && matches!(rest.first(), None | Some(0))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_the_first_nul() {
        for (argument, expected) in [
            (&b"keys"[..], true),
            (b"KeYs", true),
            (b"KEYS\0", true),
            (b"KEYS\0\0", true),
            (b"keys\0auth", true),
            (b"", false),
            (b"\0", false),
            (b"key", false),
            (b"key\0", false),
            (b"key\0s", false),
            (b"\0keys", false),
            (b"keyss", false),
            (b"keys ", false),
        ] {
            assert_eq!(is(argument, b"keys"), expected, "{argument:?}");
            let by_cut = of(argument).eq_ignore_ascii_case(b"keys");
            assert_eq!(by_cut, expected, "{argument:?}");
        }
        assert!(is(b"\0x", b"") && is(b"", b""));
    }
}
