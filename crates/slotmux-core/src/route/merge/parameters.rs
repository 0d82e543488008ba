//! CONFIG GET: slotmux' own parameters, about client connections, merged with a node's, about the data.

use super::map_like;
use crate::parameters::{ParameterClass, class_of};
use crate::resp::{pairs_of, text_of, write};

/// Appends the parameters: first slotmux' own, then the node's. Private ones only if `shows_private`, that is if the
/// client administers the nodes. Returns whether the reply is an error.
pub fn merged(own: &[u8], node: &[u8], shows_private: bool, out: &mut Vec<u8>) -> bool {
    // slotmux itself may have refused the request, for example for too many patterns.
    if own.first() == Some(&b'-') {
        out.extend_from_slice(own);
        return true;
    }
    if node.first() == Some(&b'-') {
        write::error(out, &failed(node));
        return true;
    }
    let (Some(mut settings), Some(theirs)) = (pairs_of(own), pairs_of(node)) else {
        write::error(out, "ERR slotmux: the node's reply is no list of settings");
        return true;
    };
    settings.extend(theirs.into_iter().filter(|(name, _)| {
        text_of(name).is_some_and(|name| match class_of(name) {
            ParameterClass::Data | ParameterClass::Guarded(_) | ParameterClass::Unknown => true,
            ParameterClass::Private(_) => shows_private,
            ParameterClass::Own | ParameterClass::Secret(_) => false,
        })
    }));
    map_like(own, settings.len(), out);
    for (name, value) in settings {
        out.extend_from_slice(name);
        out.extend_from_slice(value);
    }
    false
}

/// The error for a node's error: some nodes forbid CONFIG to the upstream user, or have renamed it.
fn failed(node: &[u8]) -> String {
    let said = String::from_utf8_lossy(node.strip_prefix(b"-").unwrap_or(node));
    let said = said.trim_end();
    if said.starts_with("NOPERM") || said.starts_with("ERR unknown command") {
        return format!(
            "ERR slotmux: these settings are the nodes', and they do not let slotmux read them (its user there needs \
             +config|get): {said}"
        );
    }
    said.to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::reply;
    use super::*;

    fn told(own: &str, node: &str, shows_private: bool) -> (bool, String) {
        let mut out = Vec::new();
        let is_error = merged(own.as_bytes(), node.as_bytes(), shows_private, &mut out);
        (is_error, String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_setting_is_told_by_whose_it_is() {
        let own = "{port 1 timeout x}";
        let node = "{port 7 Maxmemory 9 unixsocket u dir d hz 10 requirepass p MasterAuth a tls-key-file-pass t new 5}";
        for is_resp3 in [false, true] {
            for (shows_private, dir) in [(true, "dir d "), (false, "")] {
                let (own, node) = (reply(own, is_resp3), reply(node, is_resp3));
                let expected = format!("{{port 1 timeout x Maxmemory 9 {dir}hz 10 new 5}}");
                let expected = (false, reply(&expected, is_resp3));
                assert_eq!(told(&own, &node, shows_private), expected);
            }
        }
    }

    #[test]
    fn an_error_is_an_error() {
        let kept = "-ERR slotmux: these settings are the nodes', and they do not let slotmux read them (its user there \
                    needs +config|get): ";
        for (own, node, expected) in [
            ("-ERR own\r\n", "*0\r\n", "-ERR own\r\n".to_owned()),
            ("*0\r\n", "-LOADING x\r\n", "-LOADING x\r\n".to_owned()),
            ("*0\r\n", "-NOPERM x\r\n", format!("{kept}NOPERM x\r\n")),
            (
                "*0\r\n",
                "-ERR unknown command 'CONFIG', x\r\n",
                format!("{kept}ERR unknown command 'CONFIG', x\r\n"),
            ),
            (
                "*0\r\n",
                "+OK\r\n",
                "-ERR slotmux: the node's reply is no list of settings\r\n".to_owned(),
            ),
        ] {
            assert_eq!(told(own, node, true), (true, expected));
        }
    }
}
