//! The router by itself: what is decided before any database is asked.

use axum::body::{Body, to_bytes};
use axum::http::header::{ALLOW, WWW_AUTHENTICATE};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use shared::config::Environment;
use shared::secrets::Secrets;
use tower::ServiceExt as _;

use super::*;

mod descriptions;

const KEY: &str = "a secret of at least thirty-two bytes";

fn api(extra: &[(&str, &str)]) -> Router {
    let variables = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("GUARDIAN_SECRET_KEY", KEY),
    ];
    let config = Environment::of(variables.into_iter().chain(extra.iter().copied()))
        .api()
        .unwrap();
    router(Arc::new(State::new(config, Secrets::default())))
}

#[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
fn token(claims: Value) -> String {
    let now = Utc::now().timestamp();
    let mut all = json!({
        "iss": "arcadia", "aud": "arcadia", "sub": "u-1", "typ": "access", "jti": "j-1",
        "iat": now - 10, "nbf": now - 10, "exp": now + 600
    });
    all.as_object_mut()
        .unwrap()
        .extend(claims.as_object().unwrap().clone());
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!(
        "{}.{}",
        part(&json!({ "alg": "HS512", "typ": "JWT" })),
        part(&all)
    );
    let mut mac = Hmac::<sha2::Sha512>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    format!(
        "Bearer {message}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

fn operator() -> String {
    token(json!({ "roles": ["platform_admin"] }))
}

fn tenant() -> String {
    token(json!({ "tenant_id": "acme" }))
}

async fn ask(
    app: Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, Response<()>, Value) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let body = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).unwrap()
    };
    (parts.status, Response::from_parts(parts, ()), body)
}

async fn get_as(token: &str, path: &str) -> (StatusCode, Value) {
    let (status, _, body) = ask(api(&[]), "GET", path, &[("authorization", token)]).await;
    (status, body)
}

#[tokio::test]
async fn what_is_not_there_is_404_and_what_is_not_allowed_405() {
    for path in [
        "/",
        "/api",
        "/api/health/",
        "/api/v1/inventory/",
        "/api/v2/inventory",
        "/docs/",
        "/api/v1/inventory/0197e7a0-0000-7000-8000-000000000001/",
        "/api/v1/listings/droplet",
    ] {
        let (status, response, body) = ask(api(&[]), "GET", path, &[]).await;
        assert_eq!(
            (status.as_u16(), &body["title"]),
            (404, &json!("Not found")),
            "{path}"
        );
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
        let (status, response, body) = ask(api(&[]), method, "/api/v1/inventory", &[]).await;
        assert_eq!((status.as_u16(), &body["status"]), (405, &json!(405)), "{method}");
        assert_eq!(response.headers()[ALLOW], "GET,HEAD");
    }
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let (status, response, body) = ask(api(&[]), "HEAD", "/api/health", &[]).await;
    assert_eq!((status.as_u16(), body), (200, Value::Null));
    assert!(response.headers().contains_key("content-length"));
    let (status, response, body) = ask(api(&[]), "HEAD", "/api/v1/inventory", &[]).await;
    assert_eq!((status.as_u16(), body), (401, Value::Null));
    assert_eq!(response.headers()["content-type"], "application/problem+json");
}

#[tokio::test]
async fn no_token_bad_tokens_and_tokens_without_a_right() {
    let path = "/api/v1/inventory";
    let mut bodies = Vec::new();
    const COME_IN: &str = "Bearer realm=\"arcadia-cloud\"";
    const NO_GOOD: &str = "Bearer error=\"invalid_token\"";
    for (headers, challenge) in [
        (&[][..], COME_IN),
        (&[("authorization", "")], COME_IN),
        (&[("authorization", "Bearer")], COME_IN),
        (&[("authorization", "Bearer a.b.c")], NO_GOOD),
        (&[("authorization", "Basic dTpw")], COME_IN),
        (
            &[("authorization", &operator()), ("authorization", &operator())],
            NO_GOOD,
        ),
        (
            &[(
                "authorization",
                &token(json!({ "roles": ["platform_admin"], "iss": "else" })),
            )],
            NO_GOOD,
        ),
    ] {
        let (status, response, mut body) = ask(api(&[]), "GET", path, headers).await;
        assert_eq!(status.as_u16(), 401, "{headers:?}");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], challenge, "{headers:?}");
        assert_eq!(
            body["instance"],
            format!("urn:request:{}", body["request_id"].as_str().unwrap())
        );
        body["request_id"] = Value::Null;
        body["instance"] = Value::Null;
        bodies.push(body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "one answer for every refusal");
    let (status, body) = get_as(&token(json!({ "roles": ["admin"] })), path).await;
    assert_eq!((status.as_u16(), &body["title"]), (403, &json!("Forbidden")));
}

