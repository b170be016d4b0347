//! What the environment may say, and what it is told when it says something else.

use super::*;

const GOOD: &[(&str, &str)] = &[
    ("DATABASE_URL", "postgres://u:p@localhost:5433/arcadia"),
    ("DO_API_TOKEN", "dop_v1_abc"),
    (
        "GUARDIAN_SECRET_KEY",
        "0123456789012345678901234567890123456789012345678901234567890123",
    ),
];

fn with<'a>(extra: &[(&'a str, &'a str)]) -> Environment {
    Environment::of(GOOD.iter().chain(extra).map(|(k, v)| (*k, *v)))
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = with(&[]).worker(Purpose::SyncFast).unwrap();
    assert_eq!(
        config.digitalocean.base_url.as_str(),
        "https://api.digitalocean.com/"
    );
    assert_eq!(config.bootstrap_project.as_deref(), Some("skyai-internal"));
    assert_eq!(config.strike_spacing, Duration::from_secs(600));
    assert_eq!(config.lease, Duration::from_secs(30));
    let api = with(&[]).api().unwrap();
    assert_eq!(
        (api.tokens.issuer.as_str(), api.tokens.audience.as_str()),
        ("arcadia", "arcadia")
    );
    assert!(api.cors_allow_origins.is_empty());
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let error = Environment::of::<&str, &str>([])
        .worker(Purpose::Billing)
        .unwrap_err()
        .to_string();
    for name in [
        "DATABASE_URL",
        "DATABASE_SECRET_ARN",
        "DO_API_TOKEN",
        "DO_TOKEN_SECRET_ARN_BILLING",
    ] {
        assert!(error.contains(name), "{error} does not name {name}");
    }
    assert!(!error.contains('\n'));
    let error = Environment::of::<&str, &str>([]).api().unwrap_err().to_string();
    assert!(
        error.contains("GUARDIAN_SECRET_KEY") && error.contains("DATABASE_URL"),
        "{error}"
    );
}

#[test]
fn a_bad_value_is_named_and_not_repeated() {
    for (name, value) in [
        ("DATABASE_URL", "not a url with hunter2"),
        ("DATABASE_URL", "mysql://u:hunter2@h/db"),
        ("DO_API_BASE_URL", "hunter2"),
        ("DO_API_BASE_URL", "http://api.digitalocean.com/?hunter2"),
        ("DO_API_BASE_URL", "https://hunter2@api.digitalocean.com"),
        ("DO_API_BASE_URL", "https://api.digitalocean.com/v2"),
        ("DO_API_TOKEN", "hunter2\n"),
        ("LEASE_SECONDS", "hunter2"),
        ("LEASE_SECONDS", "0"),
        ("STRIKE_SPACING_SECONDS", "-1"),
        ("DATABASE_PORT", "hunter2"),
    ] {
        let error = with(&[(name, value)])
            .worker(Purpose::SyncFast)
            .unwrap_err()
            .to_string();
        assert!(error.contains(name), "{name}={value}: {error}");
        assert!(!error.contains("hunter2"), "{error} repeats the value");
    }
    for (name, value) in [
        ("JWT_ALGORITHMS", "HS512,RS256"),
        ("JWT_ALGORITHMS", "none"),
        ("CORS_ALLOW_ORIGINS", "*"),
        ("CORS_ALLOW_ORIGINS", "https://a.example/"),
    ] {
        let error = with(&[(name, value)]).api().unwrap_err().to_string();
        assert!(error.contains(name), "{name}={value}: {error}");
    }
}

/// Two thirds of a lease have to outlast a request and the wait for the mirror's lock, of 20 s each.
#[test]
fn a_lease_outlasts_what_a_run_may_wait_for() {
    let lease = |seconds: &str, more: &[(&str, &str)]| {
        let set = [&[("LEASE_SECONDS", seconds)], more].concat();
        with(&set).worker(Purpose::SyncFast).map(|config| config.lease)
    };
    let here = [("DO_API_BASE_URL", "http://127.0.0.1:1")];
    let there = [("DO_API_BASE_URL", "https://api.digitalocean.com")];
    for (seconds, base_url, least) in [("29", &[][..], "30"), ("5", &there, "30"), ("4", &here, "5")] {
        let refused = lease(seconds, base_url).unwrap_err().to_string();
        assert!(
            refused.contains("LEASE_SECONDS") && refused.contains(&format!("from {least} to 900")),
            "{seconds}: {refused}"
        );
    }
    for (seconds, base_url) in [("30", &[][..]), ("900", &there), ("5", &here)] {
        let taken = Duration::from_secs(seconds.parse().unwrap());
        assert_eq!(lease(seconds, base_url).unwrap(), taken);
    }
}

#[test]
fn value_and_arn_of_one_thing_are_an_error() {
    for name in [
        "DATABASE_SECRET_ARN",
        "DO_TOKEN_SECRET_ARN",
        "DO_TOKEN_SECRET_ARN_SYNC_FAST",
    ] {
        let error = with(&[(name, "arn:x")])
            .worker(Purpose::SyncFast)
            .unwrap_err()
            .to_string();
        assert!(error.contains("only one may be"), "{name}: {error}");
    }
    assert!(with(&[("GUARDIAN_SECRET_ARN", "arn:x")]).api().is_err());
}

#[test]
fn a_purpose_prefers_its_own_secret() {
    let secrets = [
        ("DATABASE_URL", "postgres://u@localhost/a"),
        ("DO_TOKEN_SECRET_ARN", "shared"),
        ("DO_TOKEN_SECRET_ARN_BILLING", "own"),
        ("INGEST_QUEUE_URL", "http://localhost/queue"),
    ];
    for (purpose, expected) in [(Purpose::Billing, "own"), (Purpose::SyncSlow, "shared")] {
        let config = Environment::of(secrets).worker(purpose).unwrap();
        assert!(matches!(config.digitalocean.token, Source::Secret(arn) if arn == expected));
    }
}

#[test]
fn who_bills_knows_the_queue() {
    let named = |error: ConfigError| error.to_string().contains("INGEST_QUEUE_URL");
    assert!(with(&[]).worker(Purpose::Billing).is_err_and(named));
    assert!(with(&[]).worker(Purpose::SyncFull).is_ok());
    let config = with(&[("INGEST_QUEUE_URL", "http://localhost/q")]).worker(Purpose::Billing);
    assert_eq!(
        config.unwrap().ingest_queue.as_deref(),
        Some("http://localhost/q")
    );
    assert!(
        with(&[("INGEST_QUEUE_URL", "q")])
            .worker(Purpose::Billing)
            .is_err_and(named)
    );
}

#[test]
fn an_empty_bootstrap_project_switches_it_off() {
    let config = with(&[("BOOTSTRAP_PROJECT", "")])
        .worker(Purpose::SyncFull)
        .unwrap();
    assert_eq!(config.bootstrap_project, None);
}
