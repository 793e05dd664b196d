//! The file as users write it: what is accepted, what is said, and where.

use std::path::Path;

use crate::config::recipient::Recipient;
use crate::config::*;
use crate::telemetry::{Format, Output};

const GUIDE: &str = r#"
[teleport]
addr = "localhost:3025"
client_key = "/var/lib/teleport/plugins/slack/auth.key" # Teleport GRPC client secret key
client_crt = "/var/lib/teleport/plugins/slack/auth.crt" # Teleport GRPC client certificate
root_cas = "/var/lib/teleport/plugins/slack/auth.cas"   # Teleport cluster CA certs

[slack]
token = "xoxb-11xx"

[role_to_recipients]
"*" = "admin-slack-channel"
"dev" = ["dev-slack-channel", "admin-slack-channel"]
"dba" = "alice@example.com"

[log]
output = "stderr" # Logger output. Could be "stdout", "stderr" or "/var/lib/teleport/slack.log"
severity = "INFO" # Logger severity. Could be "INFO", "ERROR", "DEBUG" or "WARN".
"#;

const MINIMAL: &str =
    "[teleport]\nidentity = \"/id\"\n[slack]\ntoken = \"xoxb-1\"\n[role_to_recipients]\n\"*\" = \"ops\"\n";

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, Error> {
    let environment =
        Environment::from_pairs(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Config::parse("slack.toml", text, Wildcard::Required, &environment)
}

fn parse(text: &str) -> Result<Loaded, Error> {
    parse_with(text, &[])
}

fn config(text: &str) -> Config {
    let loaded = parse(text).unwrap();
    assert_eq!(loaded.warnings, [], "{text}");
    loaded.config
}

fn error(text: &str) -> String {
    let error = parse(text).unwrap_err().to_string();
    assert!(!error.contains('\n'), "one line: {error}");
    error
}

fn warnings(text: &str) -> Vec<String> {
    parse(text).unwrap().warnings.iter().map(ToString::to_string).collect()
}

/// `MINIMAL` with another line in one of its sections.
fn with(section: &str, line: &str) -> String {
    if MINIMAL.contains(section) {
        MINIMAL.replace(section, &format!("{section}\n{line}"))
    } else {
        format!("{MINIMAL}{section}\n{line}\n")
    }
}

#[test]
fn the_guides_file_is_read_without_a_word() {
    let config = config(GUIDE);
    assert_eq!(config.teleport.addr, "localhost:3025");
    let IdentitySource::Files(Credentials::TlsFiles { certificate, key, cas }) = &config.teleport.credentials else {
        panic!("{:?}", config.teleport.credentials)
    };
    assert_eq!(certificate, Path::new("/var/lib/teleport/plugins/slack/auth.crt"));
    assert_eq!(key, Path::new("/var/lib/teleport/plugins/slack/auth.key"));
    assert_eq!(cas, Path::new("/var/lib/teleport/plugins/slack/auth.cas"));
    assert_eq!(config.slack.token, TokenSource::Inline("xoxb-11xx".into()));
    assert_eq!(config.role_to_recipients.select(&["dba"], &[] as &[&str]).recipients.len(), 1);
    assert_eq!(config.role_to_recipients.select(&["dev"], &[] as &[&str]).recipients.len(), 2);
}

#[test]
fn what_is_left_out_has_the_official_plugins_default() {
    let config = config(MINIMAL);
    assert_eq!(config.teleport.addr, "localhost:3025");
    assert_eq!(config.teleport.plugin_name, "slack");
    assert_eq!(config.slack.api_url, "https://slack.com/api/");
    assert_eq!(config.log, Log { output: Output::Stderr, severity: Severity::Info, format: Format::Text });
    assert_eq!(config.diag_addr, None);
    assert_eq!(config.kubernetes, None);
}

#[test]
fn a_rendered_configuration_is_read_back_as_the_same() {
    let full = with(
        "[teleport]",
        "ca_bundle = \"/ca.pem\"\nplugin_name = \"other\"\nuser = \"plugin\"\naddr = \"[::1]:443\"",
    )
    .replace(
        "\"xoxb-1\"",
        "\"/run/token\"\napi_url = \"http://127.0.0.1:1/api\"\nca_bundle = \"/b.pem\"\nteam_id = \"T1\"",
    ) + "\"d\\\"b.a\" = [\"C024BE91L\", \"#x\", \"A@example.com\"]\n[log]\noutput = \"/a b.log\"\nformat = \"JSON\"\n\
           severity = \"warning\"\n[diag]\naddr = \"0.0.0.0:3000\"\n[kubernetes]\nnamespace = \"n\"\nname = \"m\"\n\
           uid = \"u\"\n";
    for text in [MINIMAL, GUIDE, &full] {
        let config = config(text);
        let rendered = config.to_toml().unwrap();
        assert_eq!(self::config(&rendered), config, "{rendered}");
    }
}

#[test]
fn the_official_spellings_of_the_api_url_are_known() {
    for key in ["api_url", "APIURL", "apiurl", "ApiUrl", "aPIURL", "API_URL"] {
        let config = config(&with("[slack]", &format!("{key} = \"http://127.0.0.1:8080/api\"")));
        assert_eq!(config.slack.api_url, "http://127.0.0.1:8080/api/");
    }
    for wrong in ["slack.com", "ftp://slack.com/", "http://h:99999/", "http://h/?a=b", "http://user:secret-1@h/api/"] {
        assert_eq!(
            error(&with("[slack]", &format!("APIURL = \"{wrong}\""))),
            "slack.toml:4:1: slack.api_url is no base URL of a Web API; write it like https://slack.com/api/, without \
             user, password and query"
        );
    }
}

#[test]
fn sections_and_settings_are_known_in_any_case() {
    let (sections, roles) = MINIMAL.split_once("[role_to_recipients]").unwrap();
    let text = format!("{}[Role_To_Recipients]{roles}\"DBA\" = \"dba\"\n", sections.to_uppercase());
    let config = config(&text.replace("/ID", "/id").replace("XOXB", "xoxb"));
    assert_eq!(config.teleport.credentials, IdentitySource::Files(Credentials::IdentityFile("/id".into())));
    // Roles are names of Teleport's: there DBA and dba are two.
    assert_eq!(config.role_to_recipients.select(&["dba"], &[] as &[&str]).recipients.len(), 1);
    assert!(config.role_to_recipients.iter().any(|(role, _)| role == "DBA"));
}

#[test]
fn a_setting_in_two_spellings_is_set_twice() {
    let url = "\"http://127.0.0.1:1/\"";
    assert_eq!(
        error(&with("[slack]", &format!("APIURL = {url}\napi_url = {url}"))),
        "slack.toml:5:1: slack.api_url is set twice; keep one of the two"
    );
    assert_eq!(error(&format!("{MINIMAL}[LOG]\n[log]\n")), "slack.toml:8:2: log is set twice; keep one of the two");
    let twice = error(&with("[slack]", "token = \"xoxb-2\""));
    assert!(twice.ends_with("; keep one of the two"), "{twice}");
}

#[test]
fn what_is_missing_because_it_is_misspelt_is_pointed_at() {
    for (right, wrong, told) in [
        (
            "[teleport]",
            "[teleprot]",
            "1:2: missing required value teleport.identity; did you mean teleport by teleprot?",
        ),
        (
            "identity",
            "identiy",
            "2:1: missing required value teleport.identity; did you mean teleport.identity by teleport.identiy?",
        ),
        ("token", "tokn", "4:1: missing required value slack.token; did you mean slack.token by slack.tokn?"),
        ("[slack]", "[log]", "4:1: missing required value slack.token; did you mean slack.token by log.token?"),
        (
            "[role_to_recipients]",
            "[role_to_recipient]",
            "5:2: missing required value role_to_recipients.; did you mean role_to_recipients by role_to_recipient?",
        ),
    ] {
        assert_eq!(error(&MINIMAL.replacen(right, wrong, 1)), format!("slack.toml:{told}"));
    }
    let text = MINIMAL.replace("token = \"xoxb-1\"", "");
    let error = parse_with(&text, &[("TELEPORT_SLACK_SLACK_TOKN", "xoxb-1")]).unwrap_err().to_string();
    assert!(error.starts_with("environment variable TELEPORT_SLACK_SLACK_TOKN: missing required value"), "{error}");
}

#[test]
fn a_token_that_slack_would_refuse_in_any_case_is_told_with_its_place() {
    for (token, what) in [
        ("xapp-1", "slack.token holds the wrong kind of token: app-level token (xapp-)"),
        ("xoxp-1", "slack.token holds the wrong kind of token: user token (xoxp-)"),
        ("xoxb-1\\nxoxb-2", "slack.token has spaces or other characters that no token has"),
        ("Bearer xoxb-1", "slack.token has something before the token that is not part of it"),
        ("'xoxb-1'", "slack.token has quotes around it that are not part of it"),
        ("eG94Yi0xLXNlY3JldA==", "slack.token is encoded in base64"),
        ("xoxb\u{2013}1", "slack.token has spaces or other characters that no token has"),
    ] {
        let error = error(&MINIMAL.replace("xoxb-1", token));
        assert!(error.starts_with(&format!("slack.toml:4:1: {what}; ")), "{error}");
    }
    let warned = warnings(&MINIMAL.replace("xoxb-1", "token.txt"));
    assert!(warned[0].contains("does not look like a bot token") && warned[0].contains("absolute path"), "{warned:?}");
}

#[test]
fn a_token_that_is_an_absolute_path_is_a_file() {
    let config = config(&MINIMAL.replace("xoxb-1", "/var/lib/teleport/token"));
    assert_eq!(config.slack.token, TokenSource::File("/var/lib/teleport/token".into()));
}

#[test]
fn logger_names_are_the_official_ones() {
    for (word, output) in [
        ("2", Output::Stderr),
        ("error", Output::Stderr),
        ("STDERR", Output::Stderr),
        ("out", Output::Stdout),
        ("1", Output::Stdout),
        ("./Out", Output::File("./Out".into())),
    ] {
        assert_eq!(config(&with("[log]", &format!("output = \"{word}\""))).log.output, output);
    }
    for (word, severity) in
        [("Err", Severity::Error), ("WARNING", Severity::Warn), ("debug", Severity::Debug), ("", Severity::Info)]
    {
        assert_eq!(config(&with("[log]", &format!("severity = \"{word}\""))).log.severity, severity);
    }
    assert_eq!(
        error(&with("[log]", "severity = \"loud\"")),
        "slack.toml:8:1: unsupported logger severity: 'loud'; use ERROR, WARN, INFO or DEBUG"
    );
}

#[test]
fn missing_values_are_told_in_the_official_words_and_at_their_section() {
    let without = |line: &str| error(&MINIMAL.replace(line, ""));
    assert!(without("token = \"xoxb-1\"").starts_with("slack.toml:3:2: missing required value slack.token; "));
    assert!(without("\"*\" = \"ops\"").starts_with("slack.toml:5:2: missing required value role_to_recipients.; "));
    assert!(without("identity = \"/id\"").starts_with("slack.toml:1:2: missing required value teleport.identity; "));
    assert!(error("").starts_with("slack.toml: missing required value teleport.identity; "));
    let other = error(&MINIMAL.replace('*', "dba"));
    assert!(other.starts_with("slack.toml:5:2: missing required value role_to_recipients[*].; "), "{other}");
    let empty = error(&MINIMAL.replace("\"ops\"", "[\"\"]"));
    assert!(empty.starts_with("slack.toml:6:1: missing required value role_to_recipients[*].; "), "{empty}");
}

#[test]
fn the_operators_worker_needs_no_wildcard() {
    let text = MINIMAL.replace("\"*\" = \"ops\"", "");
    let loaded = Config::parse("f", &text, Wildcard::Optional, &Environment::default()).unwrap();
    assert!(!loaded.config.role_to_recipients.has_wildcard());
}

#[test]
fn the_three_tls_files_come_together_and_not_with_an_identity() {
    let some = error(&MINIMAL.replace("identity = \"/id\"", "client_key = \"/k\"\nroot_cas = \"/c\""));
    assert!(
        some.starts_with(
            "slack.toml:2:1: configuration setting(s) client_key, root_cas are provided but setting(s) client_crt are missing; "
        ),
        "{some}"
    );
    let both = error(&with("[teleport]", "client_crt = \"/c\""));
    assert!(both.contains("mutually exclusive"), "{both}");
    let variable = "TELEPORT_SLACK_TELEPORT_CLIENT_CRT";
    let some = parse_with(MINIMAL, &[(variable, "/c")]).unwrap_err().to_string();
    assert!(some.starts_with(&format!("environment variable {variable}: ")), "{some}");
}

#[test]
fn the_environments_form_of_credentials_takes_the_place_of_the_files() {
    let variables = ["CLIENT_CRT", "CLIENT_KEY", "ROOT_CAS"].map(|key| format!("TELEPORT_SLACK_TELEPORT_{key}"));
    let pairs: Vec<_> = variables.iter().map(|variable| (variable.as_str(), "/f")).collect();
    let of = |text: &str, pairs: &[(&str, &str)]| parse_with(text, pairs).unwrap().config.teleport.credentials;
    assert!(matches!(of(MINIMAL, &pairs), IdentitySource::Files(Credentials::TlsFiles { .. })));
    let identity = [("TELEPORT_SLACK_TELEPORT_IDENTITY", "/i")];
    assert_eq!(of(GUIDE, &identity), IdentitySource::Files(Credentials::IdentityFile("/i".into())));
    let both = parse_with(MINIMAL, &[identity[0], pairs[0]]).unwrap_err().to_string();
    assert!(both.contains("mutually exclusive"), "{both}");
}

const PIN: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn join_of(config: &Config) -> JoinSettings {
    let IdentitySource::Join(join) = &config.teleport.credentials else { panic!("{:?}", config.teleport) };
    join.clone()
}

#[test]
fn a_join_takes_the_place_of_files_and_needs_a_name_only() {
    let join = MINIMAL.replace("identity = \"/id\"", "join_token = \"slack-k8s\"");
    let settings = join_of(&config(&join));
    assert_eq!((settings.token.as_str(), settings.role.as_str()), ("slack-k8s", "access-plugin"));
    assert_eq!(settings.token_path, Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token"));
    let elsewhere = parse_with(&join, &[("KUBERNETES_TOKEN_PATH", "/t")]).unwrap().config;
    assert_eq!(join_of(&elsewhere).token_path, Path::new("/t"));
    let everything = join.replace(
        "join_token",
        &format!("join_ca_pins = {PIN:?}\njoin_role = \"r\"\njoin_token_path = \"/p\"\njoin_token"),
    );
    let loaded = config(&everything);
    let settings = join_of(&loaded);
    assert_eq!((settings.role.as_str(), settings.token_path.as_path()), ("r", Path::new("/p")));
    assert_eq!(settings.ca_pins[0].to_string(), PIN);
    assert_eq!(config(&loaded.to_toml().unwrap()), loaded, "what is rendered is read back");
    let by_variable = parse_with(MINIMAL, &[("TELEPORT_SLACK_TELEPORT_JOIN_TOKEN", "x")]).unwrap().config;
    assert_eq!(join_of(&by_variable).token, "x");
    let files_by_variable = parse_with(&join, &[("TELEPORT_SLACK_TELEPORT_IDENTITY", "/i")]).unwrap().config;
    assert_eq!(files_by_variable.teleport.credentials, IdentitySource::Files(Credentials::IdentityFile("/i".into())));
}

#[test]
fn a_join_that_cannot_be_is_told_with_its_place_and_remedy() {
    let both = error(&with("[teleport]", "join_token = \"slack-k8s\""));
    assert!(both.starts_with("slack.toml:2:1: ") && both.contains("mutually exclusive"), "{both}");
    let alone = error(&with("[teleport]", "join_role = \"x\""));
    assert!(alone.starts_with("slack.toml:2:1: ") && alone.contains("join_token is not"), "{alone}");
    let join = MINIMAL.replace("identity = \"/id\"", "join_token = \"slack-k8s\"\njoin_ca_pins = [\"sha256:00\"]");
    let pin = error(&join);
    assert!(pin.starts_with("slack.toml:3:1: ") && pin.contains("tctl status"), "{pin}");
}

#[test]
fn a_wrong_type_is_told_with_its_setting_and_place() {
    assert!(
        error(&with("[log]", "output = 2"))
            .starts_with("slack.toml:8:10: log.output: invalid type: integer `2`, expected a string; ")
    );
    assert!(error("log = 1").starts_with("slack.toml:1:7: log: invalid type: integer `1`, expected a table; "));
    assert!(error("slack = \"xoxb\"").starts_with("slack.toml:1:9: slack: not of the expected type, a table; "));
    let nested = error(&format!("{MINIMAL}db.admin = \"x\"\n"));
    assert!(nested.contains("expected a string or a list of strings"), "{nested}");
    assert!(nested.contains("a role's name that has a dot in quotes"), "{nested}");
    let mixed = error(&format!("{MINIMAL}dba = [\"x\", 1]\n"));
    assert!(mixed.starts_with("slack.toml:7:"), "{mixed}");
}

#[test]
fn unknown_settings_are_warned_about_where_they_stand() {
    assert_eq!(
        warnings(&with("[slack]", "tokn = \"y\"")),
        ["slack.toml:4:1: unknown setting slack.tokn is ignored; did you mean slack.token?"]
    );
    assert_eq!(
        warnings(&format!("{MINIMAL}[logs]\noutput = \"stdout\"\n")),
        ["slack.toml:7:2: unknown setting logs is ignored; did you mean log?"]
    );
    assert_eq!(
        warnings(&with("[teleport]", "colour = 1")),
        ["slack.toml:2:1: unknown setting teleport.colour is ignored; remove it, or compare with the output of the \
          `configure` command"]
    );
}

#[test]
fn deprecated_settings_work_and_are_warned_about() {
    let old = MINIMAL
        .replace("identity", "auth_server = \"auth.example.com:3025\"\nidentity")
        .replace("[role_to_recipients]\n\"*\" = \"ops\"", "recipients = [\"ops\"]");
    let loaded = parse(&old).unwrap();
    assert_eq!(loaded.config.teleport.addr, "auth.example.com:3025");
    assert!(loaded.config.role_to_recipients.has_wildcard());
    assert_eq!(warnings(&old).len(), 2, "{:?}", loaded.warnings);

    let both = with("[slack]", "recipients = [\"x\"]");
    assert!(!parse(&both).unwrap().config.role_to_recipients.all().contains(&Recipient::ChannelName("x".into())));
    assert!(warnings(&both)[0].starts_with("slack.toml:4:1: slack.recipients is deprecated; remove it"));
}

/// The official plugin's block.
const REVIEW: &str = "[review]\nenabled = true\napp_token = \"xapp-1\"\nslack_user_id_trait = \"slack_uid\"\n";

#[test]
fn the_official_block_for_reviews_is_understood() {
    let review = config(&format!("{MINIMAL}{REVIEW}")).review.unwrap();
    assert_eq!(review.app_token, TokenSource::Inline("xapp-1".into()));
    assert_eq!(review.slack_user_id_trait.as_deref(), Some("slack_uid"));
    assert!(!review.allow_email_match);
    assert_eq!(review.reason, ReasonPolicy::OnDeny);
    let by_email =
        format!("{MINIMAL}[review]\nenabled = true\napp_token = \"/t\"\nallow_email_username_match = true\n");
    let review = config(&by_email).review.unwrap();
    assert_eq!((review.app_token, review.slack_user_id_trait), (TokenSource::File("/t".into()), None));
    assert_eq!(config(&format!("{MINIMAL}{}", REVIEW.replace("true", "false"))).review, None);
    assert_eq!(config(MINIMAL).review, None);
}

#[test]
fn every_policy_of_reasons_is_written_and_read_by_its_name() {
    for (name, policy) in ReasonPolicy::NAMES {
        let text = format!("{MINIMAL}{REVIEW}reason = \"{}\"\n", name.to_uppercase());
        let read = config(&text);
        assert_eq!(read.review.as_ref().unwrap().reason, policy);
        assert_eq!(config(&read.to_toml().unwrap()), read);
    }
}

#[test]
fn what_reviews_cannot_work_with_is_said_and_no_token_is_shown() {
    let review = |from: &str, to: &str| error(&format!("{MINIMAL}{}", REVIEW.replace(from, to)));
    for (from, to, said) in [
        ("app_token = \"xapp-1\"\n", "", "missing required value review.app_token"),
        ("slack_user_id_trait = \"slack_uid\"\n", "", "missing required value review.slack_user_id_trait"),
        ("xapp-1", "xoxb-secret", "slack.toml:9:1: review.app_token: the Slack app token is of another kind"),
        ("\"xapp-1\"", "7", "review.app_token: not of the expected type"),
        ("enabled = true", "enabled = true\nreason = \"maybe\"", "review.reason: 'maybe' is none of the known words"),
        ("enabled = true", "enabled = \"yes\"", "review.enabled"),
    ] {
        let error = review(from, to);
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("xoxb-secret"), "{error}");
    }
    let forgotten = warnings(&format!("{MINIMAL}{}", REVIEW.replace("enabled = true\n", "")));
    assert_eq!(forgotten.len(), 1);
    assert!(forgotten[0].starts_with("slack.toml:8:1: review.app_token has no effect"), "{forgotten:?}");
}

#[test]
fn empty_and_repeated_recipients_are_dropped_with_a_warning() {
    let text = MINIMAL.replace("\"ops\"", "[\"ops\", \"\", \"#ops\"]");
    assert_eq!(
        warnings(&text),
        [
            "slack.toml:6:1: an empty recipient of role '*' is ignored; remove it",
            "slack.toml:6:1: role '*' names #ops more than once; keep one of them",
        ]
    );
    assert_eq!(parse(&text).unwrap().config.role_to_recipients.all().len(), 1);
}

#[test]
fn addresses_are_host_and_port() {
    for good in ["teleport.example.com:443", "[::1]:3025", "10.0.0.1:3080"] {
        assert_eq!(config(&with("[teleport]", &format!("addr = \"{good}\""))).teleport.addr, good);
    }
    for bad in ["::1", "fd00::1:443"] {
        let error = error(&with("[teleport]", &format!("addr = \"{bad}\"")));
        assert!(error.contains(&format!("'{bad}' is an IPv6 address without brackets")), "{error}");
        assert!(error.contains("]:443, with port 3025"), "{error}");
    }
    for bad in ["teleport.example.com", ":443", "a b:443", "host:port", "host:0", "user@host:443"] {
        let error = error(&with("[teleport]", &format!("addr = \"{bad}\"")));
        assert!(error.starts_with(&format!("slack.toml:2:1: teleport.addr: '{bad}' is no address; ")), "{error}");
    }
    let url = with("[teleport]", "addr = \"https://teleport.example.com/\"");
    assert_eq!(parse(&url).unwrap().config.teleport.addr, "teleport.example.com:443");
    assert_eq!(warnings(&url).len(), 1);
}

#[test]
fn refresh_settings_of_newer_plugins_are_accepted() {
    for interval in ["1m", "1h30m", "1.5s", "500ms"] {
        let line = format!("refresh_identity = true\nrefresh_identity_interval = \"{interval}\"");
        config(&with("[teleport]", &line));
    }
    for interval in ["1", "1 m", "m", "1x", "-"] {
        let error = error(&with("[teleport]", &format!("refresh_identity_interval = \"{interval}\"")));
        assert!(error.contains("is no duration"), "{error}");
    }
}

#[test]
fn the_environment_takes_the_place_of_the_file() {
    let loaded = parse_with(
        "[role_to_recipients]\n\"*\" = \"ops\"\n",
        &[("TELEPORT_SLACK_TELEPORT_IDENTITY", "/id"), ("TELEPORT_SLACK_SLACK_TOKEN", "xoxb-2"), ("UNRELATED", "x")],
    )
    .unwrap();
    assert_eq!(loaded.config.slack.token, TokenSource::Inline("xoxb-2".into()));
    for Override { variable, section, key } in OVERRIDES {
        let mut file = file::File::default();
        assert!(file.text_setting(section, key).is_some(), "{variable}");
    }
    let error = parse_with(MINIMAL, &[("TELEPORT_SLACK_LOG_SEVERITY", "loud")]).unwrap_err().to_string();
    assert!(
        error.starts_with("environment variable TELEPORT_SLACK_LOG_SEVERITY: unsupported logger severity"),
        "{error}"
    );
}

#[test]
fn no_token_is_ever_shown() {
    let secret = "xoxb-secret-1";
    let good = MINIMAL.replace("xoxb-1", secret);
    assert!(!format!("{:?}", parse(&good).unwrap()).contains(secret));
    for bad in [
        good.replace("\"*\"", "dba"),
        good.replace("\"xoxb-secret-1\"", "xoxb-secret-1"),
        good.replace("\"xoxb-secret-1\"", "[\"xoxb-secret-1\"]"),
        good.replace("\"xoxb-secret-1\"", "\"xoxb-secret-1"),
        good.replace("token", "tokn"),
        good.replace("[slack]\ntoken = ", "slack = "),
        good.replace("xoxb-secret-1", "xapp-secret-1"),
    ] {
        let error = parse(&bad).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret-1"), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let load = |path: &Path| Config::load(path, Wildcard::Required, &Environment::default()).unwrap_err().to_string();
    let missing = directory.path().join("missing.toml");
    assert!(load(&missing).ends_with("write one with the `configure` command, or name another with --config"));
    assert!(load(directory.path()).contains("cannot read configuration file"));
    let huge = directory.path().join("huge.toml");
    std::fs::write(&huge, " ".repeat(1024 * 1024 + 1)).unwrap();
    assert!(load(&huge).contains("larger than 1 MiB"));
    let binary = directory.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    let place = format!("{}:1:1: not UTF-8 text; ", binary.display());
    assert!(load(&binary).starts_with(&place), "{}", load(&binary));
    std::fs::write(&binary, b"# \xc3\xa4\n\"*\" = \"zug\xe4nge\"").unwrap();
    let place = format!("{}:2:11: not UTF-8 text; ", binary.display());
    assert!(load(&binary).starts_with(&place), "{}", load(&binary));
}

/// The example with the commented-out settings switched on.
fn example_with_everything() -> String {
    let is_setting =
        |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
    let lines = EXAMPLE.lines().map(|line| line.strip_prefix("# ").filter(|rest| is_setting(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_printed_example_can_be_used_as_it_is() {
    assert_eq!(config(EXAMPLE).role_to_recipients.all(), [Recipient::ChannelName("access-requests".into())]);
}

#[test]
fn the_printed_example_shows_every_setting() {
    let everything = example_with_everything();
    let lines =
        |unwanted: fn(&str) -> bool| everything.lines().filter(|line| !unwanted(line)).collect::<Vec<_>>().join("\n");
    let with_identity = lines(|line| ["client_", "root_cas", "join_"].iter().any(|key| line.starts_with(key)));
    let with_tls = lines(|line| ["identity", "refresh_", "join_"].iter().any(|key| line.starts_with(key)));
    let with_join =
        lines(|line| ["client_", "root_cas", "identity", "refresh_"].iter().any(|key| line.starts_with(key)));
    for text in [&with_identity, &with_tls, &with_join] {
        assert_eq!(config(text).diag_addr.as_deref(), Some("127.0.0.1:3000"));
    }
    let source = toml_source::Source::new("example", &everything, file::KEYS).unwrap();
    let left_out = ["auth_server", "recipients"];
    for (section, keys) in file::KEYS.iter().filter(|(section, _)| *section != "kubernetes") {
        for key in keys.iter().filter(|key| !left_out.contains(key)) {
            assert!(source.keys(section).any(|(found, _)| found == *key), "{section}.{key}");
        }
    }
}

#[test]
fn the_command_line_is_stronger_than_the_file_each_time_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("slack.toml");
    std::fs::write(&path, with("[diag]", "addr = \"127.0.0.1:1\"")).unwrap();
    let plain = Origin {
        path: path.clone(),
        wildcard: Wildcard::Required,
        environment: Environment::default(),
        debug: false,
        diag_addr: None,
    };
    assert_eq!(plain.load().unwrap().config.diag_addr.as_deref(), Some("127.0.0.1:1"));
    let strong = Origin { debug: true, diag_addr: Some("127.0.0.1:2".into()), ..plain };
    std::fs::write(&path, with("[log]", "severity = \"ERROR\"")).unwrap();
    let config = strong.load().unwrap().config;
    assert_eq!((config.log.severity, config.diag_addr.as_deref()), (Severity::Debug, Some("127.0.0.1:2")));
}

#[test]
fn a_credential_in_the_place_of_its_path_is_refused_and_not_shown() {
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqG\n-----END PRIVATE KEY-----\n";
    let base64 = "TUlHSEFnRUFNQk1HQnlxRw".repeat(200);
    for (variable, setting, content) in [
        ("TELEPORT_SLACK_TELEPORT_IDENTITY", "teleport.identity", PEM),
        ("TELEPORT_SLACK_TELEPORT_CLIENT_KEY", "teleport.client_key", "-----BEGIN PRIVATE KEY-----MIGHAgEAMBMGByqG"),
        ("TELEPORT_SLACK_TELEPORT_CLIENT_CRT", "teleport.client_crt", PEM),
        ("TELEPORT_SLACK_TELEPORT_ROOT_CAS", "teleport.root_cas", PEM),
        ("TELEPORT_SLACK_TELEPORT_IDENTITY", "teleport.identity", &base64),
    ] {
        let said = parse_with(MINIMAL, &[(variable, content)]).unwrap_err().to_string();
        let begin =
            format!("environment variable {variable}: {setting} holds the content of a file where its path belongs");
        assert!(said.starts_with(&begin), "{said}");
        assert!(!said.contains("MIGH") && !said.contains("TUlH"), "{said}");
    }
    let inside = error(&MINIMAL.replace("\"/id\"", &format!("\"\"\"{PEM}\"\"\"")));
    assert!(inside.contains("slack.toml:2") && !inside.contains("MIGH"), "{inside}");
}

#[test]
fn suggested_reviewers_have_bounds_that_can_be_changed() {
    let bounds = config(MINIMAL).suggested_reviewers;
    assert_eq!((bounds.max, bounds.allowed_domains.len()), (20, 0));
    let text = with("[suggested_reviewers]", "max = 3\nallowed_domains = [\"Example.com\", \"example.org\"]");
    let changed = config(&text);
    assert_eq!(changed.suggested_reviewers.max, 3);
    assert_eq!(changed.suggested_reviewers.allowed_domains, ["example.com", "example.org"]);
    assert_eq!(config(&changed.to_toml().unwrap()), changed, "what the controller writes, the worker reads");
}

#[test]
fn a_domain_that_is_none_is_refused_by_name() {
    let text = with("[suggested_reviewers]", "allowed_domains = \"@example.com\"");
    let error = error(&text);
    assert!(error.contains("suggested_reviewers.allowed_domains: '@example.com' is no domain"), "{error}");
    assert!(error.starts_with("slack.toml:"), "{error}");
}
