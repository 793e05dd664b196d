//! What a check says: one line a finding, the cause first; pure.

use std::fmt;

use serde::Serialize;

/// How bad a finding is. The order is that of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is announced, or not to everybody.
    Failure,
    /// Everything is announced, but something is left out, or will stop working.
    Warning,
    /// It works.
    Ok,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failure => "FAIL",
            Self::Warning => "WARN",
            Self::Ok => "ok  ",
        })
    }
}

/// The part that a finding is about, in the order in which parts depend on each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The configuration itself.
    Configuration,
    /// The Teleport identity.
    Identity,
    /// The connection to Teleport.
    Teleport,
    /// What the identity may do.
    Rights,
    /// The connection to Slack, and the token.
    Slack,
    /// What the token may do.
    Scopes,
    /// Those who are told.
    Recipients,
    /// What is stored in Teleport.
    Records,
    /// Who would be told about a request.
    Routing,
    /// Messages that were sent to try.
    Delivery,
    /// The object's status in Kubernetes.
    Status,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::Identity => "identity",
            Self::Teleport => "teleport",
            Self::Rights => "rights",
            Self::Slack => "slack",
            Self::Scopes => "scopes",
            Self::Recipients => "recipients",
            Self::Records => "records",
            Self::Routing => "routing",
            Self::Delivery => "delivery",
            Self::Status => "status",
        })
    }
}

/// One thing that works or does not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub part: Part,
    /// What was found.
    pub message: String,
    /// What to do; empty when nothing is to be done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Finding {
    /// Something that works.
    pub fn ok(part: Part, message: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, part, message: message.into(), remedy: String::new() }
    }

    /// Something that may need attention.
    pub fn warning(part: Part, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, part, message: message.into(), remedy: remedy.into() }
    }

    /// Something that does not work.
    pub fn failure(part: Part, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Failure, part, message: message.into(), remedy: remedy.into() }
    }

    /// Something that does not work, from a line of the form `what is wrong; what to do`.
    pub fn failure_line(part: Part, line: &str) -> Self {
        let (message, remedy) = line.split_once("; ").unwrap_or((line, ""));
        Self::failure(part, message, remedy)
    }
}

/// As a person reads it: one line.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{} {:13} {}", self.severity, self.part.to_string(), line(&self.message))?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", line(&self.remedy)) }
    }
}

/// Everything that was found: failures first, each after what it depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Puts findings in order. Those of one part and severity stay in theirs.
    pub fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| (finding.severity, finding.part));
        Self { findings }
    }

    /// What was found.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// 0 when nothing fails; 1 when something is warned of, where that was asked for; 2 when something fails.
    pub fn exit_code(&self, fail_on_warning: bool) -> u8 {
        match self.findings.first().map(|finding| finding.severity) {
            Some(Severity::Failure) => 2,
            Some(Severity::Warning) if fail_on_warning => 1,
            _ => 0,
        }
    }

    /// For people: one line a finding.
    pub fn to_text(&self) -> String {
        self.findings.iter().fold(String::new(), |text, finding| text + &finding.to_string() + "\n")
    }

    /// For programs.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|json| format!("{json}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_stands_in_the_first_line() {
        let report = Report::new(vec![
            Finding::ok(Part::Configuration, "read"),
            Finding::failure(Part::Recipients, "#ops does not exist", "create it"),
            Finding::warning(Part::Identity, "expires soon", "renew it"),
            Finding::failure_line(Part::Identity, "auth.pem: the file is empty; make a\nnew one; or not"),
        ]);
        let text = report.to_text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "FAIL identity      auth.pem: the file is empty; make a new one; or not");
        assert_eq!(lines[1], "FAIL recipients    #ops does not exist; create it");
        assert!(lines[2].starts_with("WARN identity") && lines[3].starts_with("ok   configuration"), "{text}");
        assert_eq!(report.exit_code(false), 2);
    }

    #[test]
    fn warnings_fail_on_request_only() {
        let report = Report::new(vec![Finding::warning(Part::Scopes, "a", "b"), Finding::ok(Part::Slack, "c")]);
        assert_eq!((report.exit_code(false), report.exit_code(true)), (0, 1));
        assert_eq!(Report::new(vec![Finding::ok(Part::Slack, "c")]).exit_code(true), 0);
    }

    #[test]
    fn a_program_reads_severity_part_message_and_remedy() {
        let report = Report::new(vec![Finding::failure(Part::Slack, "a", "b"), Finding::ok(Part::Teleport, "c")]);
        let json: serde_json::Value = serde_json::from_str(&report.to_json().unwrap()).unwrap();
        let expected = serde_json::json!({"findings": [
            {"severity": "failure", "part": "slack", "message": "a", "remedy": "b"},
            {"severity": "ok", "part": "teleport", "message": "c"},
        ]});
        assert_eq!(json, expected);
    }
}
