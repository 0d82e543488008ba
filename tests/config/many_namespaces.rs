//! Ten thousand namespaces and more: read, checked and found as fast as a few, and a problem with one of them is
//! reported at its own line.

use slotmux_core::config::load;
use slotmux_core::policy::{NamespaceId, Policies};

use super::{CLUSTER, lines, loaded, sources};

const MANY: usize = 10_000;

fn section(file: &mut String, number: usize, max: &str) {
    let own = format!(
        "[[namespace]]\nname = \"team{number}\"\nmatch = [\"app:team{number}:\"]\nttl.max = \"{max}\"\nttl.default = \"1h\"\n"
    );
    file.push_str(&own);
}

fn many() -> String {
    let mut file = CLUSTER.to_owned();
    for number in 0..MANY {
        section(&mut file, number, "1d");
    }
    file
}

#[test]
fn all_are_read_and_found_by_their_keys() {
    let config = loaded(&many(), &[]);
    assert_eq!(config.namespaces.len(), MANY);
    let policies = Policies::new(&config);
    for number in 0..MANY {
        let key = format!("app:team{number}:key");
        let found = policies.find(key.as_bytes());
        assert_eq!(found, NamespaceId(number as u16 + 1));
        assert_eq!(
            policies.get(found).map(|policy| policy.name.clone()),
            Some(format!("team{number}"))
        );
    }
    assert_eq!(policies.find(b"app:team"), NamespaceId::UNMATCHED);
    assert_eq!(policies.find(b"app:team10000:"), NamespaceId::UNMATCHED);
}

/// In a single line, in which only columns distinguish them.
#[test]
fn all_may_be_in_one_line() {
    let sections: Vec<String> = (0..MANY)
        .map(|number| format!("{{name=\"é{number}\",match=[\"é{number}:\"]}}"))
        .collect();
    let mut broken = sections.clone();
    broken[MANY - 1] = "{name=\"é\",match=[\"é:\"],nonsense=1}".to_owned();
    let whole = |sections: &[String]| format!("namespace = [{}]\n{CLUSTER}", sections.join(","));
    assert_eq!(loaded(&whole(&sections), &[]).namespaces.len(), MANY);
    let problems = load(&sources(&whole(&broken), &[])).expect_err("nonsense");
    let before = whole(&broken).find("nonsense").expect("it is there");
    let column = whole(&broken)[..before].chars().count() + 1;
    let [problem] = &lines(&problems)[..] else {
        panic!("{problems:?}");
    };
    assert!(
        problem.starts_with(&format!("f.toml:1:{column}: ")),
        "{problem}"
    );
}

#[test]
fn each_invalid_namespace_is_reported_at_its_line() {
    let mut file = CLUSTER.to_owned();
    for number in 0..MANY {
        section(&mut file, number, "1m");
    }
    let problems = load(&sources(&file, &[])).expect_err("each default is above its max");
    assert_eq!(problems.len(), MANY);
    for (number, problem) in lines(&problems).iter().enumerate() {
        let start = format!("f.toml:{}:15: namespace.ttl.default", 3 + number * 5 + 4);
        assert!(problem.starts_with(&start), "{problem}");
    }
}

#[test]
fn broken_sections_are_reported_at_their_lines() {
    let mut file = CLUSTER.to_owned();
    for number in 0..MANY {
        section(&mut file, number, "1d");
        if number % 10 == 0 {
            file.push_str("[[broken\nkey = 1\n");
        }
    }
    let problems = load(&sources(&file, &[])).expect_err("broken");
    assert!(problems.len() >= MANY / 10, "{}", problems.len());
}

#[test]
fn variables_find_their_namespace_among_many() {
    let own: Vec<(String, String)> = (0..MANY)
        .flat_map(|number| {
            [
                (
                    format!("REDIS_TTL_TEAM{number}"),
                    format!("{}", number % 3600 + 1),
                ),
                (
                    format!("SLOTMUX__NAMESPACE__TEAM{number}__TTL__MODE"),
                    "observe".to_owned(),
                ),
            ]
        })
        .collect();
    let env: Vec<(&str, &str)> = own.iter().map(|(k, v)| (&**k, &**v)).collect();
    let config = loaded(&many(), &env);
    for (number, namespace) in config.namespaces.iter().enumerate() {
        let seconds = namespace.ttl.default.map(|ttl| ttl.as_secs());
        assert_eq!(seconds, Some(number as u64 % 3600 + 1));
        assert_eq!(namespace.ttl.mode, slotmux_core::config::TtlMode::Observe);
    }
    // These names are unknown; the report about each stays short.
    let unknown: Vec<(String, String)> = (0..1000)
        .map(|number| (format!("REDIS_TTL_QQ{number}WWWWWWWWWWWW"), "1".to_owned()))
        .collect();
    let env: Vec<(&str, &str)> = unknown.iter().map(|(k, v)| (&**k, &**v)).collect();
    let problems = load(&sources(&many(), &env)).expect_err("unknown");
    assert_eq!(problems.len(), unknown.len());
    for problem in lines(&problems) {
        assert!(problem.ends_with(" and 9980 more"), "{problem}");
        assert!(problem.len() < 1000, "{problem}");
    }
}
