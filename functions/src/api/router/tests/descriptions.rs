//! The router against its own description: every operation that it has, and what can be said before a database is asked.

use axum::http::header::ACCEPT;

use super::*;
use crate::api::document::Access;
use crate::api::form::Form;

/// Every operation of the router, with ids and kinds put into its path.
fn every_operation() -> Vec<(&'static Operation, String, String)> {
    let ask = |operation: &'static Operation| {
        let path = operation
            .path
            .replace("{id}", "0197e7a0-0000-7000-8000-000000000001")
            .replace("{uuid}", "0197e7a0-0000-7000-8000-000000000001")
            .replace("{kind}", "droplet");
        (operation, operation.method.to_ascii_uppercase(), path)
    };
    operations().into_iter().map(ask).collect()
}

#[tokio::test]
async fn every_route_refuses_whoever_may_not_and_says_so_in_its_description() {
    let (mut closed, mut restricted) = (0, 0);
    for (operation, method, path) in every_operation() {
        let public = operation.access == Access::Public;
        for token in [
            None,
            Some("Bearer a.b.c".to_owned()),
            Some("Basic dTpw".to_owned()),
        ] {
            let headers: Vec<_> = token
                .iter()
                .map(|token| ("authorization", token.as_str()))
                .collect();
            let (status, _, _) = ask_raw(&method, &path, &headers, "").await;
            assert_eq!(status == 401, !public, "{method} {path} with {token:?}: {status}");
            closed += usize::from(status == 401);
        }
        let operators = operation.access == Access::Operator;
        if operators {
            let (status, _, _) = ask_raw(&method, &path, &[("authorization", &tenant())], "").await;
            assert_eq!(status, 403, "{method} {path} as a tenant");
        }
        restricted += usize::from(operators);
        if !public {
            assert!(
                [401, 403, 503]
                    .iter()
                    .all(|status| operation.statuses().contains(status))
            );
        }
    }
    assert!(
        closed > 20 && restricted > 4,
        "{closed} closed, {restricted} restricted"
    );
}

#[tokio::test]
async fn no_route_takes_a_parameter_that_it_does_not_describe() {
    for (operation, method, path) in every_operation() {
        if operation.access == Access::Public {
            continue;
        }
        for wrong in ["nonsense=1", "Kind=droplet", "limit=0", "as_of=yesterday"] {
            let path = format!("{path}?{wrong}");
            let (status, _, body) = ask_raw(&method, &path, &[("authorization", &operator())], "").await;
            assert_eq!(status, 400, "{method} {path}: {body}");
        }
    }
}

#[tokio::test]
async fn no_route_answers_in_a_form_that_was_not_accepted() {
    // What browsers send, and programs that would take anything.
    const EASY: [&str; 3] = [
        "*/*",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "application/json, text/csv, text/plain, */*",
    ];
    let mut negotiating = 0;
    for (operation, method, path) in every_operation() {
        let forms = operation.forms();
        assert_eq!(
            forms.is_empty(),
            method != "GET" || operation.access == Access::Public
        );
        assert_eq!(operation.statuses().contains(&406), !forms.is_empty(), "{path}");
        if forms.is_empty() {
            continue;
        }
        negotiating += 1;
        let accepted = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            operation.form(&headers).ok()
        };
        for accept in EASY {
            assert_eq!(accepted(accept), forms.first().copied(), "{path} as {accept}");
        }
        let bearer = operator();
        for form in Form::ALL {
            if forms.contains(&form) {
                assert_eq!(accepted(form.media_type()), Some(form), "{path}");
                continue;
            }
            let headers = [("authorization", bearer.as_str()), ("accept", form.media_type())];
            let (status, _, body) = ask_raw(&method, &path, &headers, "").await;
            assert_eq!(status, 406, "{path} as {form:?}: {body}");
        }
        let headers = [("authorization", bearer.as_str()), ("accept", "image/png")];
        let (status, _, body) = ask_raw(&method, &path, &headers, "").await;
        assert_eq!(status, 406, "{path}: {body}");
        assert!(
            forms.iter().all(|form| body.contains(form.media_type())),
            "what can be had is named: {path}: {body}"
        );
        let (status, _, _) = ask_raw(&method, &path, &headers[1..], "").await;
        assert_eq!(status, 401, "who asks comes before what is asked");
    }
    assert!(negotiating > 14, "{negotiating}");
}

