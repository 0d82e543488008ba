//! INFO: the sections and fields of the nodes' own replies, merged by rules, with slotmux' values of the fields that are about
//! the process that clients see, and slotmux' own section.

use super::fields::{FieldRule, is_pairs, merged_pairs, of, rule};
use super::text_like;
use crate::c_string;
use crate::resp::text_of;

/// A section: its title and its fields. A field may come more than once, as those of modules do.
struct FieldSection<'a> {
    title: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

/// slotmux' own INFO, twice, and how far the nodes choose.
#[derive(Clone, Debug, Default)]
pub struct OwnInfo {
    /// The reply as slotmux alone would give it: the requested sections.
    pub asked: Vec<u8>,
    /// The reply with all of its sections, for the values of own fields in the nodes' sections.
    pub everything: Vec<u8>,
    /// Which of the nodes' sections the reply has.
    pub sections: SectionChoice,
}

/// The choice among the nodes' sections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SectionChoice {
    /// All of their replies: they got the request as it is.
    #[default]
    OfNodes,
    /// Those with these titles: the nodes were asked for everything.
    Titles(Vec<String>),
}

impl SectionChoice {
    /// The sections of a reply.
    pub fn titles_of(reply: &[u8]) -> SectionChoice {
        let sections = sections(text(reply).unwrap_or_default());
        let titles = sections.iter().map(|section| section.title.to_owned());
        SectionChoice::Titles(titles.collect())
    }

    fn has(&self, title: &str) -> bool {
        match self {
            SectionChoice::OfNodes => true,
            SectionChoice::Titles(titles) => titles.iter().any(|other| other == title),
        }
    }
}

/// As [`merged`], for an INFO with these arguments, if the nodes were asked for `everything`, and for their sections by
/// `default`.
pub fn merged_some<'r>(
    own: &OwnInfo,
    arguments: impl Iterator<Item = &'r [u8]>,
    everything: &[Vec<u8>],
    default: &[Vec<u8>],
    out: &mut Vec<u8>,
) {
    let arguments: Vec<&[u8]> = arguments.collect();
    let asks = |name: &str| {
        arguments
            .iter()
            .any(|argument| c_string::is(argument, name.as_bytes()))
    };
    let shown = match arguments.is_empty() || asks("default") {
        true => titles_in(default),
        false => Vec::new(),
    };
    let is_asked = |title: &&str| {
        let name = title.to_ascii_lowercase();
        // `cluster_info` and `scriptingengines` are titles of two words.
        asks("all")
            || asks("everything")
            || shown.contains(title)
            || ["_", "", " "]
                .iter()
                .any(|space| asks(&name.replace(' ', space)))
    };
    let titles = titles_in(everything).into_iter().filter(is_asked);
    let own = OwnInfo {
        sections: SectionChoice::Titles(titles.map(str::to_owned).collect()),
        ..own.clone()
    };
    merged(&own, everything, out);
}

/// The title of slotmux' own section.
const SLOTMUX: &str = "Slotmux";

/// Fields of slotmux' own section that are sums, each with the field of the nodes' shown sections that is summed.
const OF_NODES: [(&str, &str); 2] = [
    (
        "slotmux_nodes_commands_processed",
        "total_commands_processed",
    ),
    ("slotmux_nodes_ops_per_sec", "instantaneous_ops_per_sec"),
];

/// Appends the reply; a part that is an error has no figures. The nodes decide which sections were asked for. If a node's
/// figures are missing, the reply says so even if slotmux' own section was not requested; if all are missing, it has the
/// sections of slotmux alone.
pub fn merged(own: &OwnInfo, parts: &[Vec<u8>], out: &mut Vec<u8>) {
    let texts: Vec<&str> = parts.iter().filter_map(|part| text(part)).collect();
    let nodes: Vec<Vec<FieldSection>> = texts.iter().map(|text| sections(text)).collect();
    let asked = sections(text(&own.asked).unwrap_or_default());
    let everything = sections(text(&own.everything).unwrap_or_default());
    let mut made = String::new();
    let titles: Vec<&str> = match nodes.is_empty() {
        true => asked.iter().map(|section| section.title).collect(),
        false => titles(&nodes),
    };
    let is_asked =
        |title: &&str| *title != SLOTMUX && (nodes.is_empty() || own.sections.has(title));
    for title in titles.into_iter().filter(is_asked) {
        let section = everything.iter().find(|section| section.title == title);
        let ours = section.map_or(&[][..], |section| &section.fields);
        let theirs = nodes.iter().filter_map(|sections| {
            let mut sections = sections.iter();
            sections.find(|section| section.title == title)
        });
        begin(&mut made, title);
        for (field, value) in fields(title, ours, &theirs.collect::<Vec<_>>()) {
            line(&mut made, field, &value);
        }
    }
    let is_whole = nodes.len() == parts.len();
    let ours = asked.iter().find(|section| section.title == SLOTMUX);
    if ours.is_some() || !is_whole {
        begin(&mut made, SLOTMUX);
        for (field, value) in ours.iter().flat_map(|section| &section.fields) {
            line(&mut made, field, value);
        }
        line(&mut made, "slotmux_nodes_asked", &parts.len().to_string());
        line(
            &mut made,
            "slotmux_nodes_answered",
            &nodes.len().to_string(),
        );
        for (field, theirs) in OF_NODES {
            let shown = nodes.iter().flatten();
            let shown = shown.filter(|section| own.sections.has(section.title));
            let fields = shown.flat_map(|section| &section.fields);
            let values = fields.filter(|(name, _)| *name == theirs);
            let values: Vec<&str> = values.map(|(_, value)| *value).collect();
            if !values.is_empty() {
                line(&mut made, field, &of(FieldRule::Sum, &values));
            }
        }
    }
    text_like(&own.asked, &made, out);
}