#[tokio::test]
async fn parameters_are_refused_by_name() {
    for (query, culprit) in [
        ("kinds=droplet", "kinds"),
        ("kind=Droplet", "kind"),
        ("kind=droplet&kind=volume", "kind"),
        ("status=", "status"),
        ("project_id=7", "project_id"),
        ("attribution=mine", "attribution"),
        ("updated_since=yesterday", "updated_since"),
        ("include_deleted=1", "include_deleted"),
        ("as_of=yesterday", "as_of"),
        ("sort=created_at", "sort"),
        ("sort=id%20desc", "sort"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "cursor"),
        ("offset=5", "offset"),
        ("q=%ff", "q"),
    ] {
        let (status, body) = get_as(&operator(), &format!("/api/v1/inventory?{query}")).await;
        assert_eq!(status.as_u16(), 400, "{query}");
        assert_eq!(body["errors"].as_array().unwrap().len(), 1, "{query}: {body}");
        assert_eq!(body["errors"][0]["parameter"], culprit, "{query}");
        assert!(body["detail"].as_str().unwrap().contains(culprit));
    }
    let (status, _) = get_as("Bearer no", "/api/v1/inventory?kinds=droplet").await;
    assert_eq!(status.as_u16(), 401, "who asks comes before what is asked");
}

#[tokio::test]
async fn a_tenant_that_names_another_is_told_so() {
    let (status, body) = get_as(&tenant(), "/api/v1/inventory?tenant_id=globex").await;
    assert_eq!((status.as_u16(), &body["title"]), (403, &json!("Forbidden")));
    assert!(!body.to_string().contains("globex"));
}

#[tokio::test]
async fn without_a_database_it_is_alive_but_not_ready() {
    let begun = std::time::Instant::now();
    let (status, response, body) = ask(api(&[]), "GET", "/api/health/ready", &[]).await;
    assert!(begun.elapsed() < Duration::from_millis(1_500));
    assert_eq!(
        (status.as_u16(), &response.headers()["retry-after"]),
        (503, &HeaderValue::from_static("5"))
    );
    assert!(!body.to_string().contains("127.0.0.1"), "{body}");
    let (status, _, _) = ask(api(&[]), "GET", "/api/health", &[]).await;
    assert_eq!(status.as_u16(), 200);
    let (status, body) = get_as(&operator(), "/api/v1/inventory").await;
    assert_eq!(
        (status.as_u16(), &body["title"]),
        (503, &json!("Temporarily unavailable"))
    );
}

#[tokio::test]
async fn only_listed_origins_may_read() {
    let app = || {
        api(&[(
            "CORS_ALLOW_ORIGINS",
            "https://app.example.com,http://localhost:4000",
        )])
    };
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("http://localhost:4000", true),
        ("https://evil.example.com", false),
    ] {
        let expected = allowed.then_some(origin);
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization"),
        ];
        let (status, response, _) = ask(app(), "OPTIONS", "/api/v1/inventory", &preflight).await;
        let header = |response: &Response<()>, name: &str| {
            let values = response.headers().get_all(name).iter();
            let values: Vec<_> = values.map(|value| value.to_str().unwrap()).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        assert_eq!(status.as_u16(), 200);
        assert_eq!(
            header(&response, "access-control-allow-origin").as_deref(),
            expected
        );
        let (status, response, _) = ask(app(), "GET", "/api/v1/inventory", &[("origin", origin)]).await;
        assert_eq!(status.as_u16(), 401);
        assert_eq!(
            header(&response, "access-control-allow-origin").as_deref(),
            expected,
            "errors can be read too"
        );
        assert_eq!(header(&response, "access-control-allow-credentials"), None);
        assert_eq!(
            header(&response, "vary").as_deref(),
            Some("authorization, origin")
        );
    }
    let (_, response, _) = ask(
        api(&[]),
        "GET",
        "/api/health",
        &[("origin", "https://app.example.com")],
    )
    .await;
    assert!(!response.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_panic_is_a_500_without_details() {
    let app = Router::new()
        .route(
            "/boom",
            get(|| async {
                if true {
                    panic!("the password is hunter2")
                }
            }),
        )
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(answer));
    let (status, _, body) = ask(app, "GET", "/boom", &[]).await;
    assert_eq!(
        (status.as_u16(), &body["title"]),
        (500, &json!("Internal server error"))
    );
    assert!(!body.to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_layers_own_error_becomes_a_problem_too() {
    let app = Router::new()
        .route(
            "/plain",
            get(|| async { (StatusCode::UNPROCESSABLE_ENTITY, "some library's words") }),
        )
        .layer(from_fn(answer));
    let (status, _, body) = ask(app, "GET", "/plain", &[]).await;
    assert_eq!((status.as_u16(), &body["status"]), (422, &json!(422)));
    assert!(!body.to_string().contains("library"));
}
