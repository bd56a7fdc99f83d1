//! Signing up, in and out; going on; changing oneself; finding others.

use reqwest::Method;
use serde_json::json;

use crate::node::{PASSWORD, TestNode, answer, somebody};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_up_once() {
    let node = TestNode::start().await;
    let asha = node.sign_up("Asha").await;
    let sign_up = |email: &str, password: &str| {
        let body = json!({"firstName": "Asha", "lastName": "Rao", "email": email, "password": password});
        answer(node.request(Method::POST, "/auth/signup").json(&body))
    };
    assert_eq!(sign_up("ASHA@Example.com", PASSWORD).await.code(409), "email_taken");
    let wrong = sign_up("nonsense", "12345").await;
    assert_eq!(wrong.code(400), "validation_failed");
    let fields: Vec<_> = wrong.body["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["email", "password"]);
    let verified = node.get(&asha, "/auth/verify").await.expect(200);
    assert_eq!(verified["user"]["email"], "asha@example.com");
    assert_eq!(node.get(&asha, "/user/me").await.expect(200), verified["user"]);
    assert_eq!(node.sign_in("  ASHA@example.com ", PASSWORD).await.expect(200)["expiresIn"], 900);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_good_once() {
    let node = TestNode::start().await;
    let asha = node.sign_up("Asha").await;
    let refresh = |token: &str, device: &str| {
        let body = json!({"refreshToken": token, "device": device});
        answer(node.request(Method::POST, "/auth/refresh").json(&body))
    };
    let next = somebody(&refresh(&asha.refresh, "phone").await.expect(200));
    let same = somebody(&refresh(&asha.refresh, "phone").await.expect(200));
    assert_eq!(same.refresh, next.refresh, "the answer may have been lost");
    assert_eq!(node.get(&next, "/auth/verify").await.status, 200);
    assert_eq!(refresh(&asha.refresh, "thief").await.code(401), "token_reused");
    assert_eq!(node.get(&next, "/auth/verify").await.code(401), "token_invalid", "the login has ended");
    assert_eq!(refresh(&next.refresh, "phone").await.code(401), "token_invalid");
    assert_eq!(refresh("nonsense", "phone").await.code(401), "token_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_one_login() {
    let node = TestNode::start().await;
    let asha = node.sign_up("Asha").await;
    let other = somebody(&node.sign_in(&asha.email, PASSWORD).await.expect(200));
    let body = json!({"refreshToken": asha.refresh});
    for _ in 0..2 {
        assert_eq!(answer(node.request(Method::POST, "/auth/signout").json(&body)).await.status, 204);
    }
    assert_eq!(node.get(&asha, "/auth/verify").await.code(401), "token_invalid");
    node.get(&other, "/auth/verify").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_failures_lock_an_account_wherever_they_come_from() {
    let node = TestNode::start().await;
    let (asha, ravi) = (node.sign_up("Asha").await, node.sign_up("Ravi").await);
    for email in [asha.email.as_str(), "nobody@example.com"] {
        for _ in 0..10 {
            assert_eq!(node.sign_in(email, "wrong password").await.code(401), "bad_credentials", "{email}");
        }
        let locked = node.sign_in(email, PASSWORD).await;
        assert_eq!(locked.code(429), "sign_in_locked", "{email}");
        let after: u64 = locked.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=900).contains(&after), "{after}");
    }
    node.sign_in(&ravi.email, PASSWORD).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_changed_by_who_knows_the_password() {
    let node = TestNode::start().await;
    let (asha, ravi) = (node.sign_up("Asha").await, node.sign_up("Ravi").await);
    let elsewhere = somebody(&node.sign_in(&asha.email, PASSWORD).await.expect(200));
    let update =
        |body: serde_json::Value| answer(node.request(Method::PATCH, "/user/me").bearer_auth(&asha.token).json(&body));
    assert_eq!(update(json!({"lastName": "Iyer"})).await.expect(200)["lastName"], "Iyer");
    assert_eq!(update(json!({"email": "new@example.com"})).await.code(400), "validation_failed");
    let wrong = json!({"email": "new@example.com", "currentPassword": "wrong password"});
    assert_eq!(update(wrong).await.code(401), "bad_credentials");
    let taken = json!({"email": ravi.email, "currentPassword": PASSWORD});
    assert_eq!(update(taken).await.code(409), "email_taken");
    let new = json!({"email": "new@example.com", "password": "another horse", "currentPassword": PASSWORD});
    assert_eq!(update(new).await.expect(200)["email"], "new@example.com");
    node.get(&asha, "/auth/verify").await.expect(200);
    assert_eq!(node.get(&elsewhere, "/auth/verify").await.code(401), "token_invalid", "other logins end");
    assert_eq!(node.sign_in("new@example.com", PASSWORD).await.code(401), "bad_credentials");
    node.sign_in("new@example.com", "another horse").await.expect(200);
    // Who was paid hears the new name.
    node.post(&asha, "/account/deposit", json!({"amount": 1})).await.expect(201);
    let paid = node.post(&asha, "/account/transfer", json!({"to": ravi.id, "amount": 1})).await.expect(201);
    let id = paid["transaction"]["id"].as_str().unwrap();
    let seen = node.get(&ravi, &format!("/account/transactions/{id}")).await.expect(200);
    assert_eq!(seen["counterparty"]["name"], "Asha Iyer");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_found_by_what_others_may_know() {
    let node = TestNode::start().await;
    let (asha, ravi) = (node.sign_up("Asha").await, node.sign_up("Ravi").await);
    for (filter, found) in [
        ("rav", true),
        ("RAO", true),
        (&ravi.handle[..6], true),
        ("ravi@example.com", true),
        ("ravi@example", false),
        ("avi", false),
        ("", false),
    ] {
        let body = node.post(&asha, "/user/bulk", json!({"filter": filter})).await.expect(200);
        let users = body["users"].as_array().unwrap();
        let seen = users.iter().find(|user| user["id"] == ravi.id.as_str());
        assert_eq!(seen.is_some(), found, "{filter}: {body}");
        assert!(seen.is_none_or(|user| user["email"] == "r***@example.com"), "{body}");
    }
    for limit in [0, 21] {
        let body = json!({"filter": "r", "limit": limit});
        assert_eq!(node.post(&asha, "/user/bulk", body).await.code(400), "validation_failed");
    }
}
