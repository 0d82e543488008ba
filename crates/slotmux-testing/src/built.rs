//! The programs of the workspace, as cargo built them for the running test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The root of the workspace.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The path of `slotmux`, which cargo builds before it runs an integration test of its package.
pub fn slotmux() -> PathBuf {
    program("slotmux")
}

/// The path of `slotmux-bench` or `slotmux-ledger`, built as these tests are and from the same sources.
pub fn load_tool(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet"]);
        if cfg!(debug_assertions) {
            // The same selection as `cargo test --workspace`, after which everything is already built. Other packages
            // would get their dependencies with other features, and build them twice.
            build.args(["--workspace", "--bins", "--tests"]);
        } else {
            build.args(["--package", "slotmux-load", "--release"]);
        }
        let status = build.current_dir(ROOT).status();
        assert!(
            status.expect("cargo").success(),
            "slotmux-load does not build"
        );
    });
    program(name)
}

/// Test programs are in `deps` below the folder of their profile, other programs in the folder itself.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test program");
    let folder = test.parent().and_then(Path::parent);
    folder.expect("the folder of the profile").join(name)
}
