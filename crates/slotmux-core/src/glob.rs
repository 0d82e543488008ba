//! Redis' glob rules, for `CONFIG GET` and for patterns of channels. Ours, because globbing crates differ where it shows: here a class is negated
//! by `^`, may be unterminated and may hold escapes, a backslash may end the pattern, and text is bytes.

/// How a byte is compared: as it is, or without its case.
type Fold = fn(u8) -> u8;

/// Whether `pattern` matches all of `text`, upper and lower case being equal.
///
/// Bounded by the product of both lengths: only the last `*` is ever tried again.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, |byte| byte.to_ascii_lowercase())
}

/// As [`matches()`], where case counts.
pub fn matches_exactly(pattern: &[u8], text: &[u8]) -> bool {
    matches_folded(pattern, text, |byte| byte)
}

fn matches_folded(pattern: &[u8], text: &[u8], fold: Fold) -> bool {
    let (mut p, mut t) = (0, 0);
    // The state to resume from after a mismatch: behind the last star, and the text that the star has not matched yet.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        let step = match text.get(t) {
            None if p == pattern.len() => return true,
            // Giving the star more of the text leaves even less for the rest.
            None => return false,
            Some(&byte) => one(&pattern[p..], byte, fold),
        };
        if let Some(length) = step {
            p += length;
            t += 1;
        } else if let Some((behind, start)) = retry {
            p = behind;
            t = start + 1;
            retry = Some((behind, t));
        } else {
            return false;
        }
    }
}

/// Length of the element at the start of `pattern`, which is not a star, if it matches `byte`.
fn one(pattern: &[u8], byte: u8, fold: Fold) -> Option<usize> {
    let (length, matched) = match *pattern.first()? {
        b'?' => (1, true),
        b'[' => class(pattern, byte, fold),
        b'\\' if pattern.len() > 1 => (2, fold(pattern[1]) == fold(byte)),
        literal => (1, fold(literal) == fold(byte)),
    };
    matched.then_some(length)
}

/// The class at the start of `pattern`: its length, and whether it holds `byte`. One without an end ends with the
/// pattern.
fn class(pattern: &[u8], byte: u8, fold: Fold) -> (usize, bool) {
    let negated = pattern.get(1) == Some(&b'^');
    let folded = fold(byte);
    let mut at = if negated { 2 } else { 1 };
    let mut found = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                // Case counts here in any case.
                found |= escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                let (from, to) = (fold(from), fold(to));
                found |= (from.min(to)..=from.max(to)).contains(&folded);
                at += 3;
            }
            [single, ..] => {
                found |= fold(single) == folded;
                at += 1;
            }
        }
    }
    (at, found != negated)
}

#[cfg(test)]
mod tests {
    use super::{matches, matches_exactly};

    #[test]
    fn the_rules_of_redis() {
        // (pattern, what it matches, what it does not)
        let table: &[(&str, &[&str], &[&str])] = &[
            ("", &[""], &["a"]),
            ("port", &["port", "PORT"], &["por", "ports", ""]),
            ("*", &["", "a", "save"], &[]),
            ("**", &["", "a"], &[]),
            ("max*", &["max", "maxmemory"], &["ma", "amax"]),
            ("*mem*", &["mem", "maxmemory"], &["me"]),
            ("*a*b", &["ab", "xaxbxb"], &["aba", "b"]),
            ("m?x", &["max", "m*x"], &["mx", "maax"]),
            ("por[t]", &["port", "porT"], &["por", "por["]),
            ("por[t", &["port"], &["por", "ports"]),
            ("por[", &[], &["por", "por[", "port"]),
            ("por[^", &["port"], &["por"]),
            ("por[^t]", &["porx", "por^"], &["port", "porT", "por"]),
            ("por[T]", &["port"], &[]),
            ("por[a-z]", &["port", "porA"], &["por1"]),
            ("por[z-a]", &["port"], &["por1"]),
            ("por[s-", &["por-", "pors"], &["port"]),
            // The bracket after a dash is the end of the range, so this class ends with the pattern.
            ("por[t-]", &["port", "por]", "pora"], &["por1", "port-"]),
            ("por[]]", &[], &["port", "por]"]),
            ("por[\\]]", &["por]"], &["port", "por\\"]),
            ("por[\\t]", &["port"], &["por\\", "porT"]),
            ("por[\\T]", &["porT"], &["port"]),
            ("\\*", &["*"], &["a", ""]),
            ("\\maxmemory", &["maxmemory"], &[]),
            ("a\\", &["a\\"], &["a", "ab"]),
            ("*[", &[], &["", "a", "["]),
        ];
        for (pattern, matching, others) in table {
            for text in *matching {
                assert!(
                    matches(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
            for text in *others {
                assert!(
                    !matches(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
        }
    }

    #[test]
    fn case_counts_where_it_does() {
        for (pattern, text, expected) in [
            ("news.*", "news.Tech", true),
            ("news.*", "News.Tech", false),
            ("n[a-e]ws", "news", true),
            ("n[A-E]ws", "news", false),
            ("n[^E]ws", "news", true),
            ("new\\s", "newS", false),
        ] {
            assert_eq!(
                matches_exactly(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        // With a try of every star this would be 2^40 steps.
        let pattern = "a*".repeat(40) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(2000).as_bytes()));
        assert!(matches(
            pattern.as_bytes(),
            ("a".repeat(2000) + "b").as_bytes()
        ));
    }
}
