//! Host names in the one spelling in which they are compared. Pure.

/// Longest name that DNS allows, in bytes.
const LONGEST: usize = 253;

/// A host name in lower case, without the trailing dot. `None` if the text is not a valid name.
pub fn plain_host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_name = !name.is_empty()
        && name.len() <= LONGEST
        && name.split('.').all(|label| !label.is_empty())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_name.then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for text in ["a.example", "A.Example", "a.EXAMPLE."] {
            assert_eq!(plain_host_name(text).as_deref(), Some("a.example"));
        }
        assert_eq!(plain_host_name("my_host-1").as_deref(), Some("my_host-1"));
        let long = format!("{}.b", "a".repeat(LONGEST));
        for text in [
            "", ".", "a..", "a..b", ".a", "a b", "a:1", "a/b", "ü", &long,
        ] {
            assert_eq!(plain_host_name(text), None, "{text:?}");
        }
    }
}
