//! Every key in force with its value and origin, as `SLOTMUX NAMESPACE` and EXPLAIN quote them.

use std::fmt;

use super::show::{ShownLine, lines};
use super::{Config, Origin, Origins};

/// One key in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EffectiveSetting {
    /// Its whole name, as [`Origins::of`] takes it: `namespace.sessions.ttl.max`.
    pub key: String,
    /// Its value as a file writes it.
    pub value: String,
    /// Its origin.
    pub origin: Origin,
}

/// All keys in force, in the order of an equivalent file. Values of passwords are left out.
#[derive(Clone, Default, Debug)]
pub struct EffectiveSettings(Vec<EffectiveSetting>);

impl EffectiveSettings {
    /// The settings of a configuration.
    pub fn new(config: &Config, origins: &Origins) -> EffectiveSettings {
        let setting = |line| match line {
            ShownLine::Head(_) => None,
            ShownLine::Setting(setting) => Some(EffectiveSetting {
                origin: origins.of(&setting.named).clone(),
                key: setting.named,
                value: setting.value,
            }),
        };
        EffectiveSettings(lines(config).into_iter().filter_map(setting).collect())
    }

    /// The setting of one key.
    pub fn of(&self, key: &str) -> Option<&EffectiveSetting> {
        self.0.iter().find(|setting| setting.key == key)
    }

    /// The settings of one section, with names relative to it: `ttl.max` below `namespace.sessions`.
    pub fn below<'a>(
        &'a self,
        section: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a EffectiveSetting)> {
        self.0.iter().filter_map(move |setting| {
            let rest = setting.key.strip_prefix(section)?.strip_prefix('.')?;
            Some((rest, setting))
        })
    }
}

impl fmt::Display for EffectiveSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} ({})", self.key, self.value, self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{SourceFile, Sources, load_with_origins};

    #[test]
    fn keys_have_values_and_origins() {
        let text = "[[cluster]]\nseeds = [\"a:1\"]\n[[namespace]]\nname = \"s\"\nmatch = [\"s:\"]\nttl.max = \"36h\"\n\
                    [[namespace]]\nname = \"s2\"\nmatch = [\"s2:\"]\n";
        let sources = Sources {
            file: Some(SourceFile {
                name: "f.toml".to_owned(),
                text: text.to_owned(),
            }),
            ..Sources::default()
        };
        let loaded = load_with_origins(&sources).unwrap();
        let settings = EffectiveSettings::new(&loaded.config, &loaded.origins);
        let max = settings.of("namespace.s.ttl.max").unwrap();
        assert_eq!(
            max.to_string(),
            "namespace.s.ttl.max = \"36h\" (f.toml:6:11)"
        );
        let min = settings.of("namespace.s.ttl.min").unwrap();
        assert_eq!(min.to_string(), "namespace.s.ttl.min = \"none\" (default)");
        let keys: Vec<&str> = settings
            .below("namespace.s")
            .map(|(rest, _)| rest)
            .collect();
        assert!(
            keys.contains(&"match") && keys.contains(&"ttl.mode"),
            "{keys:?}"
        );
        assert!(keys.iter().all(|key| !key.contains("s2")), "{keys:?}");
    }
}
