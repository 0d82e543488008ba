//! The configuration of the demo's slotmux: the example file on free ports, so that its namespaces can be tried. Of the
//! environment only the default TTLs are used: the rest is meant for another slotmux.

use std::ffi::OsString;

use slotmux_core::config::{CommandLine, SourceFile, Sources};

const EXAMPLE: &str = "slotmux.example.toml";

pub(super) fn sources(
    nodes: impl Iterator<Item = u16>,
    port: u16,
    admin: u16,
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Sources {
    let local = |port: u16| format!("127.0.0.1:{port}");
    let text = |text: OsString| text.to_string_lossy().into_owned();
    Sources {
        file: Some(SourceFile {
            name: EXAMPLE.into(),
            text: include_str!("../../../slotmux.example.toml").into(),
        }),
        env: env
            .map(|(name, value)| (text(name), text(value)))
            .filter(|(name, _)| name.starts_with("REDIS_TTL_"))
            .collect(),
        flags: CommandLine {
            listen: vec![local(port)],
            upstream: nodes.map(local).collect(),
            admin: Some(local(admin)),
            workers: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slotmux_core::config::load_with_origins;
    use std::time::Duration;

    fn with(env: &[(&str, &str)]) -> Sources {
        let env = env.iter().map(|(name, text)| (name.into(), text.into()));
        sources([7000, 7001].into_iter(), 1, 2, env)
    }

    #[test]
    fn the_demo_is_the_example_on_its_own_ports() {
        let loaded = load_with_origins(&with(&[
            ("REDIS_TTL_DOCS", "60"),
            ("REDIS_URL", "redis://elsewhere"),
            ("SLOTMUX_LISTEN", "0.0.0.0:3"),
        ]));
        let loaded = loaded.unwrap();
        let config = &loaded.config;
        let names: Vec<&str> = config.namespaces.iter().map(|n| n.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "llm_response_cache",
                "community_reports",
                "text_chunks",
                "full_docs"
            ]
        );
        let ttl = &config.namespaces[3].ttl;
        assert_eq!(ttl.default, Some(Duration::from_secs(60)));
        let origin = loaded.origins.of("namespace.full_docs.ttl.default");
        assert_eq!(origin.to_string(), "REDIS_TTL_DOCS");
        assert_eq!(config.listeners[0].bind[0].to_string(), "127.0.0.1:1");
        assert_eq!(config.admin.bind.map(|bind| bind.port()), Some(2));
        assert_eq!(config.cluster.seeds.len(), 2);
        assert_eq!(config.cluster.seeds[1].to_string(), "127.0.0.1:7001");
    }

    #[test]
    fn a_mistyped_variable_is_refused() {
        let problems = load_with_origins(&with(&[("REDIS_TTL_DOC", "60")])).unwrap_err();
        assert!(
            problems[0]
                .to_string()
                .contains("did you mean REDIS_TTL_DOCS?"),
            "{problems:?}"
        );
    }
}
