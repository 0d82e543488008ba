//! "Did you mean": the known word nearest to a mistyped one.

/// Least similarity of a suggestion: a less similar word would not help.
const LIKE_ENOUGH: f64 = 0.6;

/// The word of `known` most similar to `typed`, if any is similar enough.
pub(super) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|word| (strsim::normalized_damerau_levenshtein(&typed, word), *word))
        .filter(|(likeness, _)| *likeness >= LIKE_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_or_none() {
        let known = ["workers", "max_clients", "backlog", "drain_timeout"];
        for (typed, found) in [
            ("worker", Some("workers")),
            ("wrokers", Some("workers")),
            ("max-clients", Some("max_clients")),
            ("maxclients", Some("max_clients")),
            ("Backlog", Some("backlog")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &known), found, "{typed:?}");
        }
    }
}