#[tokio::test]
async fn bodies_are_refused_for_their_type_their_size_and_their_members() {
    for (operation, method, path) in every_operation() {
        if operation.body.is_none() {
            continue;
        }
        let token = operator();
        let json = [
            ("authorization", token.as_str()),
            ("content-type", "application/json"),
        ];
        let large = format!("{{\"reason\": \"{}\"}}", "x".repeat(17_000));
        for (headers, body, expected) in [
            (&[json[0], ("content-type", "text/plain")][..], "{}", 415),
            (&json[..1], "{}", 415),
            (
                &[json[0], ("content-type", "application/json-patch+json")],
                "{}",
                415,
            ),
            (&json, "{", 400),
            (&json, "[1]", 422),
            (&json, "{\"nonsense\": 1}", 422),
            (&json, "{\"reason\": 7}", 422),
            (&json, &large, 413),
        ] {
            let (status, _, answer) = ask_raw(&method, &path, headers, body).await;
            assert_eq!(status, expected, "{method} {path} {body:.40}: {answer}");
            assert!(operation.statuses().contains(&status));
            if status == 422 && body.contains("nonsense") {
                assert!(answer.contains("\"member\":\"nonsense\""), "{answer}");
            }
        }
    }
}

async fn ask_raw(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, Response<()>, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let (parts, body) = api(&[]).oneshot(request).await.unwrap().into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (parts.status.as_u16(), Response::from_parts(parts, ()), text)
}

#[tokio::test]
async fn the_description_is_public_and_its_page_may_load_nothing() {
    let (status, response, body) = ask(api(&[]), "GET", "/openapi.json", &[]).await;
    assert_eq!((status.as_u16(), &body["openapi"]), (200, &json!("3.1.0")));
    assert_eq!(response.headers()["cache-control"], "public, max-age=3600");
    let (status, response, page) = ask_raw("GET", "/docs", &[], "").await;
    assert_eq!(status, 200);
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    for forbidden in ["<script", "src=", "http://", "https://", "style=", "javascript:"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    for operation in operations() {
        assert!(
            page.contains(&format!("id=\"{}\"", operation.id)),
            "{}",
            operation.id
        );
    }
}

#[tokio::test]
async fn the_committed_description_is_the_one_that_is_served() {
    let committed = include_str!("../../../../../docs/openapi.json");
    let (_, _, served) = ask(api(&[]), "GET", "/openapi.json", &[]).await;
    let committed: Value = serde_json::from_str(committed).unwrap();
    assert!(
        committed == served,
        "docs/openapi.json is not what is served: run `make openapi`"
    );
    for path in ["/nothing", "/api/v1/inventory"] {
        let documented = committed["paths"].get(path).is_some();
        assert_eq!(
            documented,
            operations().iter().any(|operation| operation.path == path)
        );
    }
}

#[tokio::test]
async fn long_answers_are_compressed_for_whoever_asks_and_short_ones_are_not() {
    let gzip = [("accept-encoding", "gzip")];
    let request = |path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        api(&[]).oneshot(request.body(Body::empty()).unwrap())
    };
    let plain = request("/openapi.json", &[]).await.unwrap();
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = to_bytes(plain.into_body(), usize::MAX).await.unwrap();
    let response = request("/openapi.json", &gzip).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let vary: Vec<_> = response.headers().get_all("vary").iter().collect();
    assert!(
        vary.iter()
            .any(|vary| vary.to_str().unwrap().contains("accept-encoding")),
        "{vary:?}"
    );
    let compressed = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert_eq!(compressed[..2], [0x1f, 0x8b]);
    assert!(compressed.len() * 4 < plain.len());
    for path in ["/api/health", "/nothing"] {
        let response = request(path, &gzip).await.unwrap();
        assert!(!response.headers().contains_key("content-encoding"), "{path}");
    }
}
