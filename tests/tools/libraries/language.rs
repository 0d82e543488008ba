//! The languages that a machine may lack: scripts/test-languages has built their programs, or noted the reason why not.

use std::fs;
use std::path::{Path, PathBuf};

use super::report;
use super::tool::{HOW, Tool, source, tools};

/// A folder of programs.
#[derive(Clone, Copy)]
pub enum Language {
    Go,
    Java,
    Php,
    Ruby,
    C,
    Csharp,
}

impl Language {
    fn folder(self) -> &'static str {
        match self {
            Language::Go => "go",
            Language::Java => "java",
            Language::Php => "php",
            Language::Ruby => "ruby",
            Language::C => "c",
            Language::Csharp => "csharp",
        }
    }

    /// Whether its programs can be run; if not, the report of the run says why this one is missing.
    #[track_caller]
    pub fn has(self, program: &str) -> bool {
        let built = tools().join(self.folder());
        if let Ok(reason) = fs::read_to_string(built.join("skipped")) {
            report::skipped(program, reason.trim_end());
            return false;
        }
        let stamp = fs::read(built.join("stamp")).unwrap_or_default();
        assert!(
            stamp == self.sources(),
            "the programs of tests/tools/libraries/{} are not built, or not from these sources: {HOW}",
            self.folder()
        );
        true
    }

    /// All files of the folder in the order of their names.
    fn sources(self) -> Vec<u8> {
        let entries = fs::read_dir(source(self.folder())).expect("its folder");
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
        paths.sort();
        let read = |path: &PathBuf| fs::read(path).expect("a source");
        paths.iter().flat_map(read).collect()
    }

    /// One of its programs, which [`Language::has`].
    pub fn tool(self, program: &str) -> Tool {
        let built = tools().join(self.folder());
        let script = |ending: &str| {
            source(&format!("{}/{program}.{ending}", self.folder())).into_os_string()
        };
        match self {
            Language::Go => Tool::new(program, built.join("programs"), &[Path::new(program)]),
            Language::Java => java(program, &built),
            Language::Php => Tool::new(program, "php", &[Path::new(&script("php"))]),
            Language::Ruby => Tool::new(program, "ruby", &[Path::new(&script("rb"))]),
            Language::C => Tool::new(program, built.join(program), &[]),
            Language::Csharp => {
                let assembly = built.join(format!("{program}.exe"));
                Tool::new(program, "mono", &[&assembly]).env("LC_ALL", "C.UTF-8")
            }
        }
    }
}

fn java(class: &str, built: &Path) -> Tool {
    let path = format!("{0}/classes:{0}/lib/*", built.display());
    Tool::new(class, "java", &[])
        // A short run: nothing is worth to be optimized. Libraries that log go to a logger without a target.
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"])
        .args([
            "-Djava.util.logging.config.file=/dev/null",
            "-cp",
            &path,
            class,
        ])
        // It decodes its arguments by the locale.
        .env("LC_ALL", "C.UTF-8")
}
