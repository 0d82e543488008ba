//! `REDIS_TTL_<NAMESPACE>` and its other names: effects, precedence and refusals.

use std::time::Duration;

use slotmux_core::config::{Persist, TtlMode, load_with_origins};

use crate::problems::{pairs, refused};
use crate::{lines, loaded, sources};

const EXAMPLE: &str = include_str!("../../slotmux.example.toml");

#[derive(Debug, PartialEq)]
struct Ttls(Vec<Option<u64>>);

/// The default TTLs of the example's namespaces in seconds, and the warnings at the start.
fn ttls(env: &[(&str, &str)]) -> (Ttls, Vec<String>) {
    let loaded = load_with_origins(&sources(EXAMPLE, env)).unwrap();
    let namespaces = loaded.config.namespaces.iter();
    let ttls = namespaces.map(|n| n.ttl.default.map(|ttl| ttl.as_secs()));
    (Ttls(ttls.collect()), lines(&loaded.warnings))
}

#[test]
fn the_first_users_namespaces() {
    let config = loaded(EXAMPLE, &[]);
    let found: Vec<(&str, &str, Option<u64>, &[String])> = config
        .namespaces
        .iter()
        .map(|n| {
            let default = n.ttl.default.map(|ttl| ttl.as_secs());
            (
                n.name.as_str(),
                n.prefixes[0].as_str(),
                default,
                &n.ttl_env[..],
            )
        })
        .collect();
    let one = |name: &str| vec![name.to_owned()];
    let (llm, chunks, docs) = (
        one("REDIS_TTL_LLM_CACHE"),
        one("REDIS_TTL_CHUNKS"),
        one("REDIS_TTL_DOCS"),
    );
    assert_eq!(
        found,
        [
            (
                "llm_response_cache",
                "nano_graphrag:llm_response_cache:",
                Some(43_200),
                &llm[..]
            ),
            (
                "community_reports",
                "nano_graphrag:community_reports:",
                Some(86_400),
                &[]
            ),
            ("text_chunks", "nano_graphrag:text_chunks:", None, &chunks),
            ("full_docs", "nano_graphrag:full_docs:", None, &docs),
        ]
    );
    let [llm, reports, chunks, docs] = &config.namespaces[..] else {
        panic!("four namespaces");
    };
    assert_eq!(llm.ttl.max, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(
        (llm.ttl.persist, llm.max_value),
        (Persist::Rewrite, Some(4 << 20))
    );
    assert_eq!((llm.ttl.jitter, reports.ttl.jitter), (0.1, 0.1));
    assert_eq!(
        (chunks.ttl.mode, docs.ttl.mode),
        (TtlMode::Enforce, TtlMode::Enforce)
    );
    assert_eq!((docs.max_key, docs.deny.len()), (Some(1024), 1));
}

#[test]
fn the_first_users_environment() {
    // As its service is deployed: the variables of its code, those of its documents, and the rest of its settings.
    let (found, warnings) = ttls(&[
        ("REDIS_URL", "redis://redis:6379"),
        ("REDIS_PASSWORD", "hush"),
        ("REDIS_MAX_CONNECTIONS", "5000"),
        ("REDIS_CONNECTION_TIMEOUT", "5.0"),
        ("REDIS_SOCKET_TIMEOUT", "5.0"),
        ("REDIS_TTL_LLM_RESPONSE_CACHE", "43200"),
        ("REDIS_TTL_COMMUNITY_REPORTS", "86400"),
        ("REDIS_TTL_TEXT_CHUNKS", "0"),
        ("REDIS_TTL_FULL_DOCS", "0"),
    ]);
    let usual = || Ttls(vec![Some(43_200), Some(86_400), None, None]);
    assert_eq!((found, warnings), (usual(), Vec::new()));
    let (found, warnings) = ttls(&[
        ("REDIS_TTL_LLM_CACHE", "43200"),
        ("REDIS_TTL_COMMUNITY_REPORTS", "86400"),
        ("REDIS_TTL_CHUNKS", "0"),
        ("REDIS_TTL_DOCS", "0"),
    ]);
    assert_eq!((found, warnings), (usual(), Vec::new()));
    // Both names at once, with equal values.
    let both = [
        ("REDIS_TTL_LLM_CACHE", "60"),
        ("REDIS_TTL_LLM_RESPONSE_CACHE", "60.0"),
    ];
    let (found, warnings) = ttls(&both);
    assert_eq!((found.0[0], warnings), (Some(60), Vec::new()));
    // An empty variable counts as unset.
    let (found, warnings) = ttls(&[("REDIS_TTL_DOCS", ""), ("REDIS_TTL_NOBODYS", "")]);
    assert_eq!((found, warnings), (usual(), Vec::new()));
}

#[test]
fn environment_over_file_over_defaults() {
    let file = "[defaults.namespace.ttl]\ndefault = \"1h\"\n[[namespace]]\nname = \"a\"\nmatch = \"a:\"\n\
                [[namespace]]\nname = \"b\"\nmatch = \"b:\"\nttl.default = \"2h\"\n[[cluster]]\nseeds = \"h\"\n";
    let (a, b) = ("namespace.a.ttl.default", "namespace.b.ttl.default");
    let env = ("SLOTMUX__DEFAULTS__NAMESPACE__TTL__DEFAULT", "3h");
    for (env, key, hours, origin) in [
        (&[][..], a, 1, "f.toml:2:11"),
        (&[], b, 2, "f.toml:9:15"),
        (&[env], a, 3, env.0),
        (&[env], b, 2, "f.toml:9:15"),
        (&[env, ("REDIS_TTL_B", "14400")], b, 4, "REDIS_TTL_B"),
        (
            &[
                ("REDIS_TTL_B", "14400"),
                ("SLOTMUX__NAMESPACE__B__TTL__DEFAULT", "5h"),
            ],
            b,
            5,
            "SLOTMUX__NAMESPACE__B__TTL__DEFAULT",
        ),
    ] {
        let loaded = load_with_origins(&sources(file, env)).unwrap();
        assert_eq!(loaded.origins.of(key).to_string(), origin, "{env:?}");
        let namespace = &loaded.config.namespaces[usize::from(key == b)];
        assert_eq!(
            namespace.ttl.default,
            Some(Duration::from_secs(hours * 3600)),
            "{env:?}"
        );
    }
    let loaded = load_with_origins(&sources(file, &[])).unwrap();
    assert_eq!(
        loaded.origins.of("namespace.a.ttl.max").to_string(),
        "default"
    );
}

#[test]
fn probable_mistakes_cause_warnings() {
    for (env, seconds, said) in [
        (
            &[
                ("REDIS_TTL_LLM_CACHE", "60"),
                ("REDIS_TTL_LLM_RESPONSE_CACHE", "30"),
            ][..],
            Some(30),
            "REDIS_TTL_LLM_CACHE: 1m is not used: REDIS_TTL_LLM_RESPONSE_CACHE sets the default TTL of namespace \
             \"llm_response_cache\" to 30s",
        ),
        (
            &[
                ("REDIS_TTL_LLM_CACHE", "0"),
                ("REDIS_TTL_LLM_RESPONSE_CACHE", "30"),
            ],
            Some(30),
            "REDIS_TTL_LLM_CACHE: none is not used: REDIS_TTL_LLM_RESPONSE_CACHE sets the default TTL of namespace \
             \"llm_response_cache\" to 30s",
        ),
        (
            &[("REDIS_TTL_LLM_CACHE", "0")],
            None,
            "REDIS_TTL_LLM_CACHE: namespace \"llm_response_cache\" has no default TTL now, but a max, and keys \
             without TTL get that: 7d",
        ),
    ] {
        let (found, warnings) = ttls(env);
        assert_eq!((found.0[0], warnings), (seconds, vec![said.to_owned()]));
    }
    let (found, warnings) = ttls(&[("REDIS_TTL_COMMUNITY_REPORTS", "-5")]);
    assert_eq!(found.0[1], None);
    assert_eq!(
        warnings,
        [
            "REDIS_TTL_COMMUNITY_REPORTS: -5 is negative and counts as 0 for namespace \"community_reports\""
        ]
    );
    let enforced = "{ default = \"none\" }    # these keys";
    assert!(EXAMPLE.contains(enforced));
    let observed = EXAMPLE.replace(enforced, "{ mode = \"observe\" } # these keys");
    let loaded = load_with_origins(&sources(&observed, &[("REDIS_TTL_CHUNKS", "60")])).unwrap();
    assert_eq!(
        lines(&loaded.warnings),
        [
            "REDIS_TTL_CHUNKS: sets the default TTL of namespace \"text_chunks\", whose mode is \"observe\": it is not \
          enforced"
        ]
    );
}

const REFUSED: &str = r#"
REDIS_TTL_LLM_CACHE=12h
-> expected a number of seconds, got "12h"
REDIS_TTL_FULL_DOCS=none
-> expected a number of seconds, got "none"
REDIS_TTL_DOCS=1e300
-> 1e300 seconds are out of range: 0.001 to 3153600000, or 0 for none
REDIS_TTL_LLM_CACH=60
-> no namespace has this variable; did you mean REDIS_TTL_LLM_CACHE?
REDIS_TTL_COMUNITY_REPORT=60
-> no namespace has this variable; did you mean REDIS_TTL_COMMUNITY_REPORTS?
REDIS_TTL_SESSIONS=60
-> no namespace has this variable; known are REDIS_TTL_LLM_RESPONSE_CACHE, REDIS_TTL_LLM_CACHE, REDIS_TTL_COMMUNITY_REPORTS, REDIS_TTL_TEXT_CHUNKS, REDIS_TTL_CHUNKS, REDIS_TTL_FULL_DOCS, REDIS_TTL_DOCS
REDIS_TTL_=60
-> no namespace has this variable; known are REDIS_TTL_LLM_RESPONSE_CACHE, REDIS_TTL_LLM_CACHE, REDIS_TTL_COMMUNITY_REPORTS, REDIS_TTL_TEXT_CHUNKS, REDIS_TTL_CHUNKS, REDIS_TTL_FULL_DOCS, REDIS_TTL_DOCS
"#;

#[test]
fn invalid_and_unbound_variables_are_reported() {
    for (assignment, said) in pairs(REFUSED) {
        let (variable, text) = assignment.split_once('=').unwrap();
        refused(
            &sources(EXAMPLE, &[(variable, text)]),
            &[&format!("{variable}: {said}")],
        );
    }
    refused(
        &sources(crate::CLUSTER, &[("REDIS_TTL_DOCS", "0")]),
        &["REDIS_TTL_DOCS: no namespace has this variable; no [[namespace]] is declared"],
    );
    // Above the file's max: as in the file. The report names the line of the max.
    let said =
        load_with_origins(&sources(EXAMPLE, &[("REDIS_TTL_LLM_CACHE", "604801")])).unwrap_err();
    let said = lines(&said).join("\n");
    assert!(
        said.starts_with(
            "REDIS_TTL_LLM_CACHE: namespace.ttl.default: 604801s is above max, 7d (f.toml:"
        ) && said.ends_with(") of namespace \"llm_response_cache\""),
        "{said}"
    );
    // An overridden variable is checked as well.
    let env = [
        ("REDIS_TTL_LLM_CACHE", "x"),
        ("REDIS_TTL_LLM_RESPONSE_CACHE", "30"),
    ];
    refused(
        &sources(EXAMPLE, &env),
        &["REDIS_TTL_LLM_CACHE: expected a number of seconds, got \"x\""],
    );
    // Half a file leaves the declared namespaces unknown.
    let half = load_with_origins(&sources(
        "[[namespace]\nname = \"x\"\n",
        &[("REDIS_TTL_X", "1")],
    ));
    let said = lines(&half.unwrap_err()).join("\n");
    assert!(!said.contains("REDIS_TTL_X"), "{said}");
}
