//! Reads `CLUSTER NODES`: one node's view of the whole cluster.

/// One line of `CLUSTER NODES`: a node's view of another node, or of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewLine {
    /// The name of the node that the line is about.
    pub id: String,
    /// Redis' flags, comma separated: `myself,master`, `slave,fail?`...
    pub flags: String,
    /// Its primary, if it is a replica.
    pub primary: Option<String>,
    /// Its config epoch.
    pub epoch: u64,
    /// First and last slot of each range that it owns.
    pub ranges: Vec<(u16, u16)>,
}

impl ViewLine {
    /// Whether the node owns this slot.
    pub fn owns(&self, slot: u16) -> bool {
        self.ranges
            .iter()
            .any(|&(first, last)| (first..=last).contains(&slot))
    }

    /// Whether the node is failing, suspected of it, or not yet properly met.
    pub fn is_troubled(&self) -> bool {
        self.flags
            .split(',')
            .any(|flag| matches!(flag, "fail" | "fail?" | "handshake" | "noaddr"))
    }

    /// Parses one line; `None` if it is not a view line.
    pub fn parse(line: &str) -> Option<ViewLine> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [
            id,
            _address,
            flags,
            primary,
            _ping,
            _pong,
            epoch,
            _link,
            slots @ ..,
        ] = fields.as_slice()
        else {
            return None;
        };
        let range = |text: &&str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            // A moving slot is written [SLOT->-ID], which is not a number.
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        Some(ViewLine {
            id: (*id).to_owned(),
            flags: (*flags).to_owned(),
            primary: (*primary != "-").then(|| (*primary).to_owned()),
            epoch: epoch.parse().ok()?,
            ranges: slots.iter().filter_map(range).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_line_is_read_whole() {
        let line = "07c3 127.0.0.1:30004@31004,host slave,fail? e7d1 0 1426238317239 4 connected";
        let replica = ViewLine::parse(line).expect("a line");
        assert_eq!(
            (
                replica.id.as_str(),
                replica.primary.as_deref(),
                replica.epoch
            ),
            ("07c3", Some("e7d1"), 4)
        );
        assert!(replica.is_troubled() && replica.ranges.is_empty());

        let line = "e7d1 127.0.0.1:30001@31001 myself,master,nofailover - 0 0 1 connected 0-5460 5462 [5461->-07c3]";
        let primary = ViewLine::parse(line).expect("a line");
        assert_eq!(primary.ranges, [(0, 5460), (5462, 5462)]);
        assert!(
            primary.owns(5462)
                && !primary.owns(5461)
                && primary.primary.is_none()
                && !primary.is_troubled()
        );
        assert_eq!(ViewLine::parse("short line"), None);
    }
}
