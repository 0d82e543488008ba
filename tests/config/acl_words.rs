//! Passwords in the syntax of ACL files: refused with a hint at the right spelling, in every place, and never repeated.

use slotmux_core::config::load;

use crate::binary::slotmux;
use crate::{CLUSTER, lines, loaded, sources};

const DIGEST: &str = "1b58ee375b42e41f0e48ef2ff27d10a5b1f6924a9acdcdba7cae868e7adce6bf";

/// The problems of a file and variables, one line each.
fn said(file: &str, env: &[(&str, &str)]) -> Vec<String> {
    load(&sources(file, env)).map_or_else(|problems| lines(&problems), |_| Vec::new())
}

#[test]
fn acl_syntax_in_passwords_of_users_is_refused() {
    let hash = format!("#{DIGEST}");
    for (password, key) in [
        (hash.as_str(), "sha256:"),
        ("#hush", "sha256:"),
        (">hush", "leave it out"),
        ("nopass", "sha256:"),
        ("on >hush ~* +@all", "sha256:"),
        ("user app on >hush ~* +@all", "sha256:"),
    ] {
        let file =
            format!("{CLUSTER}[[user]]\nname = \"app\"\npasswords = [\"a\", \"{password}\"]\n");
        let found = said(&file, &[]);
        assert_eq!(found.len(), 1, "{password}: {found:?}");
        assert!(
            found[0].starts_with("f.toml:5:19: user.passwords: "),
            "{found:?}"
        );
        assert!(found[0].contains(key), "{found:?}");
        assert!(
            !found[0].contains("hush") && !found[0].contains(DIGEST),
            "{found:?}"
        );

        let by_variable = format!("{CLUSTER}[[user]]\nname = \"app\"\npasswords = \"${{WORD}}\"\n");
        for (file, variable) in [
            (by_variable.as_str(), "WORD"),
            (CLUSTER, "SLOTMUX_PASSWORD"),
        ] {
            let found = said(file, &[(variable, password)]);
            assert!(
                found.len() == 1 && found[0].contains(key),
                "{variable}: {found:?}"
            );
        }
    }
}

#[test]
fn a_password_file_is_checked_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    let secret = secret.to_str().expect("a path");
    std::fs::write(secret, format!("#{DIGEST}\n")).expect("written");
    let found = said(
        &format!("{CLUSTER}[[user]]\nname = \"app\"\npasswords = \"file:{secret}\"\n"),
        &[],
    );
    assert!(
        found.len() == 1 && found[0].contains("sha256:"),
        "{found:?}"
    );
    // The upstream's password is the content of the file: such a password has no other spelling.
    loaded(&format!("{CLUSTER}password = \"file:{secret}\"\n"), &[]);
}

#[test]
fn a_password_that_begins_like_acl_syntax_has_another_spelling() {
    // The hash of any password can replace it.
    let file = format!("{CLUSTER}[[user]]\nname = \"app\"\npasswords = \"sha256:{DIGEST}\"\n");
    let config = loaded(&file, &[]);
    assert!(config.users[0].passwords[0].matches(b"foobared"));
    // A random token may look like a hash.
    let file = format!("{CLUSTER}[[user]]\nname = \"app\"\npasswords = \"{DIGEST}\"\n");
    assert!(loaded(&file, &[]).users[0].passwords[0].matches(DIGEST.as_bytes()));
    for password in ["!hush", "<hush", "~hush", "on the road"] {
        let file = format!("{CLUSTER}[[user]]\nname = \"app\"\npasswords = \"{password}\"\n");
        let config = loaded(&file, &[]);
        assert!(config.users[0].passwords[0].matches(password.as_bytes()));
    }
}

#[test]
fn a_hash_as_upstream_password_is_refused() {
    for password in [
        format!("#{DIGEST}"),
        format!("sha256:{DIGEST}"),
        "nopass".to_owned(),
    ] {
        let found = said(&format!("{CLUSTER}password = \"{password}\"\n"), &[]);
        assert!(
            found.len() == 1 && found[0].starts_with("f.toml:3:12: cluster.password: "),
            "{found:?}"
        );
        assert!(found[0].contains("file:PATH"), "{found:?}");
        let found = said(CLUSTER, &[("REDIS_PASSWORD", &password)]);
        assert!(found.len() == 1 && !found[0].contains(DIGEST), "{found:?}");
    }
    for password in [">hush", "#hush", DIGEST] {
        let config = loaded(CLUSTER, &[("REDIS_PASSWORD", password)]);
        assert_eq!(config.cluster.passwords[0].reveal(), password);
    }
}

#[test]
fn check_finds_them_with_their_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("f.toml");
    let file = path.to_str().expect("a path");
    let check = |text: &str| {
        std::fs::write(&path, text).expect("written");
        let output = slotmux(&["check", file], &[]);
        let said = String::from_utf8(output.stderr).expect("text");
        (output.status.code(), said)
    };
    let user = "[[user]]\nname = \"app\"\n";
    let (status, said) = check(&format!("{user}passwords = [\"#{DIGEST}\"]\n{CLUSTER}"));
    assert_eq!(status, Some(1));
    assert!(
        said.starts_with(&format!("{file}:3:14: user.passwords: ")),
        "{said}"
    );
    // A password that may be valid causes a warning.
    let (status, said) = check(&format!("{CLUSTER}password = \">hush\"\n"));
    assert_eq!(status, Some(0), "{said}");
    assert!(
        said.starts_with(&format!("{file}:3:12: warning: cluster.password: ")),
        "{said}"
    );
    assert!(!said.contains("hush"), "{said}");
}