/// The titles of the sections in all replies, in their order.
fn titles_in(replies: &[Vec<u8>]) -> Vec<&str> {
    let texts = replies.iter().filter_map(|reply| text(reply));
    titles(&texts.map(sections).collect::<Vec<_>>())
}

/// The titles of all nodes' sections, in their order.
fn titles<'a>(nodes: &[Vec<FieldSection<'a>>]) -> Vec<&'a str> {
    let mut titles = Vec::new();
    for section in nodes.iter().flatten() {
        if !titles.contains(&section.title) {
            titles.push(section.title);
        }
    }
    titles
}

fn begin(text: &mut String, title: &str) {
    if !text.is_empty() {
        text.push_str("\r\n");
    }
    text.push_str(&format!("# {title}\r\n"));
}

fn line(text: &mut String, field: &str, value: &str) {
    text.push_str(&format!("{field}:{value}\r\n"));
}

fn text(reply: &[u8]) -> Option<&str> {
    if reply.first() == Some(&b'-') {
        return None;
    }
    std::str::from_utf8(text_of(reply)?).ok()
}

fn sections(text: &str) -> Vec<FieldSection<'_>> {
    let mut sections: Vec<FieldSection> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("# ") {
            sections.push(FieldSection {
                title,
                fields: Vec::new(),
            });
        } else if let (Some(section), Some(field)) = (sections.last_mut(), line.split_once(':')) {
            section.fields.push(field);
        }
    }
    sections
}

/// The fields of one section; `own` are slotmux' fields of it.
fn fields<'a>(
    title: &str,
    own: &[(&'a str, &'a str)],
    nodes: &[&FieldSection<'a>],
) -> Vec<(&'a str, String)> {
    let told = |fields: &[(&'a str, &'a str)]| -> Vec<(&'a str, String)> {
        let told = fields.iter();
        told.map(|&(name, value)| (name, value.to_owned()))
            .collect()
    };
    let Some(first) = nodes.first() else {
        return told(own);
    };
    // The modules of the first node: the nodes of an intact cluster have the same ones.
    if title == "Modules" {
        return told(&first.fields);
    }
    let theirs = names(nodes);
    let is_shown = |name: &str| title != "Replication" || !is_of_links(name);
    let mut merged: Vec<(&str, String)> = Vec::new();
    for &name in theirs.iter().filter(|name| is_shown(name)) {
        if is_listener(name) {
            // slotmux lists all of its own listeners, however many a node has.
            if !merged.iter().any(|(other, _)| is_listener(other)) {
                merged.extend(told(own).into_iter().filter(|(own, _)| is_listener(own)));
            }
        } else if let Some(value) = merged_field(title, own, nodes, name) {
            merged.push((name, value));
        }
    }
    merged
}

/// The names of all nodes' fields, in their order.
fn names<'a>(nodes: &[&FieldSection<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for (name, _) in nodes.iter().flat_map(|section| &section.fields) {
        if !names.contains(name) {
            names.push(*name);
        }
    }
    names
}

/// The nodes' values of one field.
fn values<'a>(nodes: &[&FieldSection<'a>], name: &str) -> Vec<&'a str> {
    let fields = nodes.iter().flat_map(|section| &section.fields);
    let fields = fields.filter(|(other, _)| *other == name);
    fields.map(|(_, value)| *value).collect()
}

/// Whether a field of Replication is about the links of one node, which clients must not follow past slotmux.
fn is_of_links(name: &str) -> bool {
    let is_link = name.starts_with("slave") || name.starts_with("master_");
    is_link && name != "master_repl_offset" && rule("Replication", name) != FieldRule::Own
}

/// Whether a field of Server is an address that the process listens on: `listener0` and so on.
fn is_listener(name: &str) -> bool {
    let number = name.strip_prefix("listener");
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Merges one field. `None`: it is slotmux' own, and slotmux has no value for it.
fn merged_field(
    title: &str,
    own: &[(&str, &str)],
    nodes: &[&FieldSection],
    name: &str,
) -> Option<String> {
    if let Some(bytes) = name.strip_suffix("_human")
        && let Some(bytes) = merged_field(title, own, nodes, bytes)
    {
        return Some(crate::answer::human(bytes.parse().unwrap_or(0)));
    }
    let sum = |name: &str| {
        let values = self::values(nodes, name);
        let numbers = values.iter().filter_map(|value| value.parse::<f64>().ok());
        (!values.is_empty()).then(|| numbers.sum::<f64>())
    };
    let values = self::values(nodes, name);
    match rule(title, name) {
        FieldRule::Own => {
            let found = own.iter().find(|(other, _)| *other == name);
            let value = found.map(|(_, value)| (*value).to_owned());
            // The one node that clients of a cluster see has no links to others.
            let is_number = values.iter().all(|value| value.parse::<f64>().is_ok());
            value.or_else(|| {
                (is_number && !own.is_empty() && title == "Cluster Info").then(|| "0".to_owned())
            })
        }
        FieldRule::Ratio { part, whole, less } => {
            let whole = sum(whole)? - less.map_or(Some(0.0), sum)?;
            let ratio = sum(part)? / whole.max(1.0);
            Some(match name.ends_with("_perc") {
                true => format!("{:.2}%", 100.0 * ratio),
                false => format!("{ratio:.2}"),
            })
        }
        _ if values.iter().all(|value| is_pairs(value)) => Some(merged_pairs(&values)),
        rule => (!values.is_empty()).then(|| of(rule, &values)),
    }
}

#[cfg(test)]
mod tests;
