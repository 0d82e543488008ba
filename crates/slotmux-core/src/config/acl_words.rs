//! Finds passwords in the syntax of Redis' ACL files, which has no meaning here: taken literally they would be
//! passwords that the user did not intend. Pure; no message repeats a possible password.

/// Hexadecimal digits of a SHA-256.
const DIGEST: usize = 64;

/// Rules of an ACL that hold no password.
const RULES: &[&str] = &[
    "on",
    "off",
    "nopass",
    "resetpass",
    "reset",
    "allkeys",
    "resetkeys",
    "allchannels",
    "resetchannels",
    "allcommands",
    "nocommands",
    "~*",
    "&*",
    "%R~*",
    "%W~*",
    "%RW~*",
    "sanitize-payload",
    "skip-sanitize-payload",
];

/// Why this cannot be a client's password, if it looks like a part of an ACL.
pub(super) fn in_user(password: &str) -> Option<&'static str> {
    if password.starts_with('#') {
        return Some(
            "\"#\" is how ACL files mark a hash: write \"sha256:\" and its 64 digits. A password that begins with \"#\" \
             is written as its hash",
        );
    }
    if password.starts_with('>') {
        return Some(
            "\">\" is how ACL files mark a password: leave it out. A password that begins with \">\" is written as \
             \"sha256:\" and its hash",
        );
    }
    if is_misspelt_hash(password) {
        return Some("a hash is written as \"sha256:\" and its 64 digits, in these letters");
    }
    if has_digest(password, '!') {
        return Some(
            "\"!\" is how ACL files take a hash away: leave it out of the list. A password that looks so is written as \
             \"sha256:\" and its hash",
        );
    }
    is_rule(password).then_some(
        "this is a rule of an ACL and no password: users have passwords only, plain or as \"sha256:\" and their hash. A \
         password that looks so is written as its hash",
    )
}

/// Why this cannot be an upstream password. A hash does not reveal the password.
pub(super) fn in_upstream(password: &str) -> Option<&'static str> {
    let digest = password.strip_prefix("sha256:").unwrap_or_default();
    if has_digest(password, '#') || has_digest(password, '!') || is_digest(digest) {
        return Some(
            "a hash cannot be shown to the upstream, which wants the password itself. A password that looks so is given \
             as \"file:PATH\"",
        );
    }
    (password == "nopass").then_some(
        "\"nopass\" is a rule of an ACL and no password: leave password out where the upstream wants none. A password \
         that looks so is given as \"file:PATH\"",
    )
}

/// A warning about an upstream password that may be a mistake.
pub(super) fn doubt_in_upstream(password: &str) -> Option<&'static str> {
    password.starts_with(['>', '#']).then_some(
        "begins like a password or hash of an ACL file; all of it is sent to the upstream. \"file:PATH\" ends this \
         warning",
    )
}

/// Whether the text is exactly `mark` and a hash.
fn has_digest(text: &str, mark: char) -> bool {
    text.strip_prefix(mark).is_some_and(is_digest)
}

/// A misspelt hash prefix such as `SHA256:` or `sha-256=`, followed by a hash.
fn is_misspelt_hash(text: &str) -> bool {
    let Some((name, digest)) = text.split_once([':', '=', '$']) else {
        return false;
    };
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    name == "sha256" && is_digest(digest) && !text.starts_with("sha256:")
}

fn is_digest(text: &str) -> bool {
    text.len() == DIGEST && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A rule, or several rules separated by spaces.
fn is_rule(text: &str) -> bool {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_one = |word: &&str| {
        RULES.iter().any(|rule| rule.eq_ignore_ascii_case(word))
            || word.starts_with("+@")
            || word.starts_with("-@")
    };
    let begins_as_one = |word: &&str| word.starts_with(['>', '#', '~', '&', '+', '-', '%', '(']);
    match words.as_slice() {
        [one] => *one == text && is_one(one),
        [] => false,
        // A line of an ACL file, from its user on or from the first rule on.
        [first, rest @ ..] => {
            let rules = if *first == "user" { &rest[1..] } else { &words };
            !rules.is_empty()
                && rules.iter().any(is_one)
                && rules.iter().all(|word| is_one(word) || begins_as_one(word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_an_acl_is_told_with_the_spelling_that_is_meant() {
        let digest = "0123456789abcdefABCDEF0123456789".repeat(2);
        for (password, told) in [
            (format!("#{digest}"), "write \"sha256:\" and its 64 digits"),
            ("#short".into(), "write \"sha256:\""),
            (">pw".into(), "leave it out"),
            (">".into(), "leave it out"),
            (format!("!{digest}"), "leave it out of the list"),
            (format!("SHA256:{digest}"), "written as \"sha256:\""),
            (format!("sha-256={digest}"), "written as \"sha256:\""),
            ("nopass".into(), "a rule of an ACL"),
            ("NoPass".into(), "a rule of an ACL"),
            ("on".into(), "a rule of an ACL"),
            ("~*".into(), "a rule of an ACL"),
            ("+@all".into(), "a rule of an ACL"),
            ("-@dangerous".into(), "a rule of an ACL"),
            ("on >pw ~* +@all".into(), "a rule of an ACL"),
            ("user app on >pw ~app:* &* +get".into(), "a rule of an ACL"),
        ] {
            let said = in_user(&password).unwrap_or_default();
            assert!(said.contains(told), "{password}: {said}");
        }
    }

    #[test]
    fn other_passwords_are_passwords() {
        for password in [
            "hush",
            "!hush",
            "<hush",
            "~hush",
            "+hush",
            "&hush",
            "a#b>c",
            "on the road again",
            "only",
            "user name",
            "user",
            " #x",
            " on",
            "correct horse battery staple",
            "- -",
            "sha256:",
            "",
            // In the form that `openssl rand -hex 32` prints.
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(in_user(password), None, "{password:?}");
            assert_eq!(in_upstream(password), None, "{password:?}");
        }
    }

    #[test]
    fn an_upstream_is_shown_no_hash() {
        let digest = "ab".repeat(32);
        for password in [
            format!("#{digest}"),
            format!("!{digest}"),
            format!("sha256:{digest}"),
            "nopass".to_owned(),
        ] {
            assert!(in_upstream(&password).is_some(), "{password}");
        }
        // These may be passwords, and the upstream knows no other spelling of them.
        for password in [digest.as_str(), "#short", ">pw", "#", ">"] {
            assert_eq!(in_upstream(password), None, "{password}");
            let is_strange = password.starts_with(['#', '>']);
            assert_eq!(doubt_in_upstream(password).is_some(), is_strange);
        }
    }
}
