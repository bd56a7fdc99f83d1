//! Every route with no, expired, foreign, tampered and ended tokens, and with the wrong role: a table over the paths of
//! the OpenAPI document, so that a new route is in it.

use domain::ids::UserId;
use quickpe::config::Keys;
use quickpe::config::keys::SigningKey;
use quickpe::http::auth::tokens::Tokens;
use quickpe::http::config::AuthConfig;
use reqwest::Method;
use serde_json::Value;
use storage::identity::Role;

use crate::node::{TestNode, answer};

/// The routes that need no token, and the one that takes one or another.
const OPEN: [&str; 7] = [
    "POST /api/v1/auth/signup",
    "POST /api/v1/auth/signin",
    "POST /api/v1/auth/refresh",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /metrics",
];

/// Method and path of each operation, with ids filled in.
fn operations(document: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in
            item.as_object().unwrap().keys().filter(|key| ["get", "post", "patch", "delete"].contains(&key.as_str()))
        {
            all.push((method.to_uppercase(), path.clone()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_asks_whose_it_is() {
    let node = TestNode::start().await;
    let asha = node.sign_up("Asha").await;
    let document = answer(node.request(Method::GET, "//api/openapi.json")).await.expect(200);
    let operations = operations(&document);
    assert!(operations.len() >= 27, "{operations:?}");
    let secured: Vec<_> = operations
        .iter()
        .filter(|(method, path)| !OPEN.contains(&format!("{method} {path}").as_str()))
        .map(|(method, path)| {
            let id = "00000000-0000-8000-8000-000000000001";
            (Method::from_bytes(method.as_bytes()).unwrap(), path.replace("{id}", id).replace("{userId}", id))
        })
        .collect();
    assert_eq!(operations.len() - secured.len(), OPEN.len());

    let user: UserId = asha.id.parse().unwrap();
    let now = node.app.now();
    let ended = {
        let who = crate::node::somebody(&node.sign_in(&asha.email, crate::node::PASSWORD).await.expect(200));
        let out = answer(node.request(Method::POST, "/auth/signout").bearer_auth(&who.token)).await;
        assert_eq!(out.status, 204);
        who.token
    };
    let past = domain::time::Timestamp(now.0 - 3_600_000_000);
    let expired = node.app.tokens.issue_access(user, Role::Admin, None, None, past).unwrap();
    let foreign = Keys {
        signing: vec![SigningKey { kid: "another".into(), secret: [9; 32] }],
        refresh: vec![[9; 32]],
        encryption: vec![[9; 32]],
    };
    let foreign = Tokens::load(&AuthConfig::default(), &foreign).unwrap();
    let foreign = foreign.issue_access(user, Role::Admin, None, None, now).unwrap();
    let tampered = {
        let middle = asha.token.find('.').unwrap() + 10;
        let mut bytes = asha.token.clone().into_bytes();
        bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let signature = asha.token.rsplit_once('.').unwrap().0.to_owned();
    for (method, path) in &secured {
        for (token, code) in [
            (None, "unauthenticated"),
            (Some(&expired), "token_expired"),
            (Some(&foreign), "token_invalid"),
            (Some(&tampered), "token_invalid"),
            (Some(&signature), "token_invalid"),
            (Some(&ended), "token_invalid"),
        ] {
            let mut request = node.request(method.clone(), &format!("/{path}"));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            // Servers have keys of their own, which no token is.
            let is_servers = token.is_some() && path.contains("/server/");
            let code = if is_servers { "token_invalid" } else { code };
            assert_eq!(answer(request).await.code(401), code, "{method} {path}");
        }
    }
    for (method, path) in secured.iter().filter(|(_, path)| path.contains("/admin/")) {
        for role in [Role::User, Role::Treasury] {
            let token = node.app.tokens.issue_access(user, role, None, None, now).unwrap();
            let request = node.request(method.clone(), &format!("/{path}")).bearer_auth(token);
            assert_eq!(answer(request).await.code(403), "forbidden", "{method} {path} {role}");
        }
    }
}
