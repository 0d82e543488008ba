//! Reads the sources into a [`Config`]: flags override the environment, which overrides the file, which overrides the
//! defaults. All problems are reported at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::layer::Layer;
use super::origins::Origins;
use super::problem::{Origin, Problem, ProblemKind, Reading};
use super::value::{ConfigValue, ValueData};
use super::{Config, check, document, env, keys, show};

/// The sources of a configuration. Apart from these only the password files that they name are read. Not `Debug`,
/// because it holds passwords as they were written.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file, if there is one.
    pub file: Option<SourceFile>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The flags.
    pub flags: CommandLine,
}

/// A configuration file that was read.
#[derive(Clone)]
pub struct SourceFile {
    /// Its path as messages show it. Relative paths of `file:` start in its folder.
    pub name: String,
    /// Its content.
    pub text: String,
}

/// The settings that flags give, as they were typed.
#[derive(Clone, Default)]
pub struct CommandLine {
    /// `--listen`, each perhaps a comma list.
    pub listen: Vec<String>,
    /// `--upstream`, each perhaps a comma list.
    pub upstream: Vec<String>,
    /// `--workers`
    pub workers: Option<String>,
    /// `--admin`
    pub admin: Option<String>,
}

impl Sources {
    /// The process environment, the flags, and the file that `--config` or else `SLOTMUX_CONFIG` names.
    pub fn gather(config: Option<&Path>, flags: CommandLine) -> Result<Sources, Problem> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let env: BTreeMap<_, _> = std::env::vars_os()
            .map(|(name, value)| (text(name), text(value)))
            .collect();
        let named = match (config, env::get(&env, env::CONFIG)) {
            (Some(path), _) => Some((path.to_owned(), Origin::Flag("--config"))),
            (None, Some(path)) => Some((PathBuf::from(path), Origin::Variable(env::CONFIG.into()))),
            (None, None) => None,
        };
        let file = named
            .map(|(path, origin)| SourceFile::read(&path, origin))
            .transpose()?;
        Ok(Sources { file, env, flags })
    }
}

impl SourceFile {
    /// Reads a file that `origin` named.
    pub fn read(path: &Path, origin: Origin) -> Result<SourceFile, Problem> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(SourceFile { name, text }),
            Err(error) => Err(Problem {
                origin,
                text: format!("cannot read {name}: {error}"),
                kind: ProblemKind::Other,
            }),
        }
    }
}

/// A configuration with its origins and warnings.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The values in force.
    pub config: Config,
    /// The origin of each value.
    pub origins: Origins,
    /// Warnings about what is allowed, to be logged at the start.
    pub warnings: Vec<Problem>,
}

/// Makes the configuration, or returns all of its problems.
pub fn load(sources: &Sources) -> Result<Config, Vec<Problem>> {
    load_with_origins(sources).map(|loaded| loaded.config)
}

/// Makes the configuration with the origin of each value.
pub fn load_with_origins(sources: &Sources) -> Result<LoadedConfig, Vec<Problem>> {
    let mut draft = Draft::new();
    let mut reading = Reading::new();
    let mut is_whole = true;
    if let Some(file) = &sources.file {
        let root;
        (root, is_whole) = document::parse(&file.name, &file.text, &sources.env, &mut reading);
        reading.folder = Path::new(&file.name)
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default();
        reading.fallback = root.origin.clone();
        keys::apply(&mut draft, &root, &mut reading);
        reading.folder = PathBuf::new();
    }
    for layer in [
        env::named(&sources.env, &mut reading),
        env::generic(&sources.env, &mut reading),
        sources.flags.layer(),
    ] {
        keys::apply(&mut draft, &layer, &mut reading);
    }
    let defaults = draft.defaults.ttl.clone();
    let mut config = draft.finish(&sources.env, is_whole, &mut reading);
    env::default_password(&mut config, &sources.env, &mut reading);
    env::cap_connections(&mut config, &sources.env, &mut reading);
    // After a syntax error the checks would report contradictions that the file does not have.
    if is_whole {
        check::check(&config, &defaults, &mut reading);
    }
    if !reading.is_clean() {
        return Err(reading.into_problems());
    }
    check::warn(&config, &mut reading);
    Ok(LoadedConfig {
        origins: Origins::new(&show::lines(&config), &reading),
        config,
        warnings: reading.into_warnings(),
    })
}

impl CommandLine {
    fn layer(&self) -> ConfigValue {
        let mut layer = Layer::new();
        let mut add_list = |key: &str, flag: &'static str, texts: &[String]| {
            let word = |text: &String| ConfigValue {
                key: key.to_owned(),
                origin: Origin::Flag(flag),
                data: ValueData::Word(text.clone()),
            };
            if !texts.is_empty() {
                layer.add(
                    key,
                    Origin::Flag(flag),
                    ValueData::List(texts.iter().map(word).collect()),
                );
            }
        };
        add_list("listener.bind", "--listen", &self.listen);
        add_list("cluster.seeds", "--upstream", &self.upstream);
        for (key, flag, text) in [
            ("server.workers", "--workers", &self.workers),
            ("admin.bind", "--admin", &self.admin),
        ] {
            if let Some(text) = text {
                layer.add(key, Origin::Flag(flag), ValueData::Word(text.clone()));
            }
        }
        layer.into_value()
    }
}
