//! The text form of the page: OpenMetrics, or Prometheus' older format for clients that understand only that. Pure.

use std::fmt::Write;

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue};

/// A text form of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    OpenMetrics,
    Prometheus,
}

impl Form {
    /// The form that the client prefers. OpenMetrics without a preference: only that one is a standard.
    pub fn wanted(headers: &HeaderMap) -> Form {
        let accepted: Vec<&str> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value: &HeaderValue| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .collect();
        let liking = |media_type| liking(&accepted, media_type);
        if liking(["text", "plain"]) > liking(["application", "openmetrics-text"]) {
            Form::Prometheus
        } else {
            Form::OpenMetrics
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The page, rendered as OpenMetrics, converted to this form.
    pub fn of(self, page: String) -> String {
        match self {
            Form::OpenMetrics => page,
            Form::Prometheus => older(&page),
        }
    }
}

/// Preference for a media type, in thousandths: the quality of the most specific range of `Accept` that matches.
fn liking(accepted: &[&str], [main, sub]: [&str; 2]) -> u32 {
    let fits = accepted.iter().filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next()?.to_ascii_lowercase();
        let closeness = match media.split_once('/')? {
            ("*", "*") => 0,
            (found, "*") if found == main => 1,
            (found, rest) if found == main && rest == sub => 2,
            _ => return None,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let quality = quality.map_or(Some(1.0), |text| text.trim().parse::<f32>().ok())?;
        Some((closeness, (quality.clamp(0.0, 1.0) * 1000.0) as u32))
    });
    // Of several equally specific ranges the highest quality counts: they differ in versions.
    fits.max().map_or(0, |(_, quality)| quality)
}

/// The older form gives a counter's family the name of its sample, and has neither units nor an end marker.
fn older(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    let mut help = None;
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let total = if kind == "counter" { "_total" } else { "" };
            if let Some((_, words)) = help.take().filter(|(of, _)| *of == name) {
                let _ = writeln!(text, "# HELP {name}{total} {words}");
            }
            let _ = writeln!(text, "# TYPE {name}{total} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_is_liked_better() {
        use Form::{OpenMetrics, Prometheus};
        // `Accept` of Prometheus 2.42, and of newer versions or with feature flags.
        let usual = "application/openmetrics-text; version=1.0.0,application/openmetrics-text; version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let newer = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                     text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, form) in [
            (&[][..], OpenMetrics),
            (&["*/*"], OpenMetrics),
            (&[""], OpenMetrics),
            (&[usual], OpenMetrics),
            (&[newer], OpenMetrics),
            (&["text/plain"], Prometheus),
            (&["TEXT/Plain; version=0.0.4"], Prometheus),
            (&["text/*"], Prometheus),
            (&["text/plain;q=0.5,*/*;q=0.1"], Prometheus),
            (&["text/plain;q=0.1,*/*;q=0.5"], OpenMetrics),
            (
                &["text/plain;q=0.3", "application/openmetrics-text;q=0.2"],
                Prometheus,
            ),
            (
                &["application/openmetrics-text;q=0, text/plain"],
                Prometheus,
            ),
            (&["text/plain;q=0"], OpenMetrics),
            (&["text/html,application/xml;q=0.9,*/*;q=0.8"], OpenMetrics),
            (&["application/json"], OpenMetrics),
            (&["text/plain;q=much"], OpenMetrics),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Form::wanted(&headers), form, "{accept:?}");
        }
    }

    #[test]
    fn the_older_form() {
        let page = "# HELP a Help\n# TYPE a counter\na_total 1\n# HELP b_seconds More help\n# TYPE b_seconds gauge\n\
                    # UNIT b_seconds seconds\nb_seconds{x=\"# y\"} 2\n# TYPE c histogram\nc_sum 1.0\n# EOF\n";
        let older = "# HELP a_total Help\n# TYPE a_total counter\na_total 1\n# HELP b_seconds More help\n\
                     # TYPE b_seconds gauge\nb_seconds{x=\"# y\"} 2\n# TYPE c histogram\nc_sum 1.0\n";
        assert_eq!(Form::Prometheus.of(page.to_owned()), older);
        assert_eq!(Form::OpenMetrics.of(page.to_owned()), page);
    }
}
